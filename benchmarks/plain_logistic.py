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
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._linear_loss import LinearModelLoss
from threadpoolctl import ThreadpoolController

import common
from logistic_problem import Problem, Weights

_MOST_ITERATIONS = 100_000
_MOST_IMPROVEMENTS = 3
_LARGEST_HESSIAN = 4e9
# Above this the solver's own value, a float32 sum, settles that a point is not good enough yet.
_CERTAIN = {"float32": 1e-4, "float64": 1e-5}
# What a Newton solver calls once at each of its points.
_EACH_ITERATION = {
    "newton-cg": "gradient_hessian_product",
    "newton-cholesky": "gradient_hessian",
}


_TRIAL_ITERATIONS = {"newton-cg": 2, "lbfgs": 20}


@dataclass(frozen=True)
class Rival:
    """A solver of scikit-learn and how it runs.

    Attributes:
        solver, dtype: as scikit-learn and numpy name them.
        threads: of numpy's BLAS, which multiplies matrices.
        vector_threads: of scipy's BLAS, which works on the few long vectors of L-BFGS.
    """

    solver: str
    dtype: str
    threads: int
    vector_threads: int

    def __str__(self) -> str:
        vector = f" + {self.vector_threads}" if self.vector_threads != self.threads else ""
        return f"scikit-learn {self.solver} {self.dtype}, BLAS threads {self.threads}{vector}"


def rivals(problem: Problem, threads: int) -> Iterator[Rival]:
    """Every solver that is worth running, with the number of threads that suits it best."""
    for solver, dtype in (
        ("newton-cg", "float32"),
        ("lbfgs", "float32"),
        ("newton-cholesky", "float32"),
        ("newton-cg", "float64"),
        ("lbfgs", "float64"),
    ):
        trial = _TRIAL_ITERATIONS.get(solver)
        if trial is None:
            yield Rival(solver, dtype, threads, threads)
            continue
        ways = [Rival(solver, dtype, threads, threads), Rival(solver, dtype, 1, 1)]
        if solver == "lbfgs":
            ways.append(Rival(solver, dtype, threads, 1))
        fit(problem, ways[0], 1)
        seconds = common.interleaved(
            {str(way): lambda w=way, t=trial: fit(problem, w, t) for way in ways}, 2
        )
        yield min(ways, key=lambda way: min(seconds[str(way)]))


@dataclass(frozen=True)
class Search:
    """When a solver first reaches the target.

    Attributes:
        iterations: outer iterations that it takes; None: not reached.
        tried: iterations that it finished.
        gave_up: it ended by itself, as L-BFGS does where float32 shows no progress any more.
        seconds: how long it ran.
        excess: of the last point, relative to the optimum.
    """

    iterations: int | None
    tried: int
    gave_up: bool
    seconds: float
    excess: float


class _Stop(Exception):
    pass


def infeasible(problem: Problem, rival: Rival) -> str:
    """Why a solver is not run at all; "" if it is."""
    size = 4.0 * (problem.classes * (problem.x.shape[1] + 1)) ** 2
    if rival.solver == "newton-cholesky" and size > _LARGEST_HESSIAN:
        return f"its Hessian would take {size / 1e9:.0f} GB"
    return ""


def fit(
    problem: Problem,
    rival: Rival,
    max_iter: int = _MOST_ITERATIONS,
    tol: float = 1e-14,
    begin: Weights | None = None,
) -> Weights:
    """scikit-learn's solution after `max_iter` iterations at most."""
    model = LogisticRegression(
        C=1 / (problem.l2 * len(problem.x)),
        solver=rival.solver,
        max_iter=max_iter,
        tol=tol,
        warm_start=begin is not None,
    )
    if begin is not None:
        model.coef_, model.intercept_ = begin.w.T.copy(), begin.b.copy()
        model.classes_ = np.arange(problem.classes)
    with warnings.catch_warnings(), _blas_threads(rival):
        warnings.simplefilter("ignore")
        model.fit(problem.x if rival.dtype == "float32" else problem.x64, problem.labels)
    return Weights(model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64))


def search(problem: Problem, rival: Rival, optimum: float, target: float, seconds: float) -> Search:
    """Run a solver once, looking at each of its points, until the target or the time is reached.

    The time spent looking does not count.
    """
    looked = spent = 0.0
    tried = 0
    last: np.ndarray | None = None
    reached: int | None = None
    certain = optimum * (1 + _CERTAIN[rival.dtype])
    begin = time.perf_counter()

    def excess() -> float:
        return problem.value(_unravel(last, problem.classes)) / optimum - 1

    def look(iteration: int, point: np.ndarray, own_value: float) -> None:
        nonlocal looked, spent, tried, last, reached
        now = time.perf_counter()
        spent = now - begin - looked
        tried, last = iteration, point.copy()
        if own_value <= certain and excess() <= target:
            reached = iteration
        looked += time.perf_counter() - now
        if reached is not None or spent > seconds:
            raise _Stop

    watched = _watched_lbfgs if rival.solver == "lbfgs" else _watched_newton
    gave_up = False
    try:
        with watched(rival, look):
            fit(problem, rival)
        gave_up = True
    except _Stop:
        pass
    return Search(reached, tried, gave_up, spent, excess())


def improve(problem: Problem, begin: Weights, threads: int, enough: float) -> Weights:
    """Where float64 Newton-CG comes to from a good point, until `problem.gap_bound` <= enough."""
    best = begin
    newton = Rival("newton-cg", "float64", threads, threads)

    def look(iteration: int, point: np.ndarray, _value: float) -> None:
        nonlocal best
        weights = _unravel(point, problem.classes)
        if problem.value(weights) < problem.value(best):
            best = weights
        if iteration >= _MOST_IMPROVEMENTS or problem.gap_bound(best) <= enough:
            raise _Stop

    try:
        with _watched_newton(newton, look):
            fit(problem, newton, begin=begin)
    except _Stop:
        pass
    return best


@contextmanager
def _blas_threads(rival: Rival) -> Iterator[None]:
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [library.num_threads for library in libraries]
    try:
        for library in libraries:
            of_scipy = "scipy.libs" in library.filepath
            library.set_num_threads(rival.vector_threads if of_scipy else rival.threads)
        yield
    finally:
        for library, count in zip(libraries, before, strict=True):
            library.set_num_threads(count)


@contextmanager
def _watched_newton(rival: Rival, look: Any) -> Iterator[None]:
    method = _EACH_ITERATION[rival.solver]
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
def _watched_lbfgs(_rival: Rival, look: Any) -> Iterator[None]:
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
