"""How good a feature extractor is, and how fast.

Every built-in print and every shared backbone (and --add NAME=PATH[:output]), on the fixed split of
every shared classification set: accuracy of our logistic regression on top, with all training
pictures, 50 and 10 a label; nearest neighbours; speed of one core; size. Features are extracted
once and kept in --work. --quick leaves out who is neither a reference nor added.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
from common import note, say
from independent import CROP_AND_SCALE
from prints import contenders, features, probe, report, retrieval, speed
from shared_sets import QUICK_SETS, find_sets, sources

_AMOUNTS = {"all": None, "50": 50, "10": 10}
"""Pictures of each label that the probe is fitted to."""


def main() -> None:
    parser = common.arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--add",
        nargs="+",
        type=contenders.addition,
        default=[],
        metavar="NAME=PATH[:output]",
        help="further ONNX files; the metadata of each says mean, std and input_size",
    )
    parser.add_argument("--sets", nargs="+", help="default: all with a split.csv")
    parser.add_argument("--seeds", type=int, default=5, help="of what is drawn and of the folds")
    parser.add_argument("--rounds", type=int, default=60, help="in which speed is measured")
    parser.add_argument(
        "--references",
        nargs="+",
        default=["ScenePrint 0", "mobilenetv2_float"],
        help="differences are to these, ratios of speed to the last",
    )
    parser.add_argument(
        "--crop-and-scale", choices=CROP_AND_SCALE, default="center_crop", help="for all of them"
    )
    args = common.start(parser)
    if args.quick:
        args.sets, args.seeds, args.rounds = args.sets or QUICK_SETS, 2, 2
    folders = find_sets(args.data, args.sets)
    found = contenders.find(args.data, args.add, args.crop_and_scale)
    unknown = sorted(set(args.references) - {one.name for one in found})
    if unknown:
        raise SystemExit(f"no such extractors: {', '.join(unknown)}")
    if args.quick:
        wanted = {*args.references, *(one.name for one in args.add)}
        found = [one for one in found if one.name in wanted]
    say(f"## Prints and backbones, {args.crop_and_scale}\n")
    note(f"speed, {args.rounds} rounds")
    pictures = [path for path, _ in sources(folders[0])[0].items]
    rates = speed.rates(found, pictures, args.rounds)
    with common.work_folder(args) as work:
        scores = {
            one.name: measure(one, folders, work / "features", args.seeds, args.threads)
            for one in found
        }
    say(report.text(found, scores, rates, args.references))


def measure(
    contender: contenders.Contender, folders: Sequence[Path], kept: Path, seeds: int, threads: int
) -> dict[str, report.SetScores]:
    """What an extractor scores on each set; its features are kept in a folder."""
    from silverprint.features.cache import FeatureCache

    cache = FeatureCache(kept)
    scores = {}
    for folder in folders:
        data = features.extract(folder, contender.extractor, cache, threads)
        note(f"{contender.name}, {folder.name}: features are there")
        right = probe.right_answers(data, list(_AMOUNTS.values()), seeds)
        scores[folder.name] = report.SetScores(
            dict(zip(_AMOUNTS, right, strict=True)),
            retrieval.retrieve(
                data.rows[data.train],
                data.truth[data.train],
                data.rows[data.test],
                data.truth[data.test],
            ),
        )
        note(f"{contender.name}, {folder.name}: {right[0].mean():.4f}")
    return scores


if __name__ == "__main__":
    main()
