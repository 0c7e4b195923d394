"""What each augmentation gives: the built-in print on the fixed split of every shared set.

`ImageClassifier` end to end, logistic regression with its penalty chosen by itself; no option
against each alone and all of them. One training each: the solver ends at the one optimum, only
the strengths of the views depend on --seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import common
from common import note, say, table
from shared_sets import QUICK_SETS, find_sets, sources

_NONE, _ALL = "none", "all"
_OPTIONS = ("crop", "rotation", "blur", "exposure", "noise", "flip")
_POINT = 0.01


@dataclass(frozen=True)
class Score:
    """One training.

    Attributes:
        accuracy, log_loss: on the test part.
        seconds: of the training, from picture files to the composed model.
        l2: the penalty chosen.
    """

    accuracy: float
    log_loss: float
    seconds: float
    l2: float


Results = dict[tuple[str, str], Score]
"""By (option, set)."""


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--sets", nargs="+", help="default: all with a split.csv")
    parser.add_argument("--options", nargs="+", choices=_OPTIONS, default=list(_OPTIONS))
    parser.add_argument("--seed", type=int, default=0, help="of the views")
    parser.add_argument("--output", type=Path, help="write the tables into this file, too")
    args = common.start(parser)
    ways = {_NONE: set(), **{option: {option} for option in args.options}, _ALL: set(args.options)}
    if args.quick:
        args.sets = args.sets or QUICK_SETS
        ways = {name: ways[name] for name in (_NONE, args.options[0], args.options[-1])}
    results: Results = {}
    tests: dict[str, int] = {}
    for folder in find_sets(args.data, args.sets):
        tests[folder.name] = len(sources(folder)[1])
        for name, options in ways.items():
            score = measure(folder, options, args.seed, args.threads)
            results[name, folder.name] = score
            note(f"{folder.name}, {name}: {score}")
    report = text(results, tests, list(ways))
    say(report)
    if args.output is not None:
        args.output.write_text(report, encoding="utf-8")


def measure(folder: Path, options: set[str], seed: int, threads: int) -> Score:
    """Train on one part of the split with `options`, evaluate on the other."""
    import silverprint as sp

    train, test = sources(folder)
    parameters = sp.ModelParameters(augmentation=options, seed=seed)
    made: list[sp.ImageClassifier] = []
    seconds = common.timed(
        lambda: made.append(sp.ImageClassifier(train, parameters, progress=False, threads=threads))
    )
    metrics = made[0].evaluation(test, threads=threads)
    return Score(metrics.accuracy, metrics.log_loss, seconds, made[0].record.head["l2"])


def text(results: Results, tests: dict[str, int], ways: list[str]) -> str:
    """The report."""
    header = ["", *(f"{name} ({count})" for name, count in tests.items()), "mean"]

    def rows(cell: Callable[[Score, Score, int], str], field: str) -> list[list[str]]:
        found = []
        for way in ways:
            pairs = [(results[way, name], results[_NONE, name]) for name in tests]
            cells = [cell(*pair, count) for pair, count in zip(pairs, tests.values(), strict=True)]
            mean = statistics.fmean(getattr(score, field) for score, _ in pairs)
            change = mean - statistics.fmean(getattr(plain, field) for _, plain in pairs)
            digits = f"{mean:.4f} ({100 * change:+.2f})" if field == "accuracy" else f"{mean:.4f}"
            found.append([way, *cells, digits if field != "seconds" else ""])
        return found

    return "\n".join(
        [
            "## Augmentation, built-in print\n",
            "Accuracy on the test part, (pictures) in the head line, (points more than without",
            "augmentation) behind each; `!` marks a loss of more than a point and a picture:\n",
            table(header, rows(_accuracy, "accuracy")),
            "Log loss on the test part; `!` where it is higher than without:\n",
            table(header, rows(_log_loss, "log_loss")),
            "Seconds of training, (times as long as without), (l2 chosen):\n",
            table(header, rows(_seconds, "seconds")),
        ]
    )


def _accuracy(score: Score, plain: Score, count: int) -> str:
    change = score.accuracy - plain.accuracy
    mark = " !" if -change > max(_POINT, 1 / count) + 1e-9 else ""
    return f"{score.accuracy:.4f} ({100 * change:+.2f}){mark}"


def _log_loss(score: Score, plain: Score, _count: int) -> str:
    return f"{score.log_loss:.4f}{' !' if score.log_loss > plain.log_loss else ''}"


def _seconds(score: Score, plain: Score, _count: int) -> str:
    return f"{score.seconds:.1f} ({score.seconds / plain.seconds:.1f}×) ({score.l2:g})"


if __name__ == "__main__":
    main()
