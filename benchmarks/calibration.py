"""How far probabilities can be believed: before and after the temperature, and with a threshold.

`ImageClassifier` with the built-in print, trained on one part of the fixed split of every shared
set, judged on the other: expected calibration error (15 bins) and log loss of the same model at
temperature 1 and at the temperature that it fitted to its out-of-fold answers; and what
`model.threshold(precision=...)`, chosen out of fold too, then keeps.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import common
from common import note, say, table
from shared_sets import QUICK_SETS, find_sets, sources

_DRAWS = 1000


@dataclass(frozen=True)
class Kept:
    """A threshold on the test part.

    Attributes:
        probability: the threshold.
        promised: its precision on held-out pictures of the training part.
        right, count: answers at least that probable.
    """

    probability: float
    promised: float
    right: int
    count: int


@dataclass(frozen=True)
class Score:
    """One model on the test part of a set.

    Attributes:
        before, after: calibration error at temperature 1, and at that of the model.
        chance: what the error would be on average were every probability right.
        loss_before, loss_after: log loss.
        kept: None where no threshold reaches the precision.
    """

    name: str
    tests: int
    accuracy: float
    temperature: float
    before: float
    after: float
    chance: float
    loss_before: float
    loss_after: float
    kept: Kept | None


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--sets", nargs="+", help="default: all with a split.csv")
    parser.add_argument("--precision", type=float, default=0.95, help="of the threshold")
    parser.add_argument("--output", type=Path, help="write the tables into this file, too")
    args = common.start(parser)
    if args.quick:
        args.sets = args.sets or QUICK_SETS
    import silverprint as sp

    parts = ["## Calibration, built-in print\n"]
    for classifier in (sp.LogisticRegressor(), sp.MultilayerPerceptron([256])):
        scores = []
        for folder in find_sets(args.data, args.sets):
            scores.append(measure(folder, classifier, args.precision, args.threads))
            note(f"{classifier}: {scores[-1]}")
        parts.append(text(repr(classifier), scores, args.precision))
    report = "\n".join(parts)
    say(report)
    if args.output is not None:
        args.output.write_text(report, encoding="utf-8")


def measure(folder: Path, classifier: object, precision: float, threads: int) -> Score:
    """Train on one part, judge on the other."""
    import silverprint as sp
    from silverprint.model.calibration import tempered

    train, test = sources(folder)
    parameters = sp.ModelParameters(classifier=classifier)
    model = sp.ImageClassifier(train, parameters, progress=False, threads=threads)
    answers = model.probabilities([path for path, _ in test.items], threads=threads)
    truth = np.array([model.labels.index(label) for _, label in test.items])
    temperature = model.record.head["temperature"]
    after = sp.ClassifierMetrics.measure(model.labels, truth, answers)
    untempered = tempered(answers, 1 / temperature)
    before = sp.ClassifierMetrics.measure(model.labels, truth, untempered)
    try:
        threshold = model.threshold(precision=precision)
    except sp.InvalidParameterError:
        kept = None
    else:
        sure = answers.max(axis=1) >= threshold.probability
        right = int((answers.argmax(axis=1) == truth)[sure].sum())
        kept = Kept(threshold.probability, threshold.precision, right, int(sure.sum()))
    return Score(
        folder.name,
        after.count,
        after.accuracy,
        temperature,
        before.calibration_error,
        after.calibration_error,
        error_by_chance(answers.max(axis=1)),
        before.log_loss,
        after.log_loss,
        kept,
    )


def error_by_chance(probability: np.ndarray) -> float:
    """The mean calibration error of answers that are right exactly as often as they say."""
    from silverprint.model.calibration import Confidence

    random = np.random.default_rng(0)
    draws = random.random((_DRAWS, len(probability))) < probability
    return statistics.fmean(Confidence.measure(probability, right).error for right in draws)


def text(title: str, scores: list[Score], precision: float) -> str:
    """Both tables of one kind of head."""

    def mean(pick: Callable[[Score], float]) -> str:
        return f"{statistics.fmean(map(pick, scores)):.4f}"

    rows = [
        [
            f"{one.name} ({one.tests})",
            f"{one.accuracy:.4f}",
            f"{one.temperature:.3f}",
            f"{one.before:.4f}",
            f"{one.after:.4f}",
            f"{one.chance:.4f}",
            f"{one.loss_before:.4f}",
            f"{one.loss_after:.4f}",
        ]
        for one in scores
    ]
    rows.append(
        [
            "mean",
            mean(lambda one: one.accuracy),
            "",
            mean(lambda one: one.before),
            mean(lambda one: one.after),
            mean(lambda one: one.chance),
            mean(lambda one: one.loss_before),
            mean(lambda one: one.loss_after),
        ]
    )
    header = [
        "(test pictures)",
        "accuracy",
        "temperature",
        "calibration error before",
        "after",
        "by chance",
        "log loss before",
        "after",
    ]
    return "\n".join(
        [
            f"### {title}\n",
            "*By chance* is the error that as many pictures show on average where every",
            "probability is exactly right: less cannot be expected.\n",
            table(header, rows),
            f"`model.threshold(precision={precision:g})`, on the test part:\n",
            table(
                ["", "probability", "promised", "precision reached", "coverage"],
                _threshold_rows(scores),
            ),
        ]
    )


def _threshold_rows(scores: list[Score]) -> list[list[str]]:
    rows = []
    for one in scores:
        if one.kept is None:
            rows.append([one.name, "none reaches it", "", "", ""])
            continue
        cells = [one.name, f"{one.kept.probability:.3f}", f"{one.kept.promised:.3f}"]
        rows.append(cells + _reached([one.kept], one.tests))
    kept = [one.kept for one in scores if one.kept is not None]
    tests = sum(one.tests for one in scores if one.kept is not None)
    return [*rows, ["all pictures", "", "", *_reached(kept, tests)]]


def _reached(kept: list[Kept], tests: int) -> list[str]:
    """Precision and coverage."""
    right, count = (sum(getattr(one, name) for one in kept) for name in ("right", "count"))
    if not count:
        return ["no answer kept", f"0.000 (0 of {tests})" if tests else ""]
    return [
        f"{right / count:.3f} ({right} of {count})",
        f"{count / tests:.3f} ({count} of {tests})",
    ]


if __name__ == "__main__":
    main()
