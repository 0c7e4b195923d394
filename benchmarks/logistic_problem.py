"""One logistic regression problem, its objective in float64, and our solver on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crops import LabelledFeatures

_LIVE_SHARE = 1e-4
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Weights:
    """A solution: weights float64 (d, k) and intercepts float64 (k,)."""

    w: np.ndarray
    b: np.ndarray


@dataclass(frozen=True)
class Problem:
    """Standardised features, float32, the same for all; and the same numbers as float64.

    The objective is mean log loss + l2/2 |W|², intercepts free.
    """

    x: np.ndarray
    x64: np.ndarray
    labels: np.ndarray
    classes: int
    other: np.ndarray
    l2: float

    @classmethod
    def make(cls, features: LabelledFeatures, classes: int, l2: float) -> Problem:
        """Standardise; features that hardly vary are left out, for all."""
        mean = features.train.mean(axis=0, dtype=np.float64)
        deviation = features.train.std(axis=0, dtype=np.float64)
        live = deviation > _LIVE_SHARE * np.median(deviation)
        x, other = (
            ((part[:, live] - mean[live]) / deviation[live]).astype(np.float32)
            for part in (features.train, features.other)
        )
        return cls(x, x.astype(np.float64), features.train_labels, classes, other, l2)

    def value(self, weights: Weights) -> float:
        """The objective, computed in float64."""
        return self._evaluate(weights, gradient=False)[0]

    def gap_bound(self, weights: Weights) -> float:
        """An upper bound of value - optimum, with the intercepts at their best: |g|² / (2 l2)."""
        gradient = self._evaluate(weights, gradient=True)[1]
        return float((gradient**2).sum()) / (2 * self.l2)

    def answers(self, weights: Weights) -> np.ndarray:
        """The most probable label of the pictures that were not trained on."""
        return (self.other @ weights.w + weights.b).argmax(axis=1)

    def _evaluate(self, weights: Weights, *, gradient: bool) -> tuple[float, np.ndarray]:
        n = len(self.labels)
        loss = 0.0
        slope = np.zeros_like(weights.w, dtype=np.float64)
        for begin in range(0, n, _ROWS_AT_ONCE):
            x = self.x64[begin : begin + _ROWS_AT_ONCE]
            labels = self.labels[begin : begin + _ROWS_AT_ONCE]
            rows = np.arange(len(labels))
            scores = x @ weights.w + weights.b
            scores -= scores.max(axis=1, keepdims=True)
            own = scores[rows, labels]
            np.exp(scores, out=scores)
            total = scores.sum(axis=1, keepdims=True)
            loss += float(np.log(total).sum() - own.sum())
            if gradient:
                scores /= total
                scores[rows, labels] -= 1
                slope += x.T @ scores
        value = loss / n + 0.5 * self.l2 * float((weights.w**2).sum())
        return value, slope / n + self.l2 * weights.w


def solve(
    problem: Problem,
    tolerance: float,
    threads: int,
    enough: Callable[[int, Callable[[], Weights]], bool] = lambda _steps, _weights: False,
) -> tuple[int, Weights]:
    """Our solver from nothing, until it has converged or `enough(steps done, weights)`."""
    from silverprint import _core

    solver = _core.solve.LogisticRegression(
        problem.x,
        np.arange(len(problem.x)),
        problem.labels,
        problem.classes,
        problem.l2,
        tolerance=tolerance,
        threads=threads,
    )
    cancel = _core.runtime.CancelToken()
    steps = 0
    while not enough(steps, lambda: _weights(solver)) and solver.step(cancel):
        steps += 1
    return steps, _weights(solver)


def _weights(solver: Any) -> Weights:
    """The solver standardises once more by itself; these are for `Problem.x`."""
    w, b = (part.astype(np.float64) for part in solver.layers()[0])
    scale = 1 / np.where(solver.deviation > 0, solver.deviation, 1)
    w = w * scale[:, None]
    return Weights(w, b - solver.mean @ w)
