"""The solver: what it minimises, that it gets there, and that it can be stopped and continued."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression as SklearnRegression

from silverprint import _core
from silverprint.errors import TrainingCancelled
from support.children import run_python

Solver = _core.solve.LogisticRegression
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]


def problem(
    rows: int, columns: int, classes: int, *, seed: int = 0, signal: float = 1.0
) -> tuple[Floats, Labels]:
    """Correlated features of very different scales, and labels that depend on some of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns)) / columns**0.5
    scores = signal * x[:, : columns // 2 + 1] @ rng.normal(size=(columns // 2 + 1, classes))
    labels = (scores + rng.gumbel(size=scores.shape)).argmax(1)
    labels[:classes] = np.arange(classes)
    scale, shift = 10 ** rng.uniform(-2, 2, columns), rng.normal(size=columns)
    return ((x + shift) * scale).astype(np.float32), labels.astype(np.int32)


def make(x: Floats, labels: Labels, l2: float = 1e-2, **options: Any) -> Any:
    rows = np.arange(len(x))
    return Solver(x, rows, labels, int(labels.max()) + 1, l2, **options)


def converge(solver: Any) -> Any:
    token = _core.runtime.CancelToken()
    for _ in range(200):
        if not solver.step(token):
            return solver
    raise AssertionError("no convergence in 200 iterations")


def standardised(x: Floats) -> Doubles:
    deviation = x.std(axis=0, dtype=np.float64)
    constant = deviation <= 1e-4 * np.median(deviation)
    z = (x - x.mean(axis=0, dtype=np.float64)) / np.where(constant, 1, deviation)
    z[:, constant] = 0
    return z


def objective(
    z: Doubles,
    labels: Labels,
    w: Doubles,
    b: Doubles,
    l2: float,
    class_weights: Doubles | None = None,
) -> float:
    """(Weighted) mean log loss + l2/2 |W|^2, intercepts free, in float64."""
    scores = z @ w + b
    scores -= scores.max(1, keepdims=True)
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(z)), labels]
    row_weights = None if class_weights is None else class_weights[labels]
    return float(np.average(losses, weights=row_weights) + l2 / 2 * (w**2).sum())


def by_sklearn(
    z: Doubles, labels: Labels, l2: float, class_weights: Doubles | None = None
) -> tuple[Doubles, Doubles]:
    """The optimum's weights (d, classes) and intercepts, by scikit-learn in float64."""
    total = len(z) if class_weights is None else class_weights[labels].sum()
    two = labels.max() == 1
    # With two classes scikit-learn has one vector, the difference of ours: half the penalty.
    model = SklearnRegression(
        C=(2 if two else 1) / (l2 * total),
        solver="newton-cg",
        tol=1e-7,
        max_iter=2000,
        class_weight=None if class_weights is None else dict(enumerate(class_weights)),
    )
    model.fit(z, labels)
    w, b = model.coef_.T, model.intercept_
    return (np.hstack([-w / 2, w / 2]), np.array([-b[0] / 2, b[0] / 2])) if two else (w, b)


def reaches_sklearn(
    x: Floats, labels: Labels, l2: float, class_weights: Doubles | None = None
) -> Any:
    weights = None if class_weights is None else class_weights[labels].astype(np.float32)
    solver = converge(make(x, labels, l2, weights=weights))
    z = standardised(x)
    w, b = solver.layers()[0]
    ours = objective(z, labels, w.astype(np.float64), b.astype(np.float64), l2, class_weights)
    theirs_w, theirs_b = by_sklearn(z, labels, l2, class_weights)
    theirs = objective(z, labels, theirs_w, theirs_b, l2, class_weights)
    assert ours <= theirs * (1 + 1e-5)
    agreement = np.mean((z @ w + b).argmax(1) == (z @ theirs_w + theirs_b).argmax(1))
    assert agreement >= 0.995
    return solver


# What it minimises


def test_value_is_the_documented_objective() -> None:
    x, labels = problem(300, 20, 4)
    for class_weights in (None, np.array([1.0, 2.0, 0.5, 3.0])):
        weights = None if class_weights is None else class_weights[labels].astype(np.float32)
        solver = make(x, labels, 0.03, weights=weights)
        assert solver.value() == pytest.approx(np.log(4), rel=1e-6)  # all weights start at 0
        token = _core.runtime.CancelToken()
        for _ in range(3):
            solver.step(token)
            w, b = (array.astype(np.float64) for array in solver.layers()[0])
            exact = objective(standardised(x), labels, w, b, 0.03, class_weights)
            assert solver.value() == pytest.approx(exact, rel=2e-6)


def test_standardisation_is_that_of_the_training_rows() -> None:
    x, labels = problem(200, 70, 3)
    rows = np.arange(0, 200, 2)
    solver = Solver(x, rows, labels[rows], 3, 0.01)
    np.testing.assert_allclose(solver.mean, x[rows].mean(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(solver.deviation, x[rows].std(0, dtype=np.float64), rtol=1e-9)


def test_rows_choose_and_may_repeat() -> None:
    x, labels = problem(200, 10, 3)
    rows = np.array([*range(150), 7, 7, 3])
    chosen = converge(Solver(x, rows, labels[rows], 3, 0.01))
    copied = converge(make(x[rows].copy(), labels[rows]))
    assert chosen.state()["w"].tobytes() == copied.state()["w"].tobytes()


def test_probabilities_are_the_softmax_of_the_linear_scores() -> None:
    x, labels = problem(300, 20, 4)
    solver = converge(make(x[:200], labels[:200]))
    w, b = (array.astype(np.float64) for array in solver.layers()[0])
    scores = (x[200:] - solver.mean) / solver.deviation @ w + b
    exact = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(solver.probabilities(x[200:]), exact, atol=1e-5)
    assert solver.probabilities(x[:0]).shape == (0, 4)


def test_intercepts_have_mean_zero() -> None:
    x, labels = problem(200, 10, 5)
    _, intercepts = converge(make(x, labels)).layers()[0]
    assert intercepts.sum() == pytest.approx(0, abs=1e-5)


# Whether it gets there


@pytest.mark.parametrize("l2", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(
    ("rows", "columns", "classes"), [(1500, 60, 2), (1500, 60, 10), (300, 17, 3), (64, 1, 2)]
)
def test_the_optimum_is_scikit_learns(rows: int, columns: int, classes: int, l2: float) -> None:
    x, labels = problem(rows, columns, classes, seed=rows + classes)
    reaches_sklearn(x, labels, l2)


def test_more_features_than_rows() -> None:
    x, labels = problem(50, 400, 4)
    reaches_sklearn(x, labels, 1e-2)


def test_more_classes_than_lanes() -> None:
    x, labels = problem(800, 20, 33)
    reaches_sklearn(x, labels, 1e-2)


def test_separable_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300, dtype=np.int32) % 3
    x = (rng.normal(size=(300, 30)) * 0.01 + 10 * np.eye(30)[labels]).astype(np.float32)
    # All features but three are pure noise, yet far above a ten-thousandth of the median.
    solver = reaches_sklearn(x, labels, 1e-4)
    assert solver.probabilities(x).argmax(1).tolist() == labels.tolist()


def test_unbalanced_labels() -> None:
    x, labels = problem(1500, 20, 3)
    kept = (labels != 2) | (np.arange(1500) % 40 == 0)
    reaches_sklearn(x[kept], labels[kept], 1e-3)


@pytest.mark.parametrize("classes", [2, 5])
def test_class_weights_are_scikit_learns(classes: int) -> None:
    x, labels = problem(1000, 20, classes)
    labels[::3] = 0
    balanced = len(labels) / (classes * np.bincount(labels))  # scikit-learn's "balanced"
    reaches_sklearn(x, labels, 1e-2, balanced)
    reaches_sklearn(x, labels, 1e-2, np.linspace(0.5, 4, classes))


def test_equal_class_weights_change_nothing() -> None:
    x, labels = problem(300, 20, 3)
    plain = converge(make(x, labels))
    weighted = converge(make(x, labels, weights=np.full(len(x), 4.0, np.float32)))
    np.testing.assert_array_equal(plain.layers()[0][0], weighted.layers()[0][0])


def test_duplicate_rows_and_columns() -> None:
    x, labels = problem(300, 15, 3)
    solver = reaches_sklearn(np.tile(x, (3, 2)), np.tile(labels, 3), 1e-2)
    w, _ = solver.layers()[0]
    np.testing.assert_allclose(w[:15], w[15:], atol=2e-3)


def test_constant_features_are_counted_and_weigh_nothing() -> None:
    x, labels = problem(300, 20, 3)
    dead = [0, 7, 19]
    x[:, 0], x[:, 7] = 5.0, 0.0
    # Under a ten-thousandth of the median deviation counts as constant.
    rng = np.random.default_rng(1)
    x[:, 19] = 1 + np.median(x.std(0)) * 5e-5 * rng.choice([-1, 1], 300)
    solver = reaches_sklearn(x, labels, 1e-2)
    assert solver.constant_features == 3
    w, _ = solver.layers()[0]
    assert np.all(w[dead] == 0)
    assert np.all(np.abs(w).max(1)[np.setdiff1d(np.arange(20), dead)] > 0)


def test_without_any_live_feature_the_labels_frequencies_are_the_answer() -> None:
    labels = np.int32([0] * 6 + [1] * 3 + [2])
    solver = converge(make(np.ones((10, 4), np.float32), labels))
    assert solver.constant_features == 4
    shares = solver.probabilities(np.zeros((1, 4), np.float32))[0]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=2e-3)


def test_a_label_without_rows_gets_next_to_no_probability() -> None:
    x, labels = problem(100, 5, 2)
    solver = converge(Solver(x, np.arange(100), labels, 3, 0.1))
    assert solver.probabilities(x)[:, 2].max() < 0.01


@pytest.mark.parametrize("scale", [1e-37, 1e-10, 1e10, 1e37])
def test_the_scale_of_the_features_does_not_matter(scale: float) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, size=(200, 8)).astype(np.float32)
    labels = (x[:, 0] + x[:, 1] > 0).astype(np.int32)
    usual, scaled = converge(make(x, labels)), converge(make(x * np.float32(scale), labels))
    assert scaled.constant_features == 0
    assert scaled.value() == pytest.approx(usual.value(), rel=1e-5)


# One step at a time


def test_it_advances_one_iteration_at_a_time_and_says_when_it_is_done() -> None:
    solver, token = make(*problem(300, 20, 3)), _core.runtime.CancelToken()
    values = [solver.value()]
    while True:
        assert solver.iteration == len(values) - 1
        more = solver.step(token)
        values.append(solver.value())
        assert solver.converged is not more
        if not more:
            break
    assert values == sorted(values, reverse=True)
    before = solver.state()["w"].tobytes()
    assert solver.step(token) is False  # a converged solver stays where it is
    assert solver.state()["w"].tobytes() == before
    assert solver.iteration == len(values) - 1


def trajectory(solver: Any) -> Iterator[bytes]:
    """The weights' bytes after each step, to the end."""
    token, more = _core.runtime.CancelToken(), True
    while more:
        more = solver.step(token)
        yield solver.state()["w"].tobytes()


def as_arrays(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: np.array(part, copy=True) if isinstance(part, np.ndarray) else part
        for name, part in state.items()
    }


def through_bytes(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: np.frombuffer(part.tobytes(), np.float32) if isinstance(part, np.ndarray) else part
        for name, part in state.items()
    }


@pytest.mark.parametrize("copy", [as_arrays, through_bytes])
def test_a_restored_solver_continues_bit_for_bit(
    copy: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    # Hard enough that the preconditioner is made anew on the way.
    x, labels = problem(600, 90, 7, signal=4)
    whole = list(trajectory(make(x, labels, 1e-5)))
    assert len(whole) > 6
    for split in range(len(whole)):
        first = make(x, labels, 1e-5)
        token = _core.runtime.CancelToken()
        for _ in range(split):
            first.step(token)
        second = make(x, labels, 1.0)
        second.restore(copy(first.state()))
        assert second.l2 == 1e-5
        assert list(trajectory(second)) == whole[split:]


def test_a_state_of_another_problem_is_refused_and_changes_nothing() -> None:
    small, large = make(*problem(50, 4, 3)), make(*problem(50, 40, 3), l2=5.0)
    before = small.state()
    with pytest.raises(ValueError, match="problem of another size"):
        small.restore(large.state())
    after = small.state()
    assert after["w"].tobytes() == before["w"].tobytes()
    assert after["l2"] == before["l2"]


def test_a_path_of_penalties_reaches_the_same_optima_from_warm_starts() -> None:
    x, labels = problem(600, 30, 4)
    solver, warm, cold = make(x, labels, 1.0), 0, 0
    for l2 in (1.0, 0.3, 0.1, 0.03):
        solver.set_l2(l2)
        assert solver.l2 == l2
        before = solver.iteration
        converge(solver)
        fresh = converge(make(x, labels, l2))
        assert solver.value() == pytest.approx(fresh.value(), rel=1e-5)
        warm, cold = warm + solver.iteration - before, cold + fresh.iteration
    assert warm <= cold


def test_cancelling_leaves_the_last_whole_step() -> None:
    x, labels = problem(300, 20, 3)
    solver, token = make(x, labels), _core.runtime.CancelToken()
    solver.step(token)
    before = solver.state()
    token.cancel()
    assert token.cancelled
    with pytest.raises(TrainingCancelled):
        solver.step(token)
    after = solver.state()
    for name, part in before.items():
        np.testing.assert_array_equal(after[name], part)
    assert np.isfinite(solver.probabilities(x)).all()


def test_cancelling_within_a_step_changes_nothing_of_what_follows() -> None:
    x, labels = problem(3000, 200, 20, signal=3)
    whole = list(trajectory(make(x, labels, 1e-5)))
    solver, token = make(x, labels, 1e-5), _core.runtime.CancelToken()
    timer = threading.Timer(0.02, token.cancel)
    timer.start()

    def step_until_cancelled() -> None:
        nonlocal solver
        while True:
            if not solver.step(token):  # too fast to be met within a step
                timer.join()
                solver = make(x, labels, 1e-5)

    with pytest.raises(TrainingCancelled):
        step_until_cancelled()
    reached = solver.iteration
    assert list(trajectory(solver)) == whole[reached:]


# The same bytes everywhere

FIT = """
    import hashlib, sys, numpy as np
    from silverprint import _core
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 75)).astype(np.float32) + rng.normal(size=75).astype(np.float32)
    labels = (x[:, :19] + rng.gumbel(size=(400, 19))).argmax(1).astype(np.int32)
    solver = _core.solve.LogisticRegression(
        x, np.arange(400), labels, 19, 1e-3, threads=int(sys.argv[1]))
    token = _core.runtime.CancelToken()
    while solver.step(token):
        pass
    parts = [solver.state()["w"], solver.state()["anchor"], *solver.layers()[0],
             solver.mean, solver.deviation, solver.probabilities(x)]
    digest = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    print(_core.build.active_isa(), _core.build.threads(), solver.iteration, digest)
"""


def test_same_bytes_on_every_instruction_set_and_for_any_number_of_threads() -> None:
    isas = _core.build.available_isas()
    runs = [(isa, threads, 0) for isa in isas for threads in (1, 2)]
    runs += [("plain", 5, 3), ("plain", 5, 1)]
    results = set()
    for isa, pool, threads in runs:
        env = {"SILVERPRINT_ISA": isa, "SILVERPRINT_THREADS": str(pool)}
        active, threads_made, *result = run_python(FIT, threads, env=env).stdout.split()
        assert (active, threads_made) == (isa, str(pool))
        results.add(tuple(result))
    assert len(results) == 1


# What it refuses


def bad(name: str, value: object) -> dict[str, Any]:
    x, labels = problem(30, 4, 3)
    usual = {"features": x, "rows": np.arange(30), "labels": labels, "classes": 3, "l2": 0.1}
    return usual | {name: value}


def features(value: float) -> Floats:
    x, _ = problem(30, 4, 3)
    x[11, 2] = value
    return x


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (bad("features", features(np.nan)), "row 11 of the features is not finite"),
        (bad("features", features(np.inf)), "row 11 of the features is not finite"),
        (bad("features", np.zeros(4, np.float32)), "rows, columns"),
        (bad("features", np.zeros((30, 0), np.float32)), "rows, columns"),
        (bad("features", np.zeros((29, 4), np.float32)), "a row outside the features"),
        (bad("rows", np.arange(-1, 29)), "a row outside the features"),
        (bad("rows", np.arange(29)), "one label per row"),
        (bad("rows", np.arange(0)) | {"labels": np.int32([])}, "at least one row"),
        (bad("labels", np.full(30, 3, np.int32)), "a label outside 0..classes-1"),
        (bad("labels", np.full(30, -1, np.int32)), "a label outside 0..classes-1"),
        (bad("classes", 1), "at least 2 classes"),
        (bad("l2", 0.0), "l2 must be positive"),
        (bad("l2", -1.0), "l2 must be positive"),
        (bad("l2", np.nan), "l2 must be positive"),
        (bad("l2", np.inf), "l2 must be positive"),
        (bad("weights", np.ones(2, np.float32)), "one weight per row"),
        (bad("weights", np.float32([1, 0] * 15)), "weights must be positive"),
        (bad("weights", np.float32([1, np.nan] * 15)), "weights must be positive"),
    ],
)
def test_wrong_problems_are_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Solver(**arguments)


@pytest.mark.parametrize("l2", [0.0, -1.0, np.nan, np.inf])
def test_a_penalty_set_later_must_be_positive_too(l2: float) -> None:
    solver = make(*problem(30, 4, 3), l2=0.1)
    with pytest.raises(ValueError, match="l2 must be positive"):
        solver.set_l2(l2)
    with pytest.raises(ValueError, match="l2 must be positive"):
        solver.restore(solver.state() | {"l2": l2})
    assert solver.l2 == 0.1


def test_a_row_that_is_not_trained_on_may_hold_anything() -> None:
    solver = Solver(
        **bad("features", features(np.nan))
        | {"rows": np.arange(10), "labels": np.arange(10, dtype=np.int32) % 3}
    )
    assert np.isfinite(converge(solver).value())


def test_probabilities_check_the_number_of_columns() -> None:
    with pytest.raises(ValueError, match=r"expected \(rows, 4\)"):
        make(*problem(30, 4, 3)).probabilities(np.zeros((2, 5), np.float32))


def test_features_too_close_together_for_float32_are_an_answer_or_an_error() -> None:
    # Their deviation is a denormal number, its inverse infinite.
    code = """
        import numpy as np
        from silverprint import _core
        x = np.float32(1e-40) * np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        labels = np.arange(40, dtype=np.int32) % 2
        try:
            solver = _core.solve.LogisticRegression(x, np.arange(40), labels, 2, 0.1)
            token = _core.runtime.CancelToken()
            while solver.step(token):
                pass
            assert np.isfinite(solver.value())
        except ValueError:
            pass
    """
    run_python(code, timeout=20)
