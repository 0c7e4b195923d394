"""Fitting the head, one solver iteration at a time: the search for l2, and the final fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.classifier.parameters import L2_GRID, LogisticRegressor
from silverprint.data.splits import folds, held_out
from silverprint.features.extraction import FloatMatrix
from silverprint.model.compose import Head
from silverprint.model.metrics import ClassifierMetrics

_log = logging.getLogger("silverprint")

Rows = npt.NDArray[np.int64]

FOLDS = 5
MOST_FOR_FOLDS = 5000
"""Above this many pictures one held-out share serves instead of folds."""

_SEARCH_TOLERANCE = 1e-4
_FINAL_TOLERANCE = 1e-6
_UNTESTED_L2 = 0.1
"""The l2 where no picture can be held out to choose one: every label has a single picture."""

_PATIENCE = 2
"""The search ends after this many values in a row that are worse than the best."""


@dataclass(frozen=True)
class Problem:
    """Features and labels of all pictures, float32 (n, d) and int32 (n,)."""

    features: FloatMatrix
    truth: npt.NDArray[np.int32]
    digests: Sequence[bytes]
    labels: tuple[str, ...]
    classifier: LogisticRegressor
    max_iterations: int | None
    seed: int


class Fit:
    """One logistic regression on some rows, over the labels that occur there."""

    def __init__(self, problem: Problem, rows: Rows, l2: float, tolerance: float) -> None:
        self._problem = problem
        own = problem.truth[rows]
        # A label without a picture here has no finite optimum; its probability is 0.
        self._present, renumbered = np.unique(own, return_inverse=True)
        names = [problem.labels[i] for i in self._present]
        weights = problem.classifier.weights_of(problem.labels, _counts(problem, own))
        self._solver: _core.solve.LogisticRegression | None = None
        if len(names) > 1:
            self._solver = _core.solve.LogisticRegression(
                problem.features,
                rows,
                renumbered.astype(np.int32),
                len(names),
                l2,
                None if weights is None else weights[self._present],
                tolerance,
            )
        self._left = problem.max_iterations
        self.stopped_early = False

    def step(self, cancel: _core.runtime.CancelToken) -> bool:
        """One iteration; False when there is nothing left to do."""
        if self._solver is None:
            return False
        if self._left == 0:
            self.stopped_early = not self._solver.converged
            return False
        if self._left is not None:
            self._left -= 1
        return self._solver.step(cancel)

    def set_l2(self, l2: float) -> None:
        """Go on from here with another penalty."""
        self._left = self._problem.max_iterations
        if self._solver is not None:
            self._solver.set_l2(l2)

    def probabilities(self, features: FloatMatrix) -> FloatMatrix:
        """float32 (m, k) over all labels of the problem."""
        result = np.zeros((len(features), len(self._problem.labels)), np.float32)
        if self._solver is None:
            result[:, self._present] = 1.0
        else:
            result[:, self._present] = self._solver.probabilities(features)
        return result

    @property
    def iterations(self) -> int:
        return 0 if self._solver is None else self._solver.iteration

    @property
    def constant_features(self) -> int:
        return 0 if self._solver is None else self._solver.constant_features

    def head(self) -> Head:
        """The fitted layer; every label must occur in the rows."""
        assert self._solver is not None
        assert len(self._present) == len(self._problem.labels)
        weights, bias = self._solver.weights()
        return Head(weights, bias, self._solver.mean, self._solver.deviation)


class Search:
    """Out-of-fold answers for each l2 of a path; keeps those of the best."""

    def __init__(self, problem: Problem, rows: Rows) -> None:
        """`rows`: the pictures that take part, some of which are held out at a time."""
        self._problem = problem
        given = problem.classifier.l2
        self._path = L2_GRID if given == "auto" else (float(given),)
        self._parts = _parts(problem, rows)
        self._fits: list[Fit] = []
        self._path_index = self._fit_index = 0
        self._answers = np.zeros((len(problem.truth), len(problem.labels)), np.float32)
        held = [held for _, held in self._parts]
        self.held_out: Rows = np.sort(np.concatenate([rows[:0], *held]))
        self.l2 = _UNTESTED_L2 if given == "auto" else float(given)
        self.answers = self._answers
        self._best = np.inf
        self._worse = 0
        self._done = not self._parts

    @property
    def total(self) -> int:
        """Fits in all, at most."""
        return len(self._path) * len(self._parts)

    @property
    def done(self) -> int:
        """Fits that are finished."""
        return self.total if self._done else self._path_index * len(self._parts) + self._fit_index

    def step(self, cancel: _core.runtime.CancelToken) -> bool:
        """One solver iteration of one fit; False when the search is over."""
        if self._done:
            return False
        train, held = self._parts[self._fit_index]
        l2 = self._path[self._path_index]
        if len(self._fits) <= self._fit_index:
            self._fits.append(Fit(self._problem, train, l2, _SEARCH_TOLERANCE))
        fit = self._fits[self._fit_index]
        if fit.step(cancel):
            return True
        self._answers[held] = fit.probabilities(self._problem.features[held])
        self._fit_index += 1
        if self._fit_index == len(self._parts):
            self._finish_value(l2)
        return not self._done

    def _finish_value(self, l2: float) -> None:
        loss = self.metrics_of(self._answers).log_loss
        _log.debug("l2=%g: log loss %.5f on held-out pictures", l2, loss)
        self._worse += 1
        if loss < self._best:
            self._best, self._worse = loss, 0
            self.l2, self.answers = l2, self._answers.copy()
        self._path_index += 1
        self._fit_index = 0
        self._done = self._path_index == len(self._path) or self._worse >= _PATIENCE
        if not self._done:
            for fit in self._fits:
                fit.set_l2(self._path[self._path_index])

    def metrics_of(self, answers: FloatMatrix) -> ClassifierMetrics:
        """Metrics of answers for the held-out pictures."""
        problem = self._problem
        return ClassifierMetrics.measure(
            problem.labels, problem.truth[self.held_out], answers[self.held_out]
        )


def final_fit(problem: Problem, rows: Rows, l2: float) -> Fit:
    """The fit that becomes the model's head."""
    return Fit(problem, rows, l2, _FINAL_TOLERANCE)


def _parts(problem: Problem, rows: Rows) -> list[tuple[Rows, Rows]]:
    """(trained on, held out) rows, by hash: adding pictures leaves the others where they are."""
    digests = [problem.digests[i] for i in rows]
    truth = problem.truth[rows]
    if len(rows) > MOST_FOR_FOLDS:
        held = held_out(digests, truth, 1 / FOLDS, problem.seed)
        parts = [(rows[~held], rows[held])]
    else:
        fold = folds(digests, truth, FOLDS, problem.seed)
        parts = [(rows[fold != i], rows[fold == i]) for i in range(FOLDS)]
    return [(train, held) for train, held in parts if len(held)]


def _counts(problem: Problem, truth: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.bincount(truth, minlength=len(problem.labels))
