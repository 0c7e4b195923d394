"""Accuracy on the fixed split of every shared set: ours end to end, and an independent script.

The same MobileNetV2 in both. The independent script chooses the penalty by its own
cross-validation; it is also scored with the penalty that we chose, which leaves out the chance
that lies in that choice. The built-in print and every crop_and_scale stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import common
import independent
from common import note, say, table
from shared_sets import QUICK_SETS, find_sets, sources

_RULES = independent.CROP_AND_SCALE
_POINT = 0.01


@dataclass(frozen=True)
class Score:
    """Accuracy on the test part, and the penalty of the regression."""

    accuracy: float
    l2: float


@dataclass(frozen=True)
class Scores:
    """What one set and one crop_and_scale gave.

    Attributes:
        independent: the independent script by itself.
        same_l2: the independent script with the penalty of `ours`.
        ours: silverprint with the same MobileNetV2.
        scene_print: silverprint with the built-in print.
    """

    independent: Score
    same_l2: Score
    ours: Score
    scene_print: Score


Results = dict[tuple[str, str], Scores]
"""By (crop_and_scale, set)."""


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--sets", nargs="+", help="default: all with a split.csv")
    parser.add_argument("--rules", nargs="+", choices=_RULES, default=list(_RULES))
    parser.add_argument("--output", type=Path, help="write the tables into this file, too")
    args = common.start(parser)
    if args.quick:
        args.sets, args.rules = args.sets or QUICK_SETS, args.rules[:2]
    folders = find_sets(args.data, args.sets)
    weights = args.data / "weights" / "mobilenetv2_float.onnx"
    results: Results = {}
    for folder in folders:
        for rule in args.rules:
            results[rule, folder.name] = measure(folder, rule, weights, args.threads)
            note(f"{folder.name}, {rule}: {results[rule, folder.name]}")
    tests = {folder.name: len(independent.read_split(folder)[1].paths) for folder in folders}
    report = tables(results, tests, args.rules)
    say(report)
    if args.output is not None:
        args.output.write_text(report, encoding="utf-8")


def measure(folder: Path, rule: str, mobilenet: Path, threads: int) -> Scores:
    """Train and evaluate everything on one set, pictures brought to size by `rule`."""
    import silverprint as sp

    ours = train(folder, sp.CustomFeatureExtractor(mobilenet, output_name="features"), rule)
    scene_print = train(folder, sp.ScenePrint(), rule)
    backbone = independent.Backbone(mobilenet, threads)
    fit, test = independent.load(folder, backbone, rule)
    chosen = independent.choose_l2(fit)
    return Scores(
        independent=Score(independent.accuracy(fit, test, chosen), chosen),
        same_l2=Score(independent.accuracy(fit, test, ours.l2), ours.l2),
        ours=ours,
        scene_print=scene_print,
    )


def train(folder: Path, extractor: object, rule: str) -> Score:
    """An ImageClassifier trained on one part of the split, evaluated on the other."""
    import silverprint as sp

    fit, test = sources(folder)
    parameters = sp.ModelParameters(
        feature_extractor=extractor,
        classifier=sp.LogisticRegressor(l2="auto"),
        crop_and_scale=rule,
    )
    model = sp.ImageClassifier(fit, parameters, progress=False)
    return Score(model.evaluation(test).accuracy, model.record.head["l2"])


def tables(results: Results, tests: dict[str, int], rules: list[str]) -> str:
    """The report: ours against the independent script, then the rules side by side."""
    header = ["", *(f"{name} ({count})" for name, count in tests.items()), "mean"]
    compared: list[list[str]] = []
    for rule in rules:
        scores = [results[rule, name] for name in tests]
        ours = [score.ours for score in scores]
        compared.append([f"{rule}: silverprint", *_cells(ours, show_l2=True)])
        for title, theirs in (
            ("independent", [score.independent for score in scores]),
            ("independent, our l2", [score.same_l2 for score in scores]),
        ):
            compared.append([f"{rule}: {title}", *_cells(theirs, show_l2=True)])
            difference = _differences(ours, theirs, list(tests.values()))
            compared.append([f"{rule}: difference, points", *difference])
    beside = [
        [f"{title}, {rule}", *_cells([pick(results[rule, name]) for name in tests])]
        for title, pick in (
            ("MobileNetV2", lambda scores: scores.ours),
            ("ScenePrint", lambda scores: scores.scene_print),
        )
        for rule in rules
    ]
    return "\n".join(
        [
            "## Accuracy on the fixed splits\n",
            "MobileNetV2, (test pictures) in the head line, (l2 chosen) behind each accuracy;",
            "`!` marks a difference beyond one point and beyond one picture.\n",
            table(header, compared),
            "How pictures are brought to size, both extractors in silverprint:\n",
            table(header, beside),
        ]
    )


def _cells(scores: list[Score], *, show_l2: bool = False) -> list[str]:
    mean = sum(score.accuracy for score in scores) / len(scores)
    l2 = [f" ({score.l2:g})" if show_l2 else "" for score in scores]
    cells = [f"{score.accuracy:.4f}{end}" for score, end in zip(scores, l2, strict=True)]
    return [*cells, f"{mean:.4f}"]


def _differences(ours: list[Score], theirs: list[Score], tests: list[int]) -> list[str]:
    differences = [a.accuracy - b.accuracy for a, b in zip(ours, theirs, strict=True)]
    cells = []
    for difference, count in zip(differences, tests, strict=True):
        far = abs(difference) > max(_POINT, 1 / count) + 1e-9
        cells.append(f"{100 * difference:+.2f}{' !' if far else ''}")
    return [*cells, f"{100 * sum(differences) / len(differences):+.2f}"]


if __name__ == "__main__":
    main()
