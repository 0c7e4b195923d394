"""From features to a head: l2 is chosen on held-out answers, then the final head is fitted."""

from __future__ import annotations

import numpy as np

from silverprint import _core
from silverprint.classifier.fit import Fit
from silverprint.classifier.problem import Problem, Rows
from silverprint.classifier.search import Search
from silverprint.data.splits import Split, held_out
from silverprint.errors import InvalidDataError
from silverprint.features.extraction import FloatMatrix
from silverprint.model.compose import Head
from silverprint.model.metrics import ClassifierMetrics
from silverprint.training.state import State


class HeadTraining:
    """The search for l2, where there is one to do, and the final fit.

    Attributes:
        problem: what it is fitted to.
        train_rows: the pictures that the final head is trained on.
        held_rows: those that a `Split` keeps from it.
        iteration: solver iterations so far, of all fits.

    Raises:
        InvalidDataError: validation is asked for, and no picture can be held out.
    """

    def __init__(self, problem: Problem, validation: object, origin: object) -> None:
        self.problem = problem
        every: Rows = np.arange(len(problem.truth))
        self.train_rows, self.held_rows = every, every[:0]
        if isinstance(validation, Split):
            held = held_out(
                problem.digests, problem.truth, validation.ratio, validation.seed, problem.groups
            )
            self.train_rows, self.held_rows = every[~held], every[held]
        self._answers_wanted = validation == "automatic"
        self._search: Search | None = None
        if self._answers_wanted or problem.classifier.l2 == "auto":
            self._search = Search(problem, self.train_rows)
        unseen = self.answered_rows
        asked = self._answers_wanted or isinstance(validation, Split)
        if asked and problem.groups is not None and not len(unseen):
            raise InvalidDataError(
                origin,
                "the pictures of each label are one group, so none can be held out; group by "
                "something finer, or pass validation=None",
            )
        self._fit: Fit | None = None
        self.iteration = 0

    @property
    def total(self) -> int:
        """Fits in all, at most."""
        return 1 + (self._search.total if self._search else 0)

    @property
    def done(self) -> int:
        """Fits that are finished."""
        return self._search.done if self._search else 0

    @property
    def l2(self) -> float:
        """The penalty of the final head, once the search is over."""
        given = self.problem.classifier.l2
        return self._search.l2 if given == "auto" and self._search else float(given)

    @property
    def fit(self) -> Fit:
        """The final fit."""
        if self._fit is None:
            self._fit = Fit(self.problem, self.train_rows, self.l2, final=True)
        return self._fit

    @property
    def answered_rows(self) -> Rows:
        """The pictures that `answers` is about: those that validation is done on."""
        return self._search.held_out if self._answers_wanted and self._search else self.held_rows

    @property
    def answers(self) -> FloatMatrix:
        """float32 (m, k) for `answered_rows`, of heads that have not seen them."""
        if self._answers_wanted and self._search:
            return self._search.answers[self.answered_rows]
        return self.fit.probabilities(self.problem.own_features(self.held_rows))

    @property
    def unseen(self) -> tuple[Rows, FloatMatrix] | None:
        """Pictures and answers that a temperature can be fitted on; None: there are none."""
        if self._search is None:
            return None
        rows = self._search.held_out
        return rows, self._search.answers[rows]

    def step(self, cancel: _core.runtime.CancelToken) -> bool:
        """One solver iteration; False when the head is finished."""
        if self._search is not None and not self._search.is_done:
            self._search.step(cancel)
            goes_on = True
        else:
            goes_on = self.fit.step(cancel)
        self.iteration += 1
        return goes_on

    def state(self) -> State:
        """All that the next step depends on."""
        state = State({}, {"iteration": self.iteration, "is_final": self._fit is not None})
        if self._search is not None:
            state.put("search", self._search.state())
        if self._fit is not None:
            state.put("final", self._fit.state())
        return state

    def restore(self, state: State) -> None:
        """Go on from a `state` of the same problem, bit for bit."""
        self.iteration = state.values["iteration"]
        if self._search is not None:
            self._search.restore(state.get("search"))
        if state.values["is_final"]:
            self.fit.restore(state.get("final"))

    @property
    def loss(self) -> float:
        """The objective of the fit in progress."""
        current = self._search.current if self._search else None
        return self.fit.loss if current is None else current[0].loss

    def snapshot(self) -> tuple[Head, Fit, ClassifierMetrics | None] | None:
        """The head as it is now, its fit, and what it answers to pictures it has not seen.

        None where no model can be made of it: before the first iteration, or in a part of the data
        that lacks a label.
        """
        fit, held = self._fit, self.held_rows
        if fit is None and self._search is not None:
            fit, held = self._search.current or (None, held)
        if fit is None or not fit.has_all_labels:
            return None
        metrics = None
        if len(held):
            answers = fit.probabilities(self.problem.own_features(held))
            truth = self.problem.truth[held]
            metrics = ClassifierMetrics.measure(self.problem.labels, truth, answers)
        return fit.head(1.0), fit, metrics


def head_state(head: Head) -> State:
    """A head as arrays; `head_of` is the way back."""
    arrays = {"mean": np.asarray(head.mean), "deviation": np.asarray(head.deviation)}
    for i, (weights, bias) in enumerate(head.layers):
        arrays |= {f"weights{i}": np.asarray(weights), f"bias{i}": np.asarray(bias)}
    return State(arrays, {"temperature": head.temperature, "layers": len(head.layers)})


def head_of(state: State) -> Head:
    """The head that `head_state` wrote."""
    layers = [
        (state.arrays[f"weights{i}"], state.arrays[f"bias{i}"])
        for i in range(state.values["layers"])
    ]
    arrays = state.arrays
    return Head(tuple(layers), arrays["mean"], arrays["deviation"], state.values["temperature"])
