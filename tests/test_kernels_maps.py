"""Kernels of feature maps: every instruction set computes the plain bytes, and those are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint import _core

kernels = _core.kernels
ISAS = _core.build.available_isas()

Floats = npt.NDArray[np.float32]

# Channels come in sixteens; four of those make the widest tile.
CHANNELS = [16, 32, 48, 64, 80, 144]
seeds = st.integers(0, 2**32 - 1)
positions = st.integers(0, 20) | st.sampled_from([31, 52, 129])
channels = st.sampled_from(CHANNELS)

every_simd = pytest.mark.parametrize("isa", [name for name in ISAS if name != "plain"])
every_isa = pytest.mark.parametrize("isa", ISAS)
many = settings(max_examples=60, deadline=None)


def adversarial(rng: np.random.Generator, *shape: int) -> Floats:
    """Normal numbers, among them zeros of both signs, denormals, and very large and small ones."""
    array = rng.normal(size=shape).astype(np.float32)
    special = np.float32([0.0, -0.0, 1e-45, -3e-42, 1.2e-38, 1e-20, -1e15, 3e15, 1.0, -1.0])
    return np.where(rng.random(shape) < 0.3, rng.choice(special, shape), array)


def same_bytes(ours: Any, plain: Any) -> None:
    if isinstance(plain, tuple):
        for a, b in zip(ours, plain, strict=True):
            same_bytes(a, b)
        return
    np.testing.assert_array_equal(ours, plain)
    assert ours.tobytes() == plain.tobytes(), "equal but for the sign of a zero"


@every_simd
@many
@given(n=positions, c=channels, seed=seeds)
def test_the_plain_bytes(isa: str, n: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, d, residual = (adversarial(rng, n, c) for _ in range(3))
    v = [adversarial(rng, c) for _ in range(5)]
    for name, arguments in [
        ("map_moments", (z, *v[:3])),
        ("map_rectify", (z, *v[:2])),
        ("map_rectify", (z, *v[:2], residual)),
        ("map_rectify_sums", (z, *v[:3], d, *v[3:])),
        ("map_rectify_back", (z, *v[:2], d, *v[2:])),
    ]:
        kernel = getattr(kernels, name)
        same_bytes(kernel(isa, *arguments), kernel("plain", *arguments))


def some(rng: np.random.Generator, n: int, c: int) -> tuple[Floats, Floats, list[Floats]]:
    z, d = rng.normal(size=(2, n, c)).astype(np.float32)
    return z, d, [rng.normal(size=c).astype(np.float32) for _ in range(5)]


@every_isa
def test_moments_add_sums_of_differences_and_of_their_squares(isa: str) -> None:
    x, _, (origin, total, squares, *_) = some(np.random.default_rng(0), 50, 80)
    ours = kernels.map_moments(isa, x, origin, total, squares)
    wide = x.astype(np.float64) - origin
    np.testing.assert_allclose(ours[0], total + wide.sum(0), atol=1e-4)
    np.testing.assert_allclose(ours[1], squares + (wide**2).sum(0), atol=1e-4)


@every_isa
def test_rectify_is_a_rectified_affine_map_beside_a_residual(isa: str) -> None:
    z, residual, (scale, shift, *_) = some(np.random.default_rng(1), 50, 48)
    exact = np.maximum(z.astype(np.float64) * scale + shift, 0)
    np.testing.assert_allclose(kernels.map_rectify(isa, z, scale, shift), exact, atol=1e-6)
    ours = kernels.map_rectify(isa, z, scale, shift, residual)
    np.testing.assert_allclose(ours, residual + exact, atol=1e-6)


@every_isa
def test_only_what_was_let_through_goes_back(isa: str) -> None:
    z, d, v = some(np.random.default_rng(2), 50, 32)
    (scale, shift), (mean, total, products) = v[:2], v[2:]
    g = np.where(z.astype(np.float64) * scale + shift > 0, d, 0.0)
    sums = kernels.map_rectify_sums(isa, z, scale, shift, mean, d, total, products)
    np.testing.assert_allclose(sums[0], total + g.sum(0), atol=1e-4)
    np.testing.assert_allclose(sums[1], products + (g * (z - mean)).sum(0), atol=1e-4)
    back = kernels.map_rectify_back(isa, z, scale, shift, d, *v[2:])
    np.testing.assert_allclose(back, v[2] * g + v[3] * z + v[4], atol=1e-5)


@every_isa
def test_nothing_is_let_through_at_zero(isa: str) -> None:
    """As in torch, the rectifier's derivative at 0 is 0."""
    z, one, zero = np.zeros((3, 16), np.float32), np.ones(16, np.float32), np.zeros(16, np.float32)
    d = np.ones((3, 16), np.float32)
    total, _ = kernels.map_rectify_sums(isa, z, one, zero, zero, d, zero, zero)
    np.testing.assert_array_equal(total, zero)
    assert not kernels.map_rectify_back(isa, z, one, zero, d, one, zero, zero).any()


@every_isa
def test_widen_reads_every_half_precision_number(isa: str) -> None:
    """Against NumPy's own conversion, subnormal numbers and infinities among them."""
    bits = np.arange(2**16, dtype=np.uint16)
    ours = kernels.widen(isa, bits[None], 1.0, 0.0, 0)[0]
    exact = bits.view(np.float16).astype(np.float32)
    finite = ~np.isnan(exact)
    np.testing.assert_array_equal(ours[finite], exact[finite])
    assert np.isnan(ours[~finite]).all()


@every_isa
@many
@given(rows=st.integers(0, 5), width=st.integers(0, 53), seed=seeds)
def test_widen_scales_and_shifts_and_leaves_padding(
    isa: str, rows: int, width: int, seed: int
) -> None:
    half = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float16)
    scale, shift = np.float32(1.25), np.float32(-0.4)
    ours = kernels.widen(isa, half.view(np.uint16), scale, shift, 3)
    same_bytes(ours, kernels.widen("plain", half.view(np.uint16), scale, shift, 3))
    exact = half.astype(np.float64) * scale + shift
    np.testing.assert_allclose(ours[:, :width], exact, rtol=1e-6, atol=1e-6)
    assert not ours[:, width:].any()


def test_shapes_are_checked() -> None:
    z, v = np.zeros((2, 16), np.float32), np.zeros(16, np.float32)
    with pytest.raises(ValueError, match="a multiple of 16"):
        kernels.map_rectify("plain", z[:, :15], v, v)
    with pytest.raises(ValueError, match="one value for each channel"):
        kernels.map_rectify("plain", z, v[:8], v)
    with pytest.raises(ValueError, match="maps of one shape"):
        kernels.map_rectify("plain", z, v, v, z[:1])
