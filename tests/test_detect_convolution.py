"""Convolutions over padded maps, against plain sums over taps in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint import _core

detect = _core.detect

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 14)
widths = st.sampled_from([1, 3, 16, 17, 48])
many = settings(max_examples=60, deadline=None)


def taps(x: Floats, stride: int) -> Wide:
    """(3, 3, n, h', w', i): what each of a kernel's taps sees at each output; zeros outside."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    return np.stack(
        [
            [padded[:, dy : dy + height : stride, dx : dx + width : stride] for dx in range(3)]
            for dy in range(3)
        ]
    )


def normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.normal(size=shape).astype(np.float32)


@many
@given(
    n=st.integers(1, 3), h=sizes, w=sizes, i=widths, o=widths,
    stride=st.sampled_from([1, 2]), rows=st.integers(1, 15), seed=seeds,
)  # fmt: skip
def test_a_convolution_and_its_derivatives(
    n: int, h: int, w: int, i: int, o: int, stride: int, rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, kernel = normal(rng, n, h, w, i), normal(rng, 3, 3, i, o)
    seen = taps(x, stride)
    exact = np.einsum("yxnhwi,yxio->nhwo", seen, kernel.astype(np.float64))
    out = detect.convolve3x3(x, kernel, stride, rows)
    assert out.shape == exact.shape
    np.testing.assert_allclose(out, exact, atol=1e-4)

    by_output = normal(rng, *out.shape)
    by_x, by_kernel = detect.convolve3x3_back(x, kernel, by_output, stride, rows)
    by_kernel_exact = np.einsum("yxnhwi,nhwo->yxio", seen, by_output.astype(np.float64))
    np.testing.assert_allclose(by_kernel, by_kernel_exact, atol=1e-3)
    # The transposed map is the one that gives equal scalar products with every direction.
    for _ in range(3):
        direction = normal(rng, *x.shape)
        there = np.einsum("yxnhwi,yxio->nhwo", taps(direction, stride), kernel.astype(np.float64))
        size = np.linalg.norm(by_output) * np.linalg.norm(direction) * np.linalg.norm(kernel)
        difference = np.vdot(by_output.astype(np.float64), there) - np.vdot(
            by_x.astype(np.float64), direction
        )
        assert abs(difference) < 1e-6 * size


@pytest.mark.parametrize("stride", [1, 2])
def test_a_picture_does_not_see_its_neighbours(stride: int) -> None:
    """Pictures lie one after the other in memory, with padding between."""
    rng = np.random.default_rng(0)
    x, kernel = normal(rng, 3, 5, 4, 16), normal(rng, 3, 3, 16, 16)
    alone = detect.convolve3x3(x[1:2], kernel, stride, 5)
    among = detect.convolve3x3(x, kernel, stride, 5)
    np.testing.assert_array_equal(among[1:2], alone)

    by_output = np.zeros_like(among)
    by_output[1] = 1
    by_x, _ = detect.convolve3x3_back(x, kernel, by_output, stride, 5)
    assert by_x[1].all()
    assert not by_x[[0, 2]].any()


@many
@given(
    n=st.integers(1, 3), h=sizes, w=sizes, i=widths, o=widths, rows=st.integers(1, 15), seed=seeds
)
def test_planes_are_projected(n: int, h: int, w: int, i: int, o: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    planes, kernel = normal(rng, n, i, h, w), normal(rng, i, o)
    exact = np.einsum("nihw,io->nhwo", planes.astype(np.float64), kernel)
    np.testing.assert_allclose(detect.project_planes(planes, kernel, rows), exact, atol=1e-4)
    by_output = normal(rng, n, h, w, o)
    exact = np.einsum("nihw,nhwo->io", planes.astype(np.float64), by_output)
    ours = detect.project_planes_by_kernel(planes, by_output, rows)
    np.testing.assert_allclose(ours, exact, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
def test_against_torch(stride: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, kernel = normal(rng, 2, 13, 12, 32), normal(rng, 3, 3, 32, 48)
    given_x = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    given_kernel = torch.tensor(kernel.transpose(3, 2, 0, 1), requires_grad=True)
    theirs = torch.nn.functional.conv2d(given_x, given_kernel, stride=stride, padding=1)
    ours = detect.convolve3x3(x, kernel, stride, 4)
    np.testing.assert_allclose(ours.transpose(0, 3, 1, 2), theirs.detach(), atol=1e-4)
    by_output = normal(rng, *ours.shape)
    theirs.backward(torch.tensor(by_output.transpose(0, 3, 1, 2)))
    by_x, by_kernel = detect.convolve3x3_back(x, kernel, by_output, stride, 4)
    np.testing.assert_allclose(by_x.transpose(0, 3, 1, 2), given_x.grad, atol=1e-4)
    np.testing.assert_allclose(by_kernel.transpose(3, 2, 0, 1), given_kernel.grad, atol=1e-3)


def test_shapes_are_checked() -> None:
    x, kernel = np.zeros((1, 4, 4, 16), np.float32), np.zeros((3, 3, 16, 16), np.float32)
    for bad in (kernel[:2], kernel[:, :, :8]):
        with pytest.raises(ValueError, match="kernels to match"):
            detect.convolve3x3(x, bad, 1, 4)
    with pytest.raises(ValueError, match="stride"):
        detect.convolve3x3(x, kernel, 3, 4)
    with pytest.raises(ValueError, match="rows"):
        detect.convolve3x3(x, kernel, 1, 0)
    with pytest.raises(ValueError, match="kernels to match"):
        detect.convolve3x3_back(x, kernel, x[:, :3], 1, 4)
