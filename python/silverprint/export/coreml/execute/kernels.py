"""The arithmetic that ML Programs and NeuralNetworks share, in plain numpy.

Nothing here knows a file format, and nothing runs in ONNX Runtime: what is computed here is
compared with what ONNX Runtime computes, so that the two must not be the same code. Tensors are
float32 [N, C, ...] with any number of spatial axes; `pads` holds (before, after) for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[Any]
Pads = Sequence[tuple[int, int]]

_LARGEST_MATRIX = 1 << 23
"""Numbers in one matrix of unfolded windows: 32 MB."""

_LARGEST_TENSOR = 1 << 28
"""Numbers in one tensor: 1 GB. A damaged file asks for more than that, no backbone does."""

_ERF_END, _ERF_STEPS = 6, 512


def check_room(shape: Sequence[int]) -> None:
    """Raise ValueError where a tensor of `shape` would be beyond all reason."""
    if math.prod(int(side) for side in shape) > _LARGEST_TENSOR or min(shape, default=0) < 0:
        raise ValueError(f"a tensor of the shape {[int(side) for side in shape]}")


def padded(x: Array, pads: Pads, fill: float = 0.0) -> Array:
    """`x` with (before, after) numbers more on each of its last axes."""
    widths = [(0, 0)] * (x.ndim - len(pads)) + [(int(before), int(after)) for before, after in pads]
    check_room([side + sum(width) for side, width in zip(x.shape, widths, strict=True)])
    return np.pad(x, widths, constant_values=np.float32(fill))


def conv(
    x: Array,
    w: Array,
    b: Array | None,
    *,
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    groups: int = 1,
) -> Array:
    """Cross-correlation of `x` with `w` [C_out, C / groups, ...], plus `b` [C_out]."""
    rank = x.ndim - 2
    x = padded(x, pads)
    windows = _windows(x, w.shape[2:], strides, dilations)
    batch, channels = x.shape[:2]
    outputs, out = w.shape[0], windows.shape[2 : 2 + rank]
    # [N, groups, C / groups, *kernel, *out]: a matrix to multiply with once it is made flat.
    windows = windows.reshape(batch, groups, channels // groups, *windows.shape[2:])
    windows = windows.transpose(0, 1, 2, *range(3 + rank, 3 + 2 * rank), *range(3, 3 + rank))
    weights = w.reshape(groups, outputs // groups, -1)
    result = np.empty((batch, groups, outputs // groups, *out), np.float32)
    row = batch * channels * math.prod(w.shape[2:]) * math.prod(out[1:])
    rows = max(1, _LARGEST_MATRIX // max(1, row))
    for first in range(0, out[0], rows):
        part = windows[(slice(None),) * (3 + rank) + (slice(first, first + rows),)]
        matrix = part.reshape(batch, groups, weights.shape[2], -1)
        flat = np.matmul(weights, matrix)
        shape = (batch, groups, outputs // groups, *part.shape[3 + rank :])
        result[:, :, :, first : first + rows] = flat.reshape(shape)
    result = result.reshape(batch, outputs, *out)
    return result if b is None else result + b.reshape(-1, *(1,) * rank)


def conv_transpose(
    x: Array,
    w: Array,
    b: Array | None,
    *,
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    groups: int = 1,
) -> Array:
    """The gradient of `conv` by its input: `w` is [C, C_out / groups, ...], `pads` is cut off.

    A negative pad adds zeros instead (what PyTorch calls output padding).
    """
    batch, channels = x.shape[:2]
    space, kernel = x.shape[2:], w.shape[2:]
    outputs = w.shape[1] * groups
    matrix = w.reshape(groups, channels // groups, -1).swapaxes(1, 2)
    spread = np.matmul(matrix, x.reshape(batch, groups, channels // groups, -1))
    spread = spread.reshape(batch, groups, w.shape[1], *kernel, *space)
    full = [
        (size - 1) * stride + (side - 1) * dilation + 1
        for size, side, stride, dilation in zip(space, kernel, strides, dilations, strict=True)
    ]
    check_room((batch, outputs, *full))
    result = np.zeros((batch, groups, w.shape[1], *full), np.float32)
    for place in product(*map(range, kernel)):
        window = _window(place, space, strides, dilations)
        result[(slice(None),) * 3 + window] += spread[(slice(None),) * 3 + place]
    result = result.reshape(batch, outputs, *full)
    grown = [(max(0, -before), max(0, -after)) for before, after in pads]
    result = padded(result, grown)
    cut = tuple(
        slice(max(0, before), side - max(0, after))
        for (before, after), side in zip(pads, result.shape[2:], strict=True)
    )
    result = result[(slice(None), slice(None), *cut)]
    return result if b is None else result + b.reshape(-1, *(1,) * len(space))


def max_pool(x: Array, *, kernel: Sequence[int], strides: Sequence[int], pads: Pads) -> Array:
    """The largest value of each window; padding never is."""
    x = padded(x, pads, -np.inf)
    parts = _parts(x, kernel, strides)
    result = next(parts).copy()
    for part in parts:
        np.maximum(result, part, out=result)
    return result


def sum_pool(x: Array, *, kernel: Sequence[int], strides: Sequence[int], pads: Pads) -> Array:
    """The sum of each window, padding being zero."""
    x = padded(x, pads)
    parts = _parts(x, kernel, strides)
    result = next(parts).copy()
    for part in parts:
        result += part
    return result


def avg_pool(
    x: Array,
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    exclude_padding: bool,
) -> Array:
    """The mean of each window, over the whole window or over what is not padding."""
    total = sum_pool(x, kernel=kernel, strides=strides, pads=pads)
    if not exclude_padding:
        return total / np.float32(math.prod(kernel))
    ones = np.ones((1, 1, *x.shape[2:]), np.float32)
    return total / sum_pool(ones, kernel=kernel, strides=strides, pads=pads)


def same_pads(
    space: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    lower: bool,
) -> list[tuple[int, int]]:
    """The padding that gives ceil(size / stride) places; an odd pixel goes before if `lower`."""
    pads = []
    for size, side, stride, dilation in zip(space, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (side - 1) * dilation + 1 - size)
        pads.append(halves(total, lower=lower))
    return pads


def halves(total: int, *, lower: bool) -> tuple[int, int]:
    """`total` pixels in two parts, of which the first is the larger one if `lower`."""
    half = total // 2
    return (total - half, half) if lower else (half, total - half)


def softmax(x: Array, axis: int) -> Array:
    """exp(x) / sum(exp(x)) along `axis`."""
    powers = np.exp(x - x.max(axis, keepdims=True))
    result: Array = powers / powers.sum(axis, keepdims=True)
    return result


def resize_linear(x: Array, rows: Array, columns: Array) -> Array:
    """`x` [..., H, W] between its pixels: at the height `rows[i]` and the width `columns[j]`.

    Places lie in [0, H - 1] and [0, W - 1].
    """
    check_room((*x.shape[:-2], len(rows), len(columns)))
    for axis, places in ((-2, rows), (-1, columns)):
        low = np.floor(places).astype(np.int64)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        share = (places - low).astype(np.float32)
        share = share[:, None] if axis == -2 else share
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def erf(x: Array) -> Array:
    """The error function, to 1e-12 before the result is rounded to float32.

    Cubic Hermite interpolation between values of ``math.erf`` with the exact slopes.
    """
    values, slopes = _erf_table()
    place = np.minimum(np.abs(x.astype(np.float64)), _ERF_END) * _ERF_STEPS
    left = np.nan_to_num(place).astype(np.int64)
    t = place - left
    away = 1 - t
    between = away * away * ((1 + 2 * t) * values[left] + t * slopes[left])
    between += t * t * ((3 - 2 * t) * values[left + 1] - away * slopes[left + 1])
    result: Array = np.copysign(between, x).astype(np.float32)
    return result


@lru_cache(maxsize=1)
def _erf_table() -> tuple[Array, Array]:
    places = np.arange(_ERF_END * _ERF_STEPS + 2) / _ERF_STEPS
    values = np.array([math.erf(place) for place in places])
    return values, 2 / math.sqrt(math.pi) * np.exp(-(places**2)) / _ERF_STEPS


def _windows(
    x: Array, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Array:
    """A view [N, C, *out, *kernel] of `x`."""
    reach = [(side - 1) * step + 1 for side, step in zip(kernel, dilations, strict=True)]
    axes = tuple(range(2, x.ndim))
    view = sliding_window_view(x, reach, axis=axes)
    steps = [slice(None, None, step) for step in (*strides, *dilations)]
    return view[(slice(None), slice(None), *steps)]


def _window(
    place: Sequence[int], out: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[slice, ...]:
    """Where the kernel's number at `place` touches the input, for all `out` places."""
    return tuple(
        slice(at * dilation, at * dilation + (side - 1) * stride + 1, stride)
        for at, side, stride, dilation in zip(place, out, strides, dilations, strict=True)
    )


def _parts(x: Array, kernel: Sequence[int], strides: Sequence[int]) -> Iterator[Array]:
    """For each number of the kernel the pixels that it meets, [N, C, *out]."""
    if any(side > size for side, size in zip(kernel, x.shape[2:], strict=True)):
        raise ValueError(f"windows of {list(kernel)} do not fit into {list(x.shape[2:])}")
    out = [
        (size - side) // stride + 1
        for size, side, stride in zip(x.shape[2:], kernel, strides, strict=True)
    ]
    for place in product(*map(range, kernel)):
        yield x[(slice(None), slice(None), *_window(place, out, strides, (1,) * len(out)))]
