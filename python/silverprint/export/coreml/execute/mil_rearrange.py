"""Blocks between space and channels, windows, one-hot vectors.

Definitions: coremltools, iOS15 and iOS16 ``tensor_transformation``, iOS15 ``tensor_operation``.
"""

from __future__ import annotations

import numpy as np

from silverprint.export.coreml.execute.kernels import check_room
from silverprint.export.coreml.execute.mil_table import Array, axis_of, integers, operator


@operator("depth_to_space")
def depth_to_space(*, x: Array, block_size: Array) -> Array:
    """[n, b*b*C, H, W] to [n, C, H*b, W*b]: the place in the block counts first, as TensorFlow."""
    n, channels, height, width = x.shape
    b = int(block_size)
    blocks = x.reshape(n, b, b, channels // (b * b), height, width)
    return blocks.transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, height * b, width * b)


@operator("space_to_depth")
def space_to_depth(*, x: Array, block_size: Array) -> Array:
    """The inverse of ``depth_to_space``."""
    n, channels, height, width = x.shape
    b = int(block_size)
    blocks = x.reshape(n, channels, height // b, b, width // b, b)
    return blocks.transpose(0, 3, 5, 1, 2, 4).reshape(n, -1, height // b, width // b)


@operator("pixel_shuffle")
def pixel_shuffle(*, x: Array, upscale_factor: Array) -> Array:
    """[n, C*f*f, H, W] to [n, C, H*f, W*f]: the channel counts first, as in PyTorch."""
    n, channels, height, width = x.shape
    f = int(upscale_factor)
    blocks = x.reshape(n, channels // (f * f), f, f, height, width)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, height * f, width * f)


@operator("pixel_unshuffle")
def pixel_unshuffle(*, x: Array, downscale_factor: Array) -> Array:
    """The inverse of ``pixel_shuffle``, iOS16."""
    n, channels, height, width = x.shape
    f = int(downscale_factor)
    blocks = x.reshape(n, channels, height // f, f, width // f, f)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(n, -1, height // f, width // f)


@operator("space_to_batch")
def space_to_batch(*, x: Array, block_shape: Array, paddings: Array) -> Array:
    """Padded, then blocks of space to the batch, the place in the block counting first."""
    high, wide = integers(block_shape)
    pads = [(0, 0), (0, 0), *map(integers, paddings)]
    check_room([side + sum(more) for side, more in zip(x.shape, pads, strict=True)])
    padded = np.pad(x, pads)
    n, channels, height, width = padded.shape
    blocks = padded.reshape(n, channels, height // high, high, width // wide, wide)
    moved = blocks.transpose(3, 5, 0, 1, 2, 4)
    return moved.reshape(-1, channels, height // high, width // wide)


@operator("batch_to_space")
def batch_to_space(*, x: Array, block_shape: Array, crops: Array) -> Array:
    """The inverse of ``space_to_batch``; what was padded is cropped."""
    high, wide = integers(block_shape)
    _, channels, height, width = x.shape
    blocks = x.reshape(high, wide, -1, channels, height, width).transpose(2, 3, 4, 0, 5, 1)
    whole = blocks.reshape(-1, channels, height * high, width * wide)
    (top, bottom), (left, right) = map(integers, crops)
    return whole[:, :, top : height * high - bottom, left : width * wide - right]


@operator("sliding_windows")
def sliding_windows(*, x: Array, axis: Array, size: Array, stride: Array | int = 1) -> Array:
    """Every window of `size` along `axis`; the values of a window follow that axis."""
    place = axis_of(axis, x.ndim)
    check_room([x.size, int(size)])
    starts = np.arange(0, x.shape[place] - int(size) + 1, int(stride))
    return np.take(x, starts[:, None] + np.arange(int(size)), place)


@operator("one_hot")
def one_hot(
    *,
    indices: Array,
    one_hot_vector_size: Array,
    axis: Array | int = -1,
    on_value: Array | int = 1,
    off_value: Array | int = 0,
) -> Array:
    """`on_value` at the place that an index names along a new axis, `off_value` elsewhere."""
    place = axis_of(axis, indices.ndim + 1)
    check_room([indices.size, int(one_hot_vector_size)])
    count = np.arange(int(one_hot_vector_size)).reshape(-1, *(1,) * (indices.ndim - place))
    on, off = (
        np.asarray(value, np.int32) if isinstance(value, int) else value
        for value in (on_value, off_value)
    )
    return np.where(np.expand_dims(indices, place) == count, on, off)


@operator("non_zero")
def non_zero(*, x: Array) -> Array:
    """The places (rows) of what is not zero."""
    return np.argwhere(x).astype(np.int32)
