"""Core ML files of many networks: written, proven, executed, held against onnxruntime.

The zoo (ONNX files with random weights, written by `zoo.py` in an environment of its own) and a
classifier on every shared backbone, on real pictures, in both formats and precisions; then other
converters on the same files. --quick takes one network of each family. With --work, a second run
continues where the first one ended.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
from coreml import measure, peers, subjects, table
from coreml.subjects import Subject

PARTS = ("backbones", "zoo", "peers")


def main() -> None:
    parser = common.arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--zoo", type=Path, help="folder that zoo.py filled; without it, no zoo")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks; default: all")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument(
        "--peers", default=sys.executable, metavar="PYTHON", help="that has onnxsim; default: this"
    )
    args = common.start(parser)
    zoo = subjects.from_zoo(args.zoo) if args.zoo else []
    zoo = [one for one in zoo if not args.only or one.name in args.only]
    if args.quick:
        families: dict[str, Subject] = {}
        for one in zoo:
            families.setdefault(one.family, one)
        zoo = list(families.values())
    with common.work_folder(args) as work:
        pictures = measure.Pictures(subjects.pictures(args.data, args.pictures))
        if "backbones" in args.parts:
            common.say("## Core ML, shared backbones\n")
            trained = subjects.from_backbones(args.data, work)
            common.say(table.text(ours(trained, pictures, work), args.pictures))
        if "zoo" in args.parts and zoo:
            common.say("## Core ML, the zoo\n")
            common.say(table.text(ours(zoo, pictures, work), args.pictures))
        if "peers" in args.parts and zoo:
            common.say("## Core ML, converters side by side\n")
            common.say(peers.text(side_by_side(zoo, pictures, work, args.peers)))


def ours(
    chosen: list[Subject], pictures: measure.Pictures, work: Path
) -> list[tuple[Subject, table.Outcomes]]:
    """Every network in every format and precision; its second file as float32 ML Program only."""
    results = []
    for place, subject in enumerate(chosen):
        second = place > 0 and chosen[place - 1].name == subject.name
        expected = measure.expected(subject, pictures)
        outcomes = {}
        for variant in [table.FLOAT32] if second else table.VARIANTS:
            outcomes[variant] = measure.convert(
                subject, "silverprint", variant, pictures, expected, work
            )
            common.note(f"{subject.key}, {variant.title}: {outcomes[variant].error or 'written'}")
        results.append((subject, outcomes))
    return results


def side_by_side(
    chosen: list[Subject], pictures: measure.Pictures, work: Path, python: str
) -> list[tuple[Subject, peers.Outcomes]]:
    """One file of each network by every tool, as ML Programs."""
    results = []
    first = {one.name: one for one in reversed(chosen)}
    for subject in reversed(first.values()):
        expected = measure.expected(subject, pictures)
        outcomes: peers.Outcomes = {}
        for tool in peers.TOOLS:
            for variant in peers.VARIANTS:
                outcomes[tool, variant] = measure.convert(
                    subject,
                    tool,
                    variant,
                    pictures,
                    expected,
                    work,
                    sys.executable if tool == "silverprint" else python,
                )
            common.note(f"{subject.key}, {tool}: {outcomes[tool, variant].error or 'converted'}")
        results.append((subject, outcomes))
    return results


if __name__ == "__main__":
    main()
