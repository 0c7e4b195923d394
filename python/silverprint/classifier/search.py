"""The search for l2: out-of-fold answers along a path of values."""

from __future__ import annotations

import logging

import numpy as np

from silverprint import _core
from silverprint.classifier.fit import Fit
from silverprint.classifier.parameters import (
    L2_GRID,
    PERCEPTRON_L2_GRID,
    LogisticRegressor,
    MultilayerPerceptron,
)
from silverprint.classifier.problem import Problem, Rows
from silverprint.features.extraction import FloatMatrix
from silverprint.model.metrics import ClassifierMetrics
from silverprint.training.state import State

_log = logging.getLogger("silverprint")

_UNTESTED_L2 = 0.1
"""The l2 where no picture can be held out to choose one: every label has a single picture."""

_PATIENCE = 2
"""The search ends after this many values in a row that are worse than the best."""


class Search:
    """Out-of-fold answers for each l2 of a path; keeps those of the best.

    Attributes:
        held_out: the pictures that are held out once.
        l2: the best value so far.
        answers: float32 (n, k), answers of heads with that value for the pictures held out.
    """

    def __init__(self, problem: Problem, rows: Rows) -> None:
        """`rows`: the pictures that take part, some of which are held out at a time."""
        self._problem = problem
        given = problem.classifier.l2
        perceptron = isinstance(problem.classifier, MultilayerPerceptron)
        grid = PERCEPTRON_L2_GRID if perceptron else L2_GRID
        self._path = grid if given == "auto" else (float(given),)
        self._parts = problem.parts(rows)
        self._fits: list[Fit] = []
        self._path_index = self._fit_index = 0
        self._answers = np.zeros((len(problem.truth), len(problem.labels)), np.float32)
        held = [held for _, held in self._parts]
        self.held_out: Rows = np.sort(np.concatenate([rows[:0], *held]))
        self.l2 = _UNTESTED_L2 if given == "auto" else float(given)
        self.answers = self._answers.copy()
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

    @property
    def is_done(self) -> bool:
        """Whether the search is over."""
        return self._done

    @property
    def current(self) -> tuple[Fit, Rows] | None:
        """The fit in progress and the pictures it has not seen; None before its first step."""
        if self._done or len(self._fits) <= self._fit_index:
            return None
        return self._fits[self._fit_index], self._parts[self._fit_index][1]

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

    def state(self) -> State:
        """All that the next step depends on."""
        state = State(
            {"answers": self._answers[self.held_out], "best": self.answers[self.held_out]},
            {
                "path_index": self._path_index,
                "fit_index": self._fit_index,
                "fits": len(self._fits),
                "l2": self.l2,
                "loss": self._best,
                "worse": self._worse,
                "done": self._done,
            },
        )
        # A perceptron starts anew with each value, so what its finished fits were is of no use.
        all_of_them = isinstance(self._problem.classifier, LogisticRegressor)
        for i, fit in enumerate(self._fits):
            if all_of_them or i == self._fit_index:
                state.put(f"fit{i}", fit.state())
        return state

    def restore(self, state: State) -> None:
        """Go on from a `state` of the same problem, bit for bit."""
        values = state.values
        self._path_index, self._fit_index = values["path_index"], values["fit_index"]
        self.l2, self._best = values["l2"], values["loss"]
        self._worse, self._done = values["worse"], values["done"]
        self._answers[self.held_out] = state.arrays["answers"]
        self.answers[self.held_out] = state.arrays["best"]
        for i in range(values["fits"]):
            fit = Fit(self._problem, self._parts[i][0], self._path[self._path_index], final=False)
            inner = state.get(f"fit{i}")
            if inner.values:
                fit.restore(inner)
            self._fits.append(fit)
