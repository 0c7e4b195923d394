"""Kernels: every instruction set computes the plain table's bytes, and those are right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint import _core

kernels = _core.kernels
ISAS = _core.build.available_isas()
SIMD = [name for name in ISAS if name != "plain"]

Floats = npt.NDArray[np.float32]

# Around the width of vectors (8, 16), of tiles and panels (64, 128), and the tails of all of them.
EDGES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129]
seeds = st.integers(0, 2**32 - 1)

every_simd = pytest.mark.parametrize("isa", SIMD)
many = settings(max_examples=60, deadline=None)


def adversarial(rng: np.random.Generator, *shape: int) -> Floats:
    """Normal numbers, among them zeros of both signs, denormals, and very large and small ones."""
    array = rng.normal(size=shape).astype(np.float32)
    special = np.float32([0.0, -0.0, 1e-45, -3e-42, 1.2e-38, 1e-20, -1e15, 3e15, 1.0, -1.0])
    return np.where(rng.random(shape) < 0.3, rng.choice(special, shape), array)


def same_bytes(ours: npt.NDArray[np.generic], plain: npt.NDArray[np.generic]) -> None:
    assert ours.dtype == plain.dtype
    assert ours.shape == plain.shape
    np.testing.assert_array_equal(ours, plain)
    assert ours.tobytes() == plain.tobytes(), "equal but for the sign of a zero"


def strided(a: Floats, layout: str) -> Floats:
    """`a` itself, or equal values laid out otherwise in memory."""
    if layout == "transposed":
        return np.ascontiguousarray(a.T).T
    if layout == "every other column":
        wide = np.zeros((a.shape[0], 2 * a.shape[1]), np.float32)
        wide[:, ::2] = a
        return wide[:, ::2]
    if layout == "backwards":
        return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]
    return a


LAYOUTS = ["contiguous", "transposed", "every other column", "backwards"]


def test_plain_is_always_there_and_comes_first() -> None:
    assert ISAS[0] == "plain"
    assert _core.build.active_isa() in ISAS


@pytest.mark.parametrize(
    "call",
    [
        lambda isa: kernels.gemm(isa, *[np.zeros((1, 1), np.float32)] * 3),
        lambda isa: kernels.softmax(isa, np.zeros((1, 1), np.float32), 1),
    ],
)
def test_an_instruction_set_that_is_not_there_is_an_error(call: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match="isa='sse9': not available"):
        call("sse9")


@every_simd
@many
@given(
    m=st.integers(0, 20) | st.sampled_from(EDGES),
    n=st.integers(0, 20) | st.sampled_from(EDGES),
    k=st.integers(0, 20) | st.sampled_from(EDGES),
    layout=st.sampled_from(LAYOUTS),
    seed=seeds,
)
def test_gemm_gives_the_plain_bytes(
    isa: str, m: int, n: int, k: int, layout: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a = strided(adversarial(rng, m, k), layout)
    b, c = adversarial(rng, k, n), adversarial(rng, m, n)
    same_bytes(kernels.gemm(isa, a, b, c), kernels.gemm("plain", a, b, c))


@every_simd
@pytest.mark.parametrize("k", [1, 127, 129])
@pytest.mark.parametrize("n", EDGES)
def test_gemm_gives_the_plain_bytes_around_every_edge(isa: str, n: int, k: int) -> None:
    rng = np.random.default_rng(n * 1000 + k)
    for m in (1, 2, 5, 6, 7, 12, 13, 24, 25, 129):
        a, b, c = adversarial(rng, m, k), adversarial(rng, k, n), adversarial(rng, m, n)
        same_bytes(kernels.gemm(isa, a, b, c), kernels.gemm("plain", a, b, c))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (17, 33, 65), (40, 130, 300)])
def test_gemm_adds_the_product(m: int, n: int, k: int, layout: str) -> None:
    rng = np.random.default_rng(m)
    a, b, c = (rng.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n), (m, n)))
    exact = c + a.astype(np.float64) @ b
    # A chain of k fused multiply-adds: one rounding each, of a sum no larger than `size`.
    size = np.abs(c) + np.abs(a.astype(np.float64)) @ np.abs(b)
    ours = kernels.gemm("plain", strided(a, layout), b, c)
    assert np.all(np.abs(ours - exact) <= 2**-24 * (k + 1) * size)


def test_gemm_rounds_once_for_each_multiply_add() -> None:
    # (1 + e)^2 - 1 - 2e = e^2 is lost where the product is rounded by itself.
    e = np.float32(2**-12)
    a, b = np.float32([[1 + e]]), np.float32([[1 + e]])
    for isa in ISAS:
        assert kernels.gemm(isa, a, b, np.float32([[-1 - 2 * e]]))[0, 0] == e * e


def test_gemm_of_nothing_leaves_what_was_there() -> None:
    c = np.arange(12, dtype=np.float32).reshape(3, 4)
    for isa in ISAS:
        none = kernels.gemm(isa, np.empty((3, 0), np.float32), np.empty((0, 4), np.float32), c)
        np.testing.assert_array_equal(none, c)


def test_gemm_checks_shapes() -> None:
    a = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"A \(m, k\), B \(k, n\), C \(m, n\)"):
        kernels.gemm("plain", a, a, a)


@every_simd
@many
@given(
    rows=st.integers(0, 9),
    classes=st.integers(1, 40) | st.sampled_from(EDGES),
    padding=st.sampled_from([0, 1, 16]),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4, 1e38]),
    seed=seeds,
)
def test_softmax_gives_the_plain_bytes(
    isa: str, rows: int, classes: int, padding: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.uniform(-1, 1, size=(rows, classes + padding)) * scale).astype(np.float32)
    ours, plain = (kernels.softmax(name, scores, classes) for name in (isa, "plain"))
    for a, b in zip(ours, plain, strict=True):
        same_bytes(a, b)
    # What stands in the padding stays there.
    same_bytes(ours[0][:, classes:], scores[:, classes:])


@every_simd
@pytest.mark.parametrize("classes", EDGES)
def test_softmax_gives_the_plain_probabilities_of_zeros_of_both_signs(
    isa: str, classes: int
) -> None:
    rng = np.random.default_rng(classes)
    scores = rng.choice(np.float32([0.0, -0.0, -1.0, -1e-45]), size=(50, classes))
    ours, plain = (kernels.softmax(name, scores, classes) for name in (isa, "plain"))
    same_bytes(ours[0], plain[0])
    np.testing.assert_array_equal(ours[1], plain[1])
    same_bytes(ours[2], plain[2])


@pytest.mark.parametrize("classes", [1, 2, 16, 17, 1000])
def test_softmax_is_softmax(classes: int) -> None:
    rng = np.random.default_rng(classes)
    scores = (rng.normal(size=(64, classes)) * 5).astype(np.float32)
    # Scores less the largest are float32, like the scores.
    exact = np.exp((scores - scores.max(1, keepdims=True)).astype(np.float64))
    p, largest, total = kernels.softmax("plain", scores, classes)
    np.testing.assert_array_equal(largest, scores.max(1))
    np.testing.assert_allclose(total, exact.sum(1), rtol=1e-6)
    np.testing.assert_allclose(p, exact / exact.sum(1, keepdims=True), rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_the_exponential_is_within_one_unit_in_the_last_place() -> None:
    x = np.linspace(-87, 0, 200_001, dtype=np.float32)
    scores = np.stack([np.zeros_like(x), x], axis=1)
    p, _, total = kernels.softmax("plain", scores, 2)
    # The other class has exp(0) = 1, so its sum shows exp(x) where that is not small ...
    near = x > -0.5
    exact = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(total[near] - 1, exact[near], rtol=3e-7)
    # ... and its probability where it is.
    far = x < -18
    assert np.all(np.abs(p[far, 1] - exact[far]) <= np.spacing(exact[far].astype(np.float32)))


@pytest.mark.parametrize("isa", ISAS)
def test_softmax_of_extreme_scores_is_finite_and_sums_to_one(isa: str) -> None:
    largest = np.float32(np.finfo(np.float32).max)
    scores = np.float32(
        [[largest, -largest, 0], [-largest] * 3, [1e30, 1e30, -1e30], [0, -88, -200]]
    )
    p, top, total = kernels.softmax(isa, scores, 3)
    np.testing.assert_array_equal(top, scores.max(1))
    np.testing.assert_array_equal(total, np.float32([1, 3, 2, 1]))
    expected = np.float32([[1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0], [1, 0, 0]])
    np.testing.assert_allclose(p, expected, atol=2e-38)


def test_softmax_checks_the_number_of_classes() -> None:
    for classes in (0, 4):
        with pytest.raises(ValueError, match="softmax"):
            kernels.softmax("plain", np.zeros((2, 3), np.float32), classes)


@every_simd
@many
@given(
    rows=st.integers(0, 9),
    classes=st.integers(1, 40) | st.sampled_from(EDGES),
    padding=st.sampled_from([0, 1, 16]),
    seed=seeds,
)
def test_softmax_jacobian_gives_the_plain_bytes(
    isa: str, rows: int, classes: int, padding: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    p, u = (adversarial(rng, rows, classes + padding) for _ in range(2))
    weight = adversarial(rng, rows)
    ours, plain = (kernels.softmax_jacobian(name, p, weight, u, classes) for name in (isa, "plain"))
    same_bytes(ours, plain)
    same_bytes(ours[:, classes:], u[:, classes:])


def test_softmax_jacobian_is_the_derivative_of_softmax() -> None:
    rng = np.random.default_rng(0)
    scores, u = rng.normal(size=(2, 5, 7))
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    weight = rng.random(5)
    jacobian = np.einsum("ic,cd->icd", p, np.eye(7)) - p[:, :, None] * p[:, None, :]
    exact = weight[:, None] * np.einsum("icd,id->ic", jacobian, u)
    ours = kernels.softmax_jacobian("plain", *(np.float32(v) for v in (p, weight, u)), 7)
    np.testing.assert_allclose(ours, exact, atol=1e-6)


def moments(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Gradient, weights and both moments; squares, and so the second, are never negative."""
    gradient, w, first = (adversarial(rng, n) for _ in range(3))
    second = np.abs(adversarial(rng, n))
    # 1e20 squared is more than a float32 holds.
    return np.where(rng.random(n) < 0.1, np.float32(1e20), gradient), w, first, second


@every_simd
@many
@given(
    n=st.integers(0, 40) | st.sampled_from(EDGES),
    step=st.sampled_from([1, 2, 10, 1000, 10**6]),
    seed=seeds,
)
def test_adam_gives_the_plain_bytes(isa: str, n: int, step: int, seed: int) -> None:
    length, scale = 1e-3 / (1 - 0.9**step), 1 / (1 - 0.999**step)
    gradient, *state = moments(np.random.default_rng(seed), n)
    ours = kernels.adam(isa, gradient, length, scale, *state)
    plain = kernels.adam("plain", gradient, length, scale, *state)
    for a, b in zip(ours, plain, strict=True):
        same_bytes(a, b)
        assert not np.isnan(a).any()


@pytest.mark.parametrize("isa", ISAS)
def test_adam_is_what_kingma_and_ba_wrote(isa: str) -> None:
    """Algorithm 1 of ICLR 2015 in float64, 200 steps with gradients of very different size."""
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.integers(-5, 5, 33)
    start = rng.normal(size=33).astype(np.float32)
    state = [start, np.zeros(33, np.float32), np.zeros(33, np.float32)]
    w, m, v = start.astype(np.float64), np.zeros(33), np.zeros(33)
    for t in range(1, 201):
        gradient = (rng.normal(0.3, 1, 33) * size).astype(np.float32)
        length, scale = 0.01 / (1 - 0.9**t), 1 / (1 - 0.999**t)
        state = list(kernels.adam(isa, gradient, length, scale, *state))
        wide = gradient.astype(np.float64)
        m, v = 0.9 * m + 0.1 * wide, 0.999 * v + 0.001 * wide**2
        w -= 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(state[0], w, atol=1e-5)
    np.testing.assert_allclose(state[1], m, atol=1e-6 * size.max(), rtol=1e-4)
    np.testing.assert_allclose(state[2], v, rtol=1e-4)
    assert np.abs(w - start).max() > 0.5


@pytest.mark.parametrize("isa", ISAS)
def test_adam_leaves_weights_that_have_no_gradient(isa: str) -> None:
    """Padding has none, and must stay 0."""
    w = np.float32([0.0, -0.0, 1.0, -3e38, 1e-45])
    zeros = np.zeros(5, np.float32)
    for part, before in zip(kernels.adam(isa, zeros, 0.1, 10.0, w, zeros, zeros),
                            (w, zeros, zeros), strict=True):  # fmt: skip
        np.testing.assert_array_equal(part, before)


def test_adam_leaves_what_it_was_given_and_checks_shapes() -> None:
    given = [np.ones(5, np.float32) for _ in range(4)]
    for isa in ISAS:
        kernels.adam(isa, given[0], 0.1, 1.0, *given[1:])
    assert all((array == 1).all() for array in given)
    with pytest.raises(ValueError, match="adam: expected four arrays of one size"):
        kernels.adam("plain", given[0], 0.1, 1.0, given[1], given[2], np.ones(4, np.float32))


def triangle_weights(rng: np.random.Generator, outputs: int, taps: int) -> npt.NDArray[np.int32]:
    """Weights in 2^-22ths that add up to 1, as the picture rule makes them."""
    weight = rng.multinomial(2**22, rng.dirichlet(np.ones(taps)), size=outputs)
    return weight.astype(np.int32)


@many
@given(count=st.integers(0, 40) | st.sampled_from(EDGES), seed=seeds)
def test_split_pixels_makes_planes(count: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3), np.uint8)
    for isa in ISAS:
        same_bytes(kernels.split_pixels(isa, pixels), pixels.T.astype(np.float32))


@many
@given(taps=st.integers(1, 12), count=st.integers(0, 40) | st.sampled_from(EDGES), seed=seeds)
def test_resample_rows_is_a_rounded_weighted_mean(taps: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.choice(np.uint8([0, 1, 127, 128, 254, 255]), size=(taps, count))
    (weight,) = triangle_weights(rng, 1, taps)
    exact = (weight.astype(np.int64) @ rows.astype(np.int64) + 2**21) >> 22
    for isa in ISAS:
        ours = kernels.resample_rows(isa, rows, weight)
        same_bytes(ours, np.clip(exact, 0, 255).astype(np.float32))


@many
@given(
    pairs=st.integers(1, 6),
    pixels=st.integers(1, 50),
    width=st.integers(0, 20) | st.sampled_from(EDGES),
    seed=seeds,
)
def test_resample_columns_is_a_rounded_weighted_mean(
    pairs: int, pixels: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    taps = 2 * pairs
    row = rng.choice(np.uint8([0, 1, 127, 128, 254, 255]), size=(pixels, 3))
    first = rng.integers(0, pixels, size=width).astype(np.int32)
    weight = triangle_weights(rng, width, taps)
    # Past the end of the row lie zeros.
    padded = np.concatenate([row, np.zeros((taps, 3), np.uint8)]).astype(np.int64)
    index = first[:, None] + np.arange(taps)
    exact = (np.einsum("xt,xtc->cx", weight.astype(np.int64), padded[index]) + 2**21) >> 22
    for isa in ISAS:
        ours = kernels.resample_columns(isa, row, first, weight)
        same_bytes(ours, np.clip(exact, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("level", [0, 1, 100, 255])
def test_a_constant_stays_exactly_that_constant(isa: str, level: int) -> None:
    weight = np.int32([1398101, 1398102, 1398101, 0])
    row = kernels.resample_rows(isa, np.full((4, 60), level, np.uint8), weight)
    np.testing.assert_array_equal(row, level)
    levels = kernels.resample_columns(
        isa,
        np.full((20, 3), level, np.uint8),
        np.arange(17, dtype=np.int32),
        np.tile(weight, (17, 1)),
    )
    np.testing.assert_array_equal(levels, level)


def test_resampling_checks_shapes() -> None:
    row = np.zeros((4, 3), np.uint8)
    with pytest.raises(ValueError, match="resample_rows"):
        kernels.resample_rows("plain", np.zeros((2, 3), np.uint8), np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="even taps"):
        kernels.resample_columns("plain", row, np.zeros(1, np.int32), np.zeros((1, 3), np.int32))
    with pytest.raises(ValueError, match="outside the row"):
        kernels.resample_columns("plain", row, np.int32([4]), np.zeros((1, 2), np.int32))


@pytest.mark.parametrize("isa", ISAS)
def test_resampling_rounds_halves_up(isa: str) -> None:
    rows = np.concatenate([np.ones((1, 17), np.uint8), np.zeros((1, 17), np.uint8)])
    row, first = np.zeros((8, 3), np.uint8), np.arange(0, 6, 2, dtype=np.int32)
    row[::2] = 1
    for share, level in ((2**21, 1), (2**21 - 1, 0)):
        weight = np.int32([share, 2**22 - share])
        np.testing.assert_array_equal(kernels.resample_rows(isa, rows, weight), level)
        ours = kernels.resample_columns(isa, row, first, np.tile(weight, (3, 1)))
        np.testing.assert_array_equal(ours, level)
