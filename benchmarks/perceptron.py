"""Our multilayer perceptron against scikit-learn's, and a plain loop in torch if it is installed.

The same features, the fixed split of every shared set, one hidden layer of 256. Ours is the fit
that `ImageClassifier` ends with, at the default parameters, before any temperature. Each seed is
one round of A B C: every figure is the mean over the seeds (lowest to highest), times are medians.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import log_loss

import common
import plain_perceptron
from common import note, ratios, say, spread, table
from plain_perceptron import Fit, Fitted
from shared_sets import QUICK_SETS, SplitFeatures, find_sets, split_features

if TYPE_CHECKING:
    from silverprint.features.extractor import FeatureExtractor

_UNITS = 256
_POINT = 0.01
_OURS = "silverprint"


@dataclass(frozen=True)
class Run:
    """One fit; accuracy and log loss on the test part."""

    accuracy: float
    log_loss: float
    seconds: float
    iterations: int


@dataclass(frozen=True)
class SetRuns:
    """The runs on one set, by who made them; those of a place have the same seed."""

    name: str
    tests: int
    runs: dict[str, list[Run]]

    def paired(self, rival: str) -> list[float]:
        """Our accuracy less the rival's, seed by seed."""
        pairs = zip(self.runs[_OURS], self.runs[rival], strict=True)
        return [ours.accuracy - theirs.accuracy for ours, theirs in pairs]

    @property
    def better(self) -> str:
        """The rival with the higher mean accuracy."""
        rivals = [name for name in self.runs if name != _OURS]
        return min(rivals, key=lambda name: statistics.fmean(self.paired(name)))

    @property
    def difference(self) -> float:
        """Our mean accuracy less the better rival's."""
        return statistics.fmean(self.paired(self.better))

    @property
    def misses(self) -> bool:
        return self.difference < -_POINT - 1e-9


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--sets", nargs="+", help="default: all with a split.csv")
    parser.add_argument("--seeds", type=int, default=3, help="seeds, each a round")
    parser.add_argument("--output", type=Path, help="write the tables into this file, too")
    args = common.start(parser)
    if args.quick:
        args.sets, args.seeds = args.sets or QUICK_SETS, 1
    results: dict[str, list[SetRuns]] = {}
    for title, extractor in extractors(args.data).items():
        for folder in find_sets(args.data, args.sets):
            data = split_features(folder, extractor, args.threads)
            results.setdefault(title, []).append(
                SetRuns(folder.name, len(data.test), measure(data, args.seeds, args.threads))
            )
            note(f"{title}, {folder.name}: {results[title][-1].runs}")
    report = text(results)
    say(report)
    if args.output is not None:
        args.output.write_text(report, encoding="utf-8")


def extractors(data: Path) -> dict[str, FeatureExtractor]:
    """The shared backbone and the built-in print."""
    import silverprint as sp

    mobilenet = data / "weights" / "mobilenetv2_float.onnx"
    return {
        "MobileNetV2": sp.CustomFeatureExtractor(mobilenet, output_name="features"),
        "ScenePrint": sp.ScenePrint(),
    }


def measure(data: SplitFeatures, seeds: int, threads: int) -> dict[str, list[Run]]:
    """Every contender with every seed, in turns."""
    fits = {_OURS: lambda x, y, seed: ours(data.labels, x, y, seed)}
    for title, make in rivals().items():
        chosen = plain_perceptron.best_threads(make, _UNITS, threads, data.train, data.train_truth)
        note(f"{title}: {chosen} threads")
        fits[title] = make(_UNITS, chosen)
    runs: dict[str, list[Run]] = {title: [] for title in fits}
    for seed in range(seeds):
        for title, fit in fits.items():
            runs[title].append(run(fit, data, seed))
    return runs


def rivals() -> dict[str, plain_perceptron.Make]:
    """By title, those that are installed."""
    found: dict[str, plain_perceptron.Make] = {"scikit-learn": plain_perceptron.scikit_learn}
    if plain_perceptron.HAS_TORCH:
        found["torch"] = plain_perceptron.torch_loop
    return found


def ours(labels: tuple[str, ...], features: np.ndarray, truth: np.ndarray, seed: int) -> Fitted:
    """The final fit of an `ImageClassifier` without augmentation."""
    from silverprint import MultilayerPerceptron, _core
    from silverprint.classifier.fitting import Problem, final_fit

    classifier = MultilayerPerceptron([_UNITS])
    problem = Problem(features, 0, truth, [], None, labels, classifier, None, seed)
    fit = final_fit(problem, np.arange(len(truth)), float(classifier.l2))
    cancel = _core.runtime.CancelToken()
    while fit.step(cancel):
        pass
    return Fitted(fit.probabilities, fit.iterations)


def run(fit: Fit, data: SplitFeatures, seed: int) -> Run:
    fitted: list[Fitted] = []
    seconds = common.timed(lambda: fitted.append(fit(data.train, data.train_truth, seed)))
    answers = fitted[0].probabilities(data.test)
    return Run(
        float(np.mean(answers.argmax(axis=1) == data.test_truth)),
        float(log_loss(data.test_truth, answers, labels=range(len(data.labels)))),
        seconds,
        fitted[0].iterations,
    )


def text(results: dict[str, list[SetRuns]]) -> str:
    """The report."""
    parts = [f"## Multilayer perceptron, one hidden layer of {_UNITS}\n"]
    if not plain_perceptron.HAS_TORCH:
        parts.append("torch is not installed: left out.\n")
    for title, sets in results.items():
        header = ["", *(f"{one.name} ({one.tests})" for one in sets), "mean"]
        parts += [
            f"### {title}\n",
            "Accuracy on the test part, (pictures) in the head line; the difference to the better",
            "of theirs, in points, is taken seed by seed; `!` marks more than one point below.\n",
            table(header, accuracy_rows(sets)),
            "Log loss on the test part, before any temperature:\n",
            table(header, log_loss_rows(sets)),
            "Seconds of one fit, with its standardisation; how many times faster ours is, pair by",
            "pair; and iterations:\n",
            table(header, time_rows(sets)),
        ]
    return "\n".join([*parts, verdict(results)])


def accuracy_rows(sets: list[SetRuns]) -> list[list[str]]:
    rows = []
    for title in sets[0].runs:
        values = [[run.accuracy for run in one.runs[title]] for one in sets]
        rows.append([title, *map(_mean, values), f"{np.mean(values):.4f}"])
    cells = []
    for one in sets:
        points = [100 * difference for difference in one.paired(one.better)]
        mark = " !" if one.misses else ""
        low, high = min(points), max(points)
        cells.append(f"{100 * one.difference:+.2f} ({low:+.2f} to {high:+.2f}) {one.better}{mark}")
    overall = statistics.fmean(one.difference for one in sets)
    return [*rows, ["difference to the better", *cells, f"{100 * overall:+.2f}"]]


def log_loss_rows(sets: list[SetRuns]) -> list[list[str]]:
    rows = []
    for title in sets[0].runs:
        values = [[run.log_loss for run in one.runs[title]] for one in sets]
        rows.append([title, *map(_mean, values), f"{np.mean(values):.4f}"])
    return rows


def time_rows(sets: list[SetRuns]) -> list[list[str]]:
    seconds, faster, iterations = [], [], []
    for title in sets[0].runs:
        taken = [_seconds(one, title) for one in sets]
        seconds.append([f"{title}, s", *(spread(values) for values in taken), ""])
        counts = [[run.iterations for run in one.runs[title]] for one in sets]
        iterations.append([f"{title}, iterations", *(spread(c, 0) for c in counts), ""])
        if title != _OURS:
            cells = [spread(_ratios(one, title), 2, "×") for one in sets]
            faster.append([f"faster than {title} by", *cells, ""])
    return [*seconds, *faster, *iterations]


def verdict(results: dict[str, list[SetRuns]]) -> str:
    """Is ours within a point everywhere, and how much faster it is."""
    every = [(title, one) for title, sets in results.items() for one in sets]
    missed = [(title, one) for title, one in every if one.misses]
    share = f"{len(every) - len(missed)} of {len(every)}"
    lines = [
        "### Verdict\n",
        f"Within one point of the better of theirs, or above: {share} (features, set).",
    ]
    for title, one in missed:
        lines.append(
            f"- **Missed**: {title}, {one.name}: {100 * one.difference:+.2f} points to "
            f"{one.better}, {abs(one.difference) * one.tests:.1f} of {one.tests} pictures."
        )
    lines.append("")
    for rival in [name for name in every[0][1].runs if name != _OURS]:
        medians = [statistics.median(_ratios(one, rival)) for _, one in every]
        lines.append(f"Faster than {rival} by {spread(medians, 2, '×')} over these.")
    return "\n".join(lines) + "\n"


def _seconds(one: SetRuns, title: str) -> list[float]:
    return [run.seconds for run in one.runs[title]]


def _ratios(one: SetRuns, rival: str) -> list[float]:
    return ratios(_seconds(one, _OURS), _seconds(one, rival))


def _mean(values: list[float]) -> str:
    """Mean, with lowest and highest."""
    return f"{statistics.fmean(values):.4f} ({min(values):.4f}–{max(values):.4f})"


if __name__ == "__main__":
    main()
