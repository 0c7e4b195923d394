"""The optimiser of detectors: AdamW, a cut gradient norm, warm-up, a cosine, an average."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from silverprint import _core

detect = _core.detect

Floats = npt.NDArray[np.float32]


def schedule(t: int, rate: float, steps: int, warm_up: int = 50, least: float = 0.02) -> float:
    wave = (1 + math.cos(math.pi * t / steps)) / 2
    return rate * min(1.0, (t + 1) / warm_up) * (least + (1 - least) * wave)


def problem(n: int, seed: int = 0) -> tuple[Floats, npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n).astype(np.float32), rng.integers(0, 2, n).astype(np.uint8)


def gradient(n: int, t: int, scale: float = 1.0) -> Floats:
    return (scale * np.random.default_rng(100 + t).normal(size=n)).astype(np.float32)


def test_steps_grow_for_a_while_and_fall_along_a_cosine() -> None:
    optimiser = detect.Optimiser(np.ones(3, np.uint8), rate=2e-3, steps=200)
    w, lengths = np.ones(3, np.float32), []
    for t in range(200):
        lengths.append(optimiser.rate)
        w = optimiser.step(w, gradient(3, t))
    assert lengths == pytest.approx([schedule(t, 2e-3, 200) for t in range(200)], rel=1e-12)
    assert lengths[0] == pytest.approx(2e-3 / 50, rel=1e-3)
    assert max(lengths) == lengths[49]
    assert lengths[-1] == pytest.approx(0.02 * 2e-3, rel=0.01)
    optimiser.step(w, gradient(3, 200))
    assert optimiser.rate == lengths[-1]  # beyond the last step


def test_adamw_in_float64() -> None:
    """The algorithm of Loshchilov and Hutter, line by line."""
    n, (w, decays) = 1000, problem(1000)
    optimiser = detect.Optimiser(decays, rate=1e-2, steps=40, decay=0.05, warm_up=5)
    golden, first, second = w.astype(np.float64), np.zeros(n), np.zeros(n)
    for t in range(40):
        g = gradient(n, t).astype(np.float64)
        norm = np.sqrt((g * g).sum())
        g *= min(1.0, 10 / norm)
        length = schedule(t, 1e-2, 40, warm_up=5)
        golden *= np.where(decays, 1 - length * 0.05, 1.0)
        first = 0.9 * first + 0.1 * g
        second = 0.999 * second + 0.001 * g * g
        high, low = first / (1 - 0.9 ** (t + 1)), second / (1 - 0.999 ** (t + 1))
        golden -= length * high / (np.sqrt(low) + 1e-8)
        assert norm > 10
        w = optimiser.step(w, gradient(n, t))
    np.testing.assert_allclose(w, golden, rtol=0, atol=2e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_adamw_of_torch(scale: float) -> None:
    """With gradients below and above the norm that is cut to."""
    torch = pytest.importorskip("torch")
    n, (w, decays) = 40_000, problem(40_000)
    optimiser = detect.Optimiser(decays, rate=2e-3, steps=60)
    start = torch.from_numpy(w.copy())
    mask = torch.from_numpy(decays.astype(bool))
    groups = [start[mask].clone().requires_grad_(), start[~mask].clone().requires_grad_()]
    golden = torch.optim.AdamW(
        [
            {"params": [groups[0]], "weight_decay": 0.05},
            {"params": [groups[1]], "weight_decay": 0.0},
        ],
        lr=2e-3,
    )
    for t in range(60):
        g = torch.from_numpy(gradient(n, t, scale))
        groups[0].grad, groups[1].grad = g[mask].clone(), g[~mask].clone()
        torch.nn.utils.clip_grad_norm_(groups, 10.0)
        for group in golden.param_groups:
            group["lr"] = schedule(t, 2e-3, 60)
        golden.step()
        w = optimiser.step(w, gradient(n, t, scale))
    np.testing.assert_allclose(w[decays == 1], groups[0].detach().numpy(), rtol=0, atol=2e-6)
    np.testing.assert_allclose(w[decays == 0], groups[1].detach().numpy(), rtol=0, atol=2e-6)


def test_a_restored_state_goes_on_bit_for_bit() -> None:
    n, (w, decays) = 50_000, problem(50_000)
    one = detect.Optimiser(decays, rate=2e-3, steps=20)
    for t in range(7):
        w = one.step(w, gradient(n, t))
    other = detect.Optimiser(decays, rate=2e-3, steps=20)
    other.restore(one.state())
    again = w
    for t in range(7, 12):
        w, again = one.step(w, gradient(n, t)), other.step(again, gradient(n, t))
    assert w.tobytes() == again.tobytes()
    assert one.state()["steps"] == other.state()["steps"] == 12
    with pytest.raises(ValueError, match="another size"):
        detect.Optimiser(decays[:5], rate=2e-3, steps=20).restore(one.state())


def test_equal_bytes_for_any_number_of_threads() -> None:
    n, (start, decays) = 70_000, problem(70_000)
    results = []
    for threads in (1, 2, 3):
        w, optimiser = start, detect.Optimiser(decays, rate=2e-3, steps=20, threads=threads)
        for t in range(4):
            w = optimiser.step(w, gradient(n, t))
        results.append(w.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float) -> None:
    optimiser = detect.Optimiser(np.ones(3, np.uint8), rate=2e-3, steps=20)
    before = optimiser.state()
    with pytest.raises(ValueError, match="no longer finite"):
        optimiser.step(np.ones(3, np.float32), np.array([1, bad, 1], np.float32))
    after = optimiser.state()
    assert after["steps"] == before["steps"] == 0
    assert after["first"].tobytes() == before["first"].tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0.0},
        {"rate": math.nan},
        {"steps": 0},
        {"decay": -1.0},
        {"least": 1.5},
        {"largest_gradient": 0.0},
        {"warm_up": -1},
        {"threads": -1},
    ],
)
def test_settings_out_of_range_are_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|out of range"):
        detect.Optimiser(np.ones(3, np.uint8), **{"rate": 2e-3, "steps": 20, **wrong})


def test_an_average_soon_forgets_its_beginning_and_then_is_slow() -> None:
    average = detect.MovingAverage(np.zeros(2, np.float32))
    golden, rng = np.zeros(2), np.random.default_rng(0)
    for t in range(1, 6000):
        values = rng.normal(size=2).astype(np.float32) + np.float32(3)
        average.update(values)
        decay = min(0.998, (1 + t) / (10 + t))
        golden = decay * golden + (1 - decay) * values
        if t == 1:
            np.testing.assert_allclose(average.values, values * 9 / 11, rtol=1e-6)
    np.testing.assert_allclose(average.values, golden, rtol=1e-4)
    with pytest.raises(ValueError, match="another size"):
        average.update(np.zeros(3, np.float32))


def test_a_restored_average_goes_on_bit_for_bit() -> None:
    one = detect.MovingAverage(np.zeros(100, np.float32))
    for t in range(5):
        one.update(gradient(100, t))
    other = detect.MovingAverage(np.ones(100, np.float32))
    other.restore(one.state())
    for average in (one, other):
        average.update(gradient(100, 5))
    assert one.values.tobytes() == other.values.tobytes()
    with pytest.raises(ValueError, match="another size"):
        detect.MovingAverage(np.zeros(3, np.float32)).restore(one.state())
