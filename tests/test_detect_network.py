"""The detector's network: what it computes, its gradient, and equal bytes everywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from silverprint import _core
from support.children import run_python
from support.detector_network import Shape, Twin, named

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

FINE, MIDDLE, COARSE = (8, 5, 12, 16), (16, 7, 6, 8), (32, 9, 3, 4)
SHAPES = {
    "three inputs and a coarser level": Shape([FINE, MIDDLE, COARSE]),
    "two inputs": Shape([MIDDLE, COARSE], coarser=False, channels=48, tower=1),
    "one input, no context": Shape([(32, 9, 5, 3)], context=0, classes=1),
    "a map of several strips": Shape([(4, 3, 26, 80), (8, 4, 13, 40)], context=1, tower=1),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


@every_shape
@pytest.mark.parametrize("training", [True, False], ids=["training", "running"])
def test_logits_and_distances(shape: Shape, training: bool) -> None:
    network, rows = shape.network(), shape.rows(5)
    logits, distances = Twin(shape, network)(network.parameters.astype(np.float64), rows, training)
    ours = network.forward(rows, training)
    assert ours[0].shape == (5, network.cells, shape.classes)
    assert ours[1].shape == (5, network.cells, 4)
    np.testing.assert_allclose(ours[0], logits, atol=3e-5)
    np.testing.assert_allclose(ours[1], distances, rtol=3e-5)


@every_shape
def test_cells_come_level_by_level_finest_first(shape: Shape) -> None:
    network = shape.network()
    expected = [(stride, height, width) for stride, _, height, width in shape.inputs]
    if shape.coarser:
        stride, height, width = expected[-1]
        expected.append((2 * stride, (height + 1) // 2, (width + 1) // 2))
    assert network.levels == expected
    assert network.cells == sum(height * width for _, height, width in expected)


@every_shape
def test_training_moves_the_running_statistics_a_tenth_of_the_way(shape: Shape) -> None:
    """As in torch: towards the batch's mean and its unbiased variance."""
    network, rows = shape.network(), shape.rows(4)
    twin, before = Twin(shape, network), network.statistics
    network.forward(rows, False)
    np.testing.assert_array_equal(network.statistics, before)
    network.forward(rows, True)
    twin(network.parameters.astype(np.float64), rows, True)
    moved = named(network.statistics, network.statistic_list)
    for name, (mean, variance, count) in twin.batch_moments.items():
        batch = {"mean": mean, "variance": variance * count / (count - 1)}
        for kind, value in batch.items():
            old = named(before, network.statistic_list)[f"{name}.{kind}"]
            expected = old + 0.1 * (value - old)
            np.testing.assert_allclose(moved[f"{name}.{kind}"], expected, rtol=1e-4, atol=1e-5)


def signals(shape: Shape, network: Any, n: int) -> tuple[npt.NDArray[np.float32], ...]:
    rng = np.random.default_rng(1)
    by_logits = rng.normal(size=(n, network.cells, shape.classes)).astype(np.float32)
    return by_logits, rng.normal(0, 0.05, size=(n, network.cells, 4)).astype(np.float32)


@every_shape
def test_the_gradient_is_what_finite_differences_of_the_twin_give(shape: Shape) -> None:
    network, rows = shape.network(), shape.rows(3)
    twin, start = Twin(shape, network), network.parameters.astype(np.float64)
    by_logits, by_distances = signals(shape, network, 3)

    def value(parameters: npt.NDArray[np.float64]) -> float:
        logits, distances = twin(parameters, rows, True)
        return float(np.vdot(by_logits, logits) + np.vdot(by_distances, distances))

    network.forward(rows, True)
    gradient = network.backward(by_logits, by_distances)
    rng = np.random.default_rng(2)
    for name, part in named(np.arange(start.size), network.parameter_list).items():
        # Along the gradient, which shows scale, and in a random direction.
        own = gradient[part.ravel()].astype(np.float64)
        for direction in (own / np.linalg.norm(own), rng.normal(size=own.size)):
            step = np.zeros_like(start)
            step[part.ravel()] = 1e-7 * direction
            slope = (value(start + step) - value(start - step)) / 2e-7
            size = np.linalg.norm(own) * np.linalg.norm(direction)
            assert abs(slope - own @ direction) < 2e-4 * size, name


def test_where_the_exponent_is_held_distances_have_no_gradient() -> None:
    shape = Shape([COARSE], coarser=False)
    network, rows = shape.network(), shape.rows(2)
    flat = network.parameters
    bias = named(flat, network.parameter_list)["predictor.bias"]
    bias[shape.classes :] = [50, -50, 50, -50]
    network.parameters = flat
    _, distances = network.forward(rows, True)
    assert np.unique(distances[..., ::2]) == pytest.approx([32 * np.exp(4.5)])
    assert np.unique(distances[..., 1::2]) == pytest.approx([32 * np.exp(-4)])
    nothing = np.zeros((2, network.cells, shape.classes), np.float32)
    assert not network.backward(nothing, np.ones_like(distances)).any()


@every_shape
def test_against_torch(shape: Shape) -> None:
    torch = pytest.importorskip("torch")
    sys.path.append(str(BENCHMARKS))
    plain_detector = pytest.importorskip("plain_detector")
    network, rows = shape.network(), shape.rows(4)
    head = plain_detector.Head.of(network, shape.inputs, shape.mean, shape.deviation)
    by_logits, by_distances = signals(shape, network, 4)
    for training in (False, True):
        theirs = head.train(training)(torch.from_numpy(rows))
        ours = network.forward(rows, training)
        np.testing.assert_allclose(ours[0], theirs[0].detach(), atol=3e-5)
        np.testing.assert_allclose(ours[1], theirs[1].detach(), rtol=3e-5)
    torch.autograd.backward(theirs, [torch.from_numpy(by_logits), torch.from_numpy(by_distances)])
    ours = named(network.backward(by_logits, by_distances), network.parameter_list)
    for name, gradient in head.gradients().items():
        size = np.linalg.norm(gradient)
        assert np.linalg.norm(ours[name] - gradient) < 1e-5 * size, name


def test_a_smaller_batch_leaves_nothing_behind() -> None:
    shape = SHAPES["three inputs and a coarser level"]
    fresh, used = shape.network(), shape.network()
    used.forward(shape.rows(8, seed=3), True)
    used.backward(*signals(shape, used, 8))
    used.statistics = fresh.statistics
    for rows in (shape.rows(2), shape.rows(1)):
        for a, b in zip(fresh.forward(rows, True), used.forward(rows, True), strict=True):
            np.testing.assert_array_equal(a, b)
        given = signals(shape, fresh, len(rows))
        np.testing.assert_array_equal(fresh.backward(*given), used.backward(*given))


def test_a_picture_answers_alike_alone_and_among_others() -> None:
    shape = SHAPES["three inputs and a coarser level"]
    network, rows = shape.network(), shape.rows(5)
    together = network.forward(rows, False)
    for i in range(5):
        alone = network.forward(rows[i : i + 1], False)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_array_equal(a[i : i + 1], b)


def test_a_new_network_is_drawn_from_its_seed() -> None:
    def new(seed: int) -> Any:
        zeros, ones = np.zeros(21, np.float32), np.ones(21, np.float32)
        return _core.detect.Network([FINE, MIDDLE, COARSE], 3, zeros, ones, channels=48, seed=seed)

    network = new(5)
    np.testing.assert_array_equal(network.parameters, new(5).parameters)
    assert (network.parameters != new(6).parameters).any()
    parts = named(network.parameters, network.parameter_list)
    assert parts["context0.kernel"].std() == pytest.approx(np.sqrt(2 / (9 * 48)), rel=0.02)
    assert parts["lateral32.kernel"].std() == pytest.approx(np.sqrt(2 / 9), rel=0.1)
    assert (parts["tower1.gamma"] == 1).all()
    assert not parts["tower1.beta"].any()
    np.testing.assert_array_equal(parts["predictor.bias"], np.float32([-4] * 3 + [0.7] * 4))
    assert not parts["predictor.scale"].any()
    statistics = named(network.statistics, network.statistic_list)
    assert all((v == name.endswith("variance")).all() for name, v in statistics.items())


def test_kernels_decay_and_nothing_else() -> None:
    network = SHAPES["three inputs and a coarser level"].network()
    for name, (_, shape, decays) in network.parameter_list.items():
        assert decays == name.endswith(".kernel")
        assert decays == (len(shape) > 1)


def bytes_of_a_step(**environment: str) -> str:
    program = """
import hashlib, numpy as np
from support.detector_network import Shape
for shape, pictures in (
    (Shape([(8, 5, 24, 22), (16, 7, 12, 11)], context=1, tower=1), 18),
    (Shape([(16, 33, 6, 10), (32, 9, 3, 5)], channels=80, classes=20, coarser=False), 2),
):
    network, rows = shape.network(batch=20), shape.rows(pictures)
    logits, distances = network.forward(rows, True)
    gradient = network.backward(np.sin(logits), np.cos(distances))
    parts = [logits, distances, gradient, network.statistics, *network.forward(rows, False)]
    print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""
    return run_python(program, env=environment).stdout.strip()


@pytest.fixture(scope="module")
def plain_bytes() -> str:
    return bytes_of_a_step(SILVERPRINT_ISA="plain", SILVERPRINT_THREADS="1")


@pytest.mark.parametrize("threads", ["1", "2", "3"])
@pytest.mark.parametrize("isa", _core.build.available_isas())
def test_every_instruction_set_and_number_of_threads_gives_the_same_bytes(
    plain_bytes: str, isa: str, threads: str
) -> None:
    assert bytes_of_a_step(SILVERPRINT_ISA=isa, SILVERPRINT_THREADS=threads) == plain_bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": []}, "inputs: expected at least one"),
        ({"inputs": [FINE, COARSE]}, "inputs: expected twice the stride and half the size"),
        ({"inputs": [(16, 7, 7, 8), COARSE]}, "inputs: expected twice the stride"),
        ({"inputs": [(32, 0, 3, 4)]}, "inputs: expected positive"),
        ({"classes": 0}, "classes"),
        ({"channels": 40}, "channels: expected a multiple of 16"),
        ({"tower": 0}, "tower"),
        ({"batch": 0}, "batch"),
        ({"threads": -1}, "threads"),
        ({"mean": np.zeros(8, np.float32)}, "mean, deviation: expected one of each"),
        ({"deviation": np.zeros(9, np.float32)}, "positive deviations"),
        ({"mean": np.full(9, np.nan, np.float32)}, "finite means"),
    ],
)
def test_bad_options_are_errors(options: dict[str, Any], message: str) -> None:
    zeros, ones = np.zeros(9, np.float32), np.ones(9, np.float32)
    good = {"inputs": [COARSE], "classes": 2, "mean": zeros, "deviation": ones}
    with pytest.raises(ValueError, match=message):
        _core.detect.Network(**(good | options))


def test_bad_rows_and_derivatives_are_errors() -> None:
    shape = Shape([COARSE])
    network, rows = shape.network(batch=2), shape.rows(2)
    for bad in (rows.astype(np.float32), rows[:, :-1], rows[0], rows[:, ::-1]):
        with pytest.raises(ValueError, match="rows: expected contiguous float16"):
            network.forward(bad, True)
    for number in (0, 3):
        with pytest.raises(ValueError, match="rows: expected 1 to 2 pictures"):
            network.forward(shape.rows(number), True)
    with pytest.raises(ValueError, match="backward: expected a training forward before"):
        network.backward(*signals(shape, network, 2))
    network.forward(rows, True)
    with pytest.raises(ValueError, match="backward: expected derivatives shaped as logits"):
        network.backward(*signals(shape, network, 1))
    network.forward(rows, False)
    with pytest.raises(ValueError, match="backward: expected a training forward before"):
        network.backward(*signals(shape, network, 2))
    with pytest.raises(ValueError, match="parameters: expected"):
        network.parameters = np.zeros(3, np.float32)
