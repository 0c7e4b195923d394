"""Fitting the head, one solver iteration at a time: the search for l2, and the final fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.classifier.parameters import (
    L2_GRID,
    MOST_PERCEPTRON_ITERATIONS,
    PERCEPTRON_L2_GRID,
    LogisticRegressor,
    MultilayerPerceptron,
)
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
_PERCEPTRON_TOLERANCE = 0.1
_UNTESTED_L2 = 0.1
"""The l2 where no picture can be held out to choose one: every label has a single picture."""

_PATIENCE = 2
"""The search ends after this many values in a row that are worse than the best."""


@dataclass(frozen=True)
class Problem:
    """Features and labels of all pictures.

    Attributes:
        features: float32 (n * (1 + views), d): each picture's own row, then those of its views.
        views: of each picture.
        truth: int32 (n,), indices of labels.
        digests, groups: n each; pictures of a group are held out together. groups may be None.
    """

    features: FloatMatrix
    views: int
    truth: npt.NDArray[np.int32]
    digests: Sequence[bytes]
    groups: Sequence[str] | None
    labels: tuple[str, ...]
    classifier: LogisticRegressor | MultilayerPerceptron
    max_iterations: int | None
    seed: int

    def own_features(self, pictures: Rows) -> FloatMatrix:
        """float32 (m, d) of the pictures as they are."""
        return self.features[pictures * (1 + self.views)]


class Fit:
    """One head fitted to some pictures and their views, over the labels that occur there."""

    def __init__(self, problem: Problem, pictures: Rows, l2: float, *, final: bool) -> None:
        self._problem = problem
        own = problem.truth[pictures]
        # A label without a picture here has no finite optimum; its probability is 0.
        self._present, renumbered = np.unique(own, return_inverse=True)
        self._solver: _core.solve.HeadSolver | None = None
        if len(self._present) > 1:
            self._solver = self._make(pictures, own, renumbered.astype(np.int32), l2, final)
        self._left = self._most_iterations()
        self.stopped_early = False

    def _make(
        self,
        pictures: Rows,
        own: npt.NDArray[np.int32],
        renumbered: npt.NDArray[np.int32],
        l2: float,
        final: bool,
    ) -> _core.solve.HeadSolver:
        problem = self._problem
        each = 1 + problem.views
        rows = (pictures[:, None] * each + np.arange(each)).ravel()
        labels = np.repeat(renumbered, each)
        weights = _row_weights(problem, own)
        data = (problem.features, rows, labels, len(self._present))
        if isinstance(problem.classifier, LogisticRegressor):
            tolerance = _FINAL_TOLERANCE if final else _SEARCH_TOLERANCE
            return _core.solve.LogisticRegression(*data, l2, weights, tolerance)
        return _core.solve.MultilayerPerceptron(
            *data,
            list(problem.classifier.layer_sizes),
            l2,
            weights,
            _PERCEPTRON_TOLERANCE,
            problem.seed % 2**64,
        )

    def _most_iterations(self) -> int | None:
        given = self._problem.max_iterations
        if given is None and isinstance(self._problem.classifier, MultilayerPerceptron):
            return MOST_PERCEPTRON_ITERATIONS
        return given

    def step(self, cancel: _core.runtime.CancelToken) -> bool:
        """One iteration; False when there is nothing left to do."""
        if self._solver is None:
            return False
        if self._left == 0:
            self.stopped_early = self._problem.max_iterations is not None and (
                not self._solver.converged
            )
            return False
        if self._left is not None:
            self._left -= 1
        return self._solver.step(cancel)

    def set_l2(self, l2: float) -> None:
        """Go on from here with another penalty."""
        self._left = self._most_iterations()
        if self._solver is not None:
            self._solver.set_l2(l2)

    def probabilities(self, features: FloatMatrix) -> FloatMatrix:
        """float32 (m, k) over all labels of the problem, before any temperature."""
        result = np.zeros((len(features), len(self._problem.labels)), np.float32)
        if self._solver is None:
            result[:, self._present] = 1.0
        else:
            result[:, self._present] = self._solver.probabilities(features)
        return result

    @property
    def converged(self) -> bool:
        return self._solver is None or self._solver.converged

    @property
    def iterations(self) -> int:
        return 0 if self._solver is None else self._solver.iteration

    @property
    def constant_features(self) -> int:
        return 0 if self._solver is None else self._solver.constant_features

    def head(self, temperature: float) -> Head:
        """The fitted layers; every label must occur in the rows."""
        assert self._solver is not None
        assert len(self._present) == len(self._problem.labels)
        layers = tuple(self._solver.layers())
        return Head(layers, self._solver.mean, self._solver.deviation, temperature)


class Search:
    """Out-of-fold answers for each l2 of a path; keeps those of the best."""

    def __init__(self, problem: Problem, rows: Rows) -> None:
        """`rows`: the pictures that take part, some of which are held out at a time."""
        self._problem = problem
        given = problem.classifier.l2
        perceptron = isinstance(problem.classifier, MultilayerPerceptron)
        grid = PERCEPTRON_L2_GRID if perceptron else L2_GRID
        self._path = grid if given == "auto" else (float(given),)
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
            self._fits.append(Fit(self._problem, train, l2, final=False))
        fit = self._fits[self._fit_index]
        if fit.step(cancel):
            return True
        self._answers[held] = fit.probabilities(self._problem.own_features(held))
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
        if self._done:
            self._fits.clear()  # each holds a copy of its pictures
        else:
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
    return Fit(problem, rows, l2, final=True)


def _parts(problem: Problem, rows: Rows) -> list[tuple[Rows, Rows]]:
    """(trained on, held out) rows, by hash: adding pictures leaves the others where they are."""
    digests = [problem.digests[i] for i in rows]
    truth = problem.truth[rows]
    groups = None if problem.groups is None else [problem.groups[i] for i in rows]
    if len(rows) > MOST_FOR_FOLDS:
        held = held_out(digests, truth, 1 / FOLDS, problem.seed, groups)
        parts = [(rows[~held], rows[held])]
    else:
        fold = folds(digests, truth, FOLDS, problem.seed, groups)
        parts = [(rows[fold != i], rows[fold == i]) for i in range(FOLDS)]
    return [(train, held) for train, held in parts if len(held)]


def _row_weights(problem: Problem, truth: npt.NDArray[np.int32]) -> npt.NDArray[np.float32] | None:
    """How much each row counts, float32 (m * (1 + views),); None: all the same.

    A picture counts as much as all its views together: pictures to be answered are no views, and
    four crops for each whole picture would have the head learn crops.
    """
    of_label = problem.classifier.weights_of(problem.labels, _counts(problem, truth))
    if of_label is None and not problem.views:
        return None
    own = np.ones(len(truth), np.float32) if of_label is None else of_label[truth]
    share = [1.0, *[1 / problem.views] * problem.views] if problem.views else [1.0]
    return np.outer(own, np.asarray(share, np.float32)).ravel()


def _counts(problem: Problem, truth: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.bincount(truth, minlength=len(problem.labels))
