"""What the runs of `perceptron.py` say: tables and the verdict."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np

from common import ratios, spread, table

OURS = "silverprint"
FOLDS = 5

_POINT = 0.01


@dataclass(frozen=True)
class Run:
    """One fit; accuracy and log loss on the test part."""

    accuracy: float
    log_loss: float
    seconds: float
    iterations: int


@dataclass(frozen=True)
class Folded:
    """Answers to all pictures, each by a fit on the other folds: which are right, (n,)."""

    right: np.ndarray
    log_loss: float


@dataclass(frozen=True)
class SetRuns:
    """The runs on one set, by who made them; those of a place have the same seed."""

    name: str
    tests: int
    runs: dict[str, list[Run]]
    folded: dict[str, Folded]

    @property
    def rivals(self) -> list[str]:
        return [name for name in self.runs if name != OURS]

    def paired(self, rival: str) -> list[float]:
        """Our accuracy on the test part less the rival's, seed by seed."""
        pairs = zip(self.runs[OURS], self.runs[rival], strict=True)
        return [ours.accuracy - theirs.accuracy for ours, theirs in pairs]

    def difference(self, rival: str) -> float:
        """The mean of `paired`."""
        return statistics.fmean(self.paired(rival))

    @property
    def better(self) -> str:
        """The rival with the higher mean accuracy."""
        return min(self.rivals, key=self.difference)

    def misses(self, rival: str) -> bool:
        return self.difference(rival) < -_POINT - 1e-9

    def folded_difference(self, rival: str) -> tuple[float, float]:
        """Our accuracy in folds less the rival's, and the standard error, picture by picture."""
        pairs = self.folded[OURS].right.astype(float) - self.folded[rival].right
        return float(pairs.mean()), float(pairs.std() / math.sqrt(len(pairs)))

    def ratios(self, rival: str) -> list[float]:
        """How many times faster ours was, pair by pair."""
        ours, theirs = ([run.seconds for run in self.runs[name]] for name in (OURS, rival))
        return ratios(ours, theirs)


def text(title: str, sets: list[SetRuns]) -> str:
    """The tables of one extractor."""
    tests = ["", *(f"{one.name} ({one.tests})" for one in sets), "mean"]
    pictures = ["", *(f"{one.name} ({len(one.folded[OURS].right)})" for one in sets), "mean"]
    return "\n".join(
        [
            f"### {title}\n",
            "Accuracy on the test part, (pictures) in the head line; the differences, in points,",
            "are taken seed by seed; `!` marks more than one point below.\n",
            table(tests, _accuracy_rows(sets)),
            "Log loss on the test part, before any temperature:\n",
            table(tests, _log_loss_rows(sets)),
            f"The same fits in {FOLDS} folds over all pictures of both parts, the differences with",
            "their standard error. It compares the contenders on more pictures; a thing may be in",
            "several folds, so it does not say how good they are on new ones.\n",
            table(pictures, _folded_rows(sets)),
            "Seconds of one fit, with its standardisation; how many times faster ours is, pair by",
            "pair; and iterations:\n",
            table(tests[:-1], _time_rows(sets)),
        ]
    )


def _accuracy_rows(sets: list[SetRuns]) -> list[list[str]]:
    rows = []
    for title in sets[0].runs:
        values = [[run.accuracy for run in one.runs[title]] for one in sets]
        rows.append([title, *map(_mean, values), f"{np.mean(values):.4f}"])
    for rival in sets[0].rivals:
        cells = []
        for one in sets:
            mark = " !" if one.misses(rival) else ""
            pairs = one.paired(rival)
            ends = f"({_points(min(pairs))} to {_points(max(pairs))})"
            cells.append(f"{_points(one.difference(rival))} {ends}{mark}")
        overall = statistics.fmean(one.difference(rival) for one in sets)
        rows.append([f"difference to {rival}", *cells, _points(overall)])
    return rows


def _log_loss_rows(sets: list[SetRuns]) -> list[list[str]]:
    rows = []
    for title in sets[0].runs:
        values = [[run.log_loss for run in one.runs[title]] for one in sets]
        rows.append([title, *map(_mean, values), f"{np.mean(values):.4f}"])
    return rows


def _folded_rows(sets: list[SetRuns]) -> list[list[str]]:
    rows = []
    for title in sets[0].runs:
        values = [float(one.folded[title].right.mean()) for one in sets]
        rows.append([title, *(f"{v:.4f}" for v in values), f"{statistics.fmean(values):.4f}"])
    for rival in sets[0].rivals:
        pairs = [one.folded_difference(rival) for one in sets]
        overall = statistics.fmean(difference for difference, _ in pairs)
        cells = [f"{_points(difference)} ± {100 * error:.2f}" for difference, error in pairs]
        rows.append([f"difference to {rival}", *cells, _points(overall)])
    for title in sets[0].runs:
        values = [one.folded[title].log_loss for one in sets]
        cells = [f"{value:.4f}" for value in values]
        rows.append([f"{title}, log loss", *cells, f"{statistics.fmean(values):.4f}"])
    return rows


def _time_rows(sets: list[SetRuns]) -> list[list[str]]:
    seconds, faster, iterations = [], [], []
    for title in sets[0].runs:
        taken = [[run.seconds for run in one.runs[title]] for one in sets]
        seconds.append([f"{title}, s", *map(spread, taken)])
        counts = [[run.iterations for run in one.runs[title]] for one in sets]
        iterations.append([f"{title}, iterations", *(spread(each, 0) for each in counts)])
    for rival in sets[0].rivals:
        cells = [spread(one.ratios(rival), 2, "×") for one in sets]
        faster.append([f"faster than {rival} by", *cells])
    return [*seconds, *faster, *iterations]


def verdict(results: dict[str, list[SetRuns]]) -> str:
    """Is ours within a point everywhere, and how much faster it is."""
    every = [(title, one) for title, sets in results.items() for one in sets]
    rivals = every[0][1].rivals
    lines = ["### Verdict\n", "On the test parts, (features, set) within one point or above:\n"]
    for rival in rivals:
        fine = sum(not one.misses(rival) for _, one in every)
        medians = [statistics.median(one.ratios(rival)) for _, one in every]
        lines.append(
            f"- of {rival}: {fine} of {len(every)}; faster than it by {spread(medians, 2, '×')}"
        )
    missed = [(title, one) for title, one in every if one.misses(one.better)]
    lines.append(f"- of the better of theirs: {len(every) - len(missed)} of {len(every)}")
    for title, one in missed:
        difference = one.difference(one.better)
        folded, error = one.folded_difference(one.better)
        lines.append(
            f"- **missed**: {title}, {one.name}: {_points(difference)} points to {one.better}, "
            f"{-difference * one.tests:.1f} of {one.tests} pictures; in folds "
            f"{_points(folded)} ± {100 * error:.2f}"
        )
    return "\n".join(lines) + "\n"


def _points(difference: float) -> str:
    """In hundredths, never -0.00."""
    return f"{round(100 * difference, 2) + 0.0:+.2f}"


def _mean(values: list[float]) -> str:
    """Mean, with lowest and highest."""
    return f"{statistics.fmean(values):.4f} ({min(values):.4f}–{max(values):.4f})"
