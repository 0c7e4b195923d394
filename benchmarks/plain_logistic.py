"""The rival of logistic regression: scikit-learn's solvers, each stopped as early as it may be."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import scipy.optimize
from logistic_problem import Problem, Weights
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._linear_loss import LinearModelLoss

SOLVERS = (
    ("newton-cg", "float32"),
    ("lbfgs", "float32"),
    ("newton-cholesky", "float32"),
    ("newton-cg", "float64"),
    ("lbfgs", "float64"),
)
_MOST_ITERATIONS = 100_000
_LARGEST_HESSIAN = 4e9
# Above this the solver's own value, a float32 sum, settles that a point is not good enough yet.
_CERTAIN = 1e-5
# What a Newton solver calls once at each of its points.
_EACH_ITERATION = {
    "newton-cg": "gradient_hessian_product",
    "newton-cholesky": "gradient_hessian",
}


@dataclass(frozen=True)
class Search:
    """When a solver first reaches the target.

    Attributes:
        iterations: outer iterations that it takes; None: not reached.
        tried: iterations that it finished.
        seconds: how long it ran.
        excess: of the last point looked at, relative to the optimum.
    """

    iterations: int | None
    tried: int
    seconds: float
    excess: float


class _Stop(Exception):  # noqa: N818
    pass


def infeasible(problem: Problem, solver: str) -> str:
    """Why a solver is not run at all; "" if it is."""
    size = 4.0 * (problem.classes * (problem.x.shape[1] + 1)) ** 2
    if solver == "newton-cholesky" and size > _LARGEST_HESSIAN:
        return f"its Hessian would take {size / 1e9:.0f} GB"
    return ""


def fit(
    problem: Problem,
    solver: str,
    dtype: str,
    max_iter: int = _MOST_ITERATIONS,
    tol: float = 1e-14,
    begin: Weights | None = None,
) -> Weights:
    """scikit-learn's solution after `max_iter` iterations at most."""
    model = LogisticRegression(
        C=1 / (problem.l2 * len(problem.x)),
        solver=solver,
        max_iter=max_iter,
        tol=tol,
        warm_start=begin is not None,
    )
    if begin is not None:
        model.coef_, model.intercept_ = begin.w.T.copy(), begin.b.copy()
        model.classes_ = np.arange(problem.classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.x if dtype == "float32" else problem.x64, problem.labels)
    return Weights(model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64))


def search(
    problem: Problem, solver: str, dtype: str, optimum: float, target: float, seconds: float
) -> Search:
    """Run a solver once, looking at each of its points, until the target or the time is reached.

    The time spent looking does not count.
    """
    looked = 0.0
    excess = float("nan")
    reached: int | None = None
    tried = 0
    spent = 0.0
    begin = time.perf_counter()

    def look(iteration: int, point: np.ndarray, own_value: float) -> None:
        nonlocal looked, excess, reached, spent, tried
        tried = iteration
        now = time.perf_counter()
        spent = now - begin - looked
        late = spent > seconds
        certain = own_value > optimum * (1 + max(_CERTAIN, 10 * target))
        if late or not certain:
            excess = problem.value(_unravel(point, problem.classes)) / optimum - 1
            if excess <= target:
                reached = iteration
        else:
            excess = own_value / optimum - 1
        looked += time.perf_counter() - now
        if late or reached is not None:
            raise _Stop

    watched = _watched_lbfgs(look) if solver == "lbfgs" else _watched_newton(solver, look)
    try:
        with watched:
            fit(problem, solver, dtype)
    except _Stop:
        pass
    return Search(reached, tried, spent, excess)


def improve(problem: Problem, begin: Weights, seconds: float) -> Weights:
    """The best point that float64 Newton-CG comes to in `seconds`, from a good one."""
    best, lowest = begin, problem.value(begin)
    deadline = time.perf_counter() + seconds

    def look(_iteration: int, point: np.ndarray, _value: float) -> None:
        nonlocal best, lowest
        weights = _unravel(point, problem.classes)
        value = problem.value(weights)
        gained, lowest = lowest - value, min(value, lowest)
        if gained > 0:
            best = weights
        if _iteration > 0 and (gained < 1e-9 * value or time.perf_counter() > deadline):
            raise _Stop

    try:
        with _watched_newton("newton-cg", look):
            fit(problem, "newton-cg", "float64", begin=begin)
    except _Stop:
        pass
    return best


@contextmanager
def _watched_newton(solver: str, look: Any) -> Iterator[None]:
    method = _EACH_ITERATION[solver]
    original = getattr(LinearModelLoss, method)
    iteration = -1

    def watched(self: Any, coef: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        nonlocal iteration
        iteration += 1
        look(iteration, coef, -np.inf)
        return original(self, coef, *args, **kwargs)

    with mock.patch.object(LinearModelLoss, method, watched):
        yield


@contextmanager
def _watched_lbfgs(look: Any) -> Iterator[None]:
    original = scipy.optimize.minimize
    iteration = 0

    def callback(intermediate_result: Any) -> None:
        nonlocal iteration
        iteration += 1
        look(iteration, intermediate_result.x, float(intermediate_result.fun))

    def watched(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **{**kwargs, "callback": callback})

    with mock.patch.object(scipy.optimize, "minimize", watched):
        yield


def _unravel(point: np.ndarray, classes: int) -> Weights:
    """scikit-learn's vector of parameters: columns of (classes, features + 1)."""
    matrix = np.asarray(point, np.float64).reshape((classes, -1), order="F")
    return Weights(matrix[:, :-1].T.copy(), matrix[:, -1].copy())
