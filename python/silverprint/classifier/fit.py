"""Fitting one head, one solver iteration at a time."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.classifier.parameters import (
    MOST_PERCEPTRON_ITERATIONS,
    LogisticRegressor,
    MultilayerPerceptron,
)
from silverprint.classifier.problem import Problem, Rows
from silverprint.features.extraction import FloatMatrix
from silverprint.model.compose import Head
from silverprint.training.state import State

_SEARCH_TOLERANCE = 1e-4
_FINAL_TOLERANCE = 1e-6
_PERCEPTRON_TOLERANCE = 0.1

_Solver: TypeAlias = "_core.solve.LogisticRegression | _core.solve.MultilayerPerceptron"


class Fit:
    """One head fitted to some pictures and their views, over the labels that occur there."""

    def __init__(self, problem: Problem, pictures: Rows, l2: float, *, final: bool) -> None:
        self._problem = problem
        own = problem.truth[pictures]
        # A label without a picture here has no finite optimum; its probability is 0.
        self._present, renumbered = np.unique(own, return_inverse=True)
        self._solver: _Solver | None = None
        if len(self._present) > 1:
            self._solver = self._make(pictures, renumbered.astype(np.int32), l2, final)
        self._used = 0
        self.stopped_early = False

    def _make(
        self, pictures: Rows, labels: npt.NDArray[np.int32], l2: float, final: bool
    ) -> _Solver:
        problem = self._problem
        weights = problem.weights(pictures)
        labels = np.repeat(labels, 1 + problem.views)
        data = (problem.features, problem.all_rows(pictures), labels, len(self._present))
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

    def step(self, cancel: _core.runtime.CancelToken) -> bool:
        """One iteration; False when there is nothing left to do."""
        if self._solver is None or self._is_at_limit:
            return False
        goes_on = self._solver.step(cancel)
        self._used += 1
        limited = goes_on and self._is_at_limit
        self.stopped_early = limited and self._problem.max_iterations is not None
        return goes_on and not limited

    @property
    def _is_at_limit(self) -> bool:
        most = self._problem.max_iterations
        if most is None and isinstance(self._problem.classifier, MultilayerPerceptron):
            most = MOST_PERCEPTRON_ITERATIONS
        return most is not None and self._used >= most

    def set_l2(self, l2: float) -> None:
        """Go on from here with another penalty."""
        self._used = 0
        if self._solver is not None:
            self._solver.set_l2(l2)

    def state(self) -> State:
        """All that the next step depends on."""
        state = State({}, {"used": self._used, "stopped_early": self.stopped_early})
        if self._solver is not None:
            state.put("solver", State.of(self._solver.state()))
        return state

    def restore(self, state: State) -> None:
        """Go on from a `state` of the same pictures, bit for bit."""
        self._used = state.values["used"]
        self.stopped_early = state.values["stopped_early"]
        if self._solver is not None:
            self._solver.restore(state.get("solver").as_dict())

    @property
    def loss(self) -> float:
        """The objective at the present weights."""
        return 0.0 if self._solver is None else self._solver.value()

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

    @property
    def has_all_labels(self) -> bool:
        """Whether every label of the problem occurs here, as a model needs."""
        return self._solver is not None and len(self._present) == len(self._problem.labels)

    def head(self, temperature: float) -> Head:
        """The fitted layers; every label must occur in the rows."""
        assert self.has_all_labels
        assert self._solver is not None
        layers = tuple(self._solver.layers())
        return Head(layers, self._solver.mean, self._solver.deviation, temperature)

    def settings(self, temperature: float) -> dict[str, Any]:
        """What a model file says of its head."""
        assert self._solver is not None
        record: dict[str, Any] = {
            "kind": "logistic_regression",
            "l2": self._solver.l2,
            "iterations": self.iterations,
            "converged": self.converged,
            "constant_features": self.constant_features,
            "temperature": temperature,
        }
        classifier = self._problem.classifier
        if isinstance(classifier, MultilayerPerceptron):
            sizes = list(classifier.layer_sizes)
            record |= {"kind": "multilayer_perceptron", "layer_sizes": sizes}
        return record
