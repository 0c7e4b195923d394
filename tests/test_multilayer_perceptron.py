"""The perceptron's solver: what a step is, that it learns, can be stopped and continued."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.neural_network import MLPClassifier

from silverprint import _core
from silverprint.errors import TrainingCancelled
from support.children import run_python

Solver = _core.solve.MultilayerPerceptron
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Layers = list[tuple[Doubles, Doubles]]


def rings(rows: int, classes: int = 3, *, seed: int = 0) -> tuple[Floats, Labels]:
    """Labels by distance from the middle, which no linear head can tell apart."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    labels = np.minimum((np.hypot(*x.T) * 1.3).astype(np.int32), classes - 1)
    labels[:classes] = np.arange(classes)
    return np.asarray(np.hstack([x, rng.normal(size=(rows, 3))]), np.float32), labels


def make(x: Floats, labels: Labels, sizes: list[int], l2: float = 1e-3, **options: Any) -> Any:
    return Solver(x, np.arange(len(x)), labels, int(labels.max()) + 1, sizes, l2, **options)


def iterate(solver: Any, most: int = 300) -> Any:
    token = _core.runtime.CancelToken()
    for _ in range(most):
        if not solver.step(token):
            break
    return solver


def standardised(x: Floats) -> Doubles:
    return (x - x.mean(0, dtype=np.float64)) / x.std(0, dtype=np.float64)


def wide(solver: Any) -> Layers:
    return [(w.astype(np.float64), b.astype(np.float64)) for w, b in solver.layers()]


def forward(x: Doubles, layers: Layers) -> tuple[list[Doubles], Doubles]:
    """What each layer is given, and the probabilities."""
    inputs = []
    for w, b in layers:
        inputs.append(x)
        scores = x @ w + b
        x = np.maximum(scores, 0)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return inputs, powers / powers.sum(1, keepdims=True)


def value_and_gradients(
    x: Doubles, labels: Labels, layers: Layers, l2: float, weights: Doubles
) -> tuple[float, Layers]:
    """Mean log loss + l2/2 |W|^2 and its derivatives by back-propagation, in float64."""
    inputs, p = forward(x, layers)
    rows = np.arange(len(x))
    value = -(weights * np.log(p[rows, labels])).sum() + l2 / 2 * sum(
        (w**2).sum() for w, _ in layers
    )
    signal = p.copy()
    signal[rows, labels] -= 1
    signal *= weights[:, None]
    gradients: Layers = []
    for (w, _), active in zip(reversed(layers), reversed(inputs), strict=True):
        gradients.insert(0, (active.T @ signal + l2 * w, signal.sum(0)))
        signal = (signal @ w.T) * (active > 0)
    return float(value), gradients


@pytest.mark.parametrize("sizes", [[1], [16], [17], [64], [5, 3], [33, 16, 8]])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_iteration_over_one_batch_is_that_many_steps_of_adam(
    sizes: list[int], weighted: bool
) -> None:
    """30 rows are one batch, whose order does not matter, and 32 steps are an iteration: against
    float64 back-propagation and the update as Kingma and Ba write it."""
    x, labels = rings(30)
    row_weights = np.array([1, 2, 0.5])[labels] if weighted else np.ones(30)
    solver = make(x, labels, sizes, 0.1, weights=row_weights.astype(np.float32))
    layers = wide(solver)
    iterate(solver, 1)
    row_weights /= row_weights.sum()
    z = standardised(x)
    moments = [[(np.zeros_like(part), np.zeros_like(part)) for part in layer] for layer in layers]
    values = []
    for t in range(1, 33):
        value, gradients = value_and_gradients(z, labels, layers, 0.1, row_weights)
        values.append(value)
        for number, parts in enumerate(gradients):
            updated = []
            for place, gradient in enumerate(parts):
                first, second = moments[number][place]
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient**2
                moments[number][place] = first, second
                move = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
                updated.append(layers[number][place] - 1e-2 * move)  # the rate for few features
            layers[number] = updated[0], updated[1]
    assert solver.value() == pytest.approx(np.mean(values), rel=1e-5)
    layers[-1] = layers[-1][0], layers[-1][1] - layers[-1][1].mean()
    for ours, expected in zip(wide(solver), layers, strict=True):
        np.testing.assert_allclose(ours[0], expected[0], atol=2e-4)
        np.testing.assert_allclose(ours[1], expected[1], atol=2e-4)


def test_it_learns_what_no_linear_head_can() -> None:
    x, labels = rings(600)
    test_x, test_labels = rings(600, seed=1)
    solver = iterate(make(x, labels, [32]))
    ours = (solver.probabilities(test_x).argmax(1) == test_labels).mean()
    sklearn = MLPClassifier((32,), max_iter=1500, random_state=0).fit(standardised(x), labels)
    theirs = (sklearn.predict(standardised(test_x)) == test_labels).mean()
    assert ours > 0.85
    assert ours > theirs - 0.03
    linear = iterate(_core.solve.LogisticRegression(x, np.arange(600), labels, 3, 1e-3))
    assert (linear.probabilities(test_x).argmax(1) == test_labels).mean() < 0.6


def test_probabilities_are_those_of_the_layers() -> None:
    x, labels = rings(90)
    solver = iterate(make(x, labels, [20, 7]), 5)
    assert [w.shape for w, _ in solver.layers()] == [(5, 20), (20, 7), (7, 3)]
    _, expected = forward(standardised(x), wide(solver))
    np.testing.assert_allclose(solver.probabilities(x), expected, atol=1e-5)


def test_constant_features_take_no_part() -> None:
    x, labels = rings(60)
    x[:, 3] = 7
    solver = iterate(make(x, labels, [8]), 20)
    assert solver.constant_features == 1
    weights = solver.layers()[0][0]
    assert not weights[3].any()
    assert weights[[0, 1, 2, 4]].all()


def test_the_seed_decides_the_start_and_the_order_of_pictures() -> None:
    x, labels = rings(90)
    one, same, other = (iterate(make(x, labels, [8], seed=seed), 3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.layers()[0][0], same.layers()[0][0])
    assert not np.array_equal(one.layers()[0][0], other.layers()[0][0])


def test_another_penalty_starts_anew() -> None:
    x, labels = rings(90)
    solver = iterate(make(x, labels, [8], 10.0), 5)
    solver.set_l2(1e-3)
    fresh = make(x, labels, [8], 1e-3)
    assert solver.iteration == 0
    for one, other in zip(iterate(solver, 5).layers(), iterate(fresh, 5).layers(), strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_it_converges_and_then_stays() -> None:
    x, labels = rings(200)
    solver = iterate(make(x, labels, [16], tolerance=0.05))
    assert solver.converged
    assert 5 < solver.iteration < 300
    weights = solver.layers()[0][0]
    assert not solver.step(_core.runtime.CancelToken())
    np.testing.assert_array_equal(solver.layers()[0][0], weights)


def test_a_restored_solver_continues_bit_for_bit() -> None:
    x, labels = rings(150)
    straight = iterate(make(x, labels, [24], seed=3), 12)
    first = iterate(make(x, labels, [24], seed=3), 5)
    second = make(x, labels, [24], seed=3)
    second.restore(first.state())
    iterate(second, 7)
    assert second.iteration == straight.iteration == 12
    for key, value in straight.state().items():
        np.testing.assert_array_equal(second.state()[key], value, err_msg=key)


def test_a_state_of_another_problem_is_refused_and_changes_nothing() -> None:
    x, labels = rings(60)
    solver = iterate(make(x, labels, [8]), 2)
    before = solver.state()
    with pytest.raises(ValueError, match="another size"):
        solver.restore(make(x, labels, [9]).state())
    np.testing.assert_array_equal(solver.state()["w"], before["w"])


def test_a_cancelled_iteration_leaves_the_last_whole_one() -> None:
    x, labels = rings(4000)
    solver = make(x, labels, [256])
    iterate(solver, 1)
    before = solver.state()
    token = _core.runtime.CancelToken()
    canceller = threading.Thread(target=token.cancel)
    canceller.start()
    done = False
    while not done:
        before = solver.state()
        try:
            solver.step(token)
        except TrainingCancelled:
            done = True
    canceller.join()
    np.testing.assert_array_equal(solver.state()["w"], before["w"])
    assert solver.step(_core.runtime.CancelToken())


def bytes_of_a_run(**environment: str) -> str:
    program = """
import hashlib, numpy as np
from silverprint import _core
rng = np.random.default_rng(0)
x = rng.normal(size=(333, 70)).astype(np.float32)
labels = (np.arange(333) % 5).astype(np.int32)
solver = _core.solve.MultilayerPerceptron(x, np.arange(333), labels, 5, [130, 33], 0.01)
for _ in range(4):
    solver.step(_core.runtime.CancelToken())
parts = [solver.state()["w"], solver.state()["second"], solver.probabilities(x)]
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""
    return run_python(program, env=environment).stdout.strip()


@pytest.fixture(scope="module")
def plain_bytes() -> str:
    return bytes_of_a_run(SILVERPRINT_ISA="plain", SILVERPRINT_THREADS="1")


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("isa", _core.build.available_isas())
def test_every_instruction_set_and_number_of_threads_gives_the_same_bytes(
    plain_bytes: str, isa: str, threads: str
) -> None:
    assert bytes_of_a_run(SILVERPRINT_ISA=isa, SILVERPRINT_THREADS=threads) == plain_bytes


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ([0], {}, "layer_sizes"),
        ([70000], {}, "layer_sizes"),
        ([8], {"l2": -1.0}, "l2"),
        ([8], {"tolerance": 0.0}, "tolerance"),
        ([8], {"threads": -1}, "threads"),
    ],
)
def test_bad_settings_are_errors(sizes: list[int], options: dict[str, Any], message: str) -> None:
    x, labels = rings(30)
    with pytest.raises(ValueError, match=message):
        make(x, labels, sizes, **options)
