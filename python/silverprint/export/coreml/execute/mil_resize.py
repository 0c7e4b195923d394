"""Resampling of the last axes.

Definitions: coremltools, ``image_resizing`` of iOS15 to iOS17. All of them say at which place of
the input an output lies; they differ in that place alone.
"""

from __future__ import annotations

import math

import numpy as np

from silverprint.export.coreml.execute import kernels
from silverprint.export.coreml.execute.mil_table import Array, integers, operator, undefined


@operator("resize_bilinear")
def resize_bilinear(
    *,
    x: Array,
    target_size_height: Array | int = 1,
    target_size_width: Array | int = 1,
    sampling_mode: str = "DEFAULT",
) -> Array:
    """Linear between the pixels of [..., H, W], to the given size."""
    height, width = x.shape[-2:]
    rows = _places(height, int(target_size_height), sampling_mode)
    columns = _places(width, int(target_size_width), sampling_mode)
    return kernels.resize_linear(x, rows, columns)


@operator("upsample_bilinear")
def upsample_bilinear(
    *,
    x: Array,
    scale_factor_height: Array | int = 1,
    scale_factor_width: Array | int = 1,
    align_corners: Array | bool = True,
    half_pixel_centers: Array | bool | None = None,
) -> Array:
    """As ``resize_bilinear``; the scale that counts is output size / input size.

    `half_pixel_centers` (iOS16) is the opposite of `align_corners` where it is not given.
    """
    aligned = bool(align_corners)
    half = not aligned if half_pixel_centers is None else bool(half_pixel_centers)
    if aligned and half:
        undefined("upsample_bilinear with align_corners and half_pixel_centers")
    mode = "STRICT_ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS" if half else "DEFAULT"
    sides = _scaled(x, scale_factor_height, scale_factor_width)
    rows, columns = (
        _places(size, side, mode) for size, side in zip(x.shape[-2:], sides, strict=True)
    )
    return kernels.resize_linear(x, rows, columns)


@operator("resize_nearest_neighbor")
def resize_nearest_neighbor(
    *, x: Array, target_size_height: Array, target_size_width: Array
) -> Array:
    """Pixel floor(i * input size / output size) of each axis."""
    sides = (int(target_size_height), int(target_size_width))
    kernels.check_room((*x.shape[:-2], *sides))
    for axis, side in zip((-2, -1), sides, strict=True):
        x = np.take(x, np.arange(side) * x.shape[axis] // side, axis)
    return x


@operator("upsample_nearest_neighbor")
def upsample_nearest_neighbor(
    *, x: Array, scale_factor_height: Array | int = 1, scale_factor_width: Array | int = 1
) -> Array:
    """Pixel floor(i / scale) of each axis."""
    sides = _scaled(x, scale_factor_height, scale_factor_width)
    scales = (float(scale_factor_height), float(scale_factor_width))
    for axis, side, scale in zip((-2, -1), sides, scales, strict=True):
        places = np.arange(side) * x.shape[axis] // side
        if (places != np.floor(np.arange(side) / scale)).any():
            undefined(f"whether the scale {scale} counts, or {side} / {x.shape[axis]}")
        x = np.take(x, places, axis)
    return x


@operator("resize")
def resize(
    *,
    x: Array,
    shape: Array,
    resized_dims: Array,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Array:
    """The last `resized_dims` axes to the last sizes in `shape`, 0 keeping a size, iOS17.

    In the mode NEAREST_NEIGHBOR places are rounded; half-way ones are not defined.
    """
    count = int(resized_dims)
    sides = integers(shape)[len(integers(shape)) - count :]
    for axis, side in zip(range(x.ndim - count, x.ndim), sides, strict=True):
        places = _places(x.shape[axis], side or x.shape[axis], sampling_mode)
        if interpolation_mode == "NEAREST_NEIGHBOR":
            if np.isclose(places % 1, 0.5, atol=1e-6).any():
                undefined("which of two pixels is the nearest half-way between them")
            x = np.take(x, np.round(places).astype(np.int64), axis)
        elif interpolation_mode == "LINEAR" and x.dtype.kind == "f":
            last = np.moveaxis(x, axis, -1)[..., None, :]
            x = np.moveaxis(kernels.resize_linear(last, np.zeros(1), places)[..., 0, :], -1, axis)
        else:
            undefined(f"resize of {x.dtype} in the mode {interpolation_mode!r}")
    return x


def _scaled(x: Array, height: Array | int, width: Array | int) -> tuple[int, int]:
    """floor(size * scale) of the last two axes."""
    sides = math.floor(x.shape[-2] * float(height)), math.floor(x.shape[-1] * float(width))
    kernels.check_room((*x.shape[:-2], *sides))
    return sides


def _places(size: int, side: int, mode: str) -> Array:
    """Where in [0, size - 1] the `side` outputs lie; see iOS15 ``resize_bilinear``."""
    kernels.check_room((size, side))
    steps = np.arange(side)
    if mode == "ALIGN_CORNERS" and side == 1:
        return np.array([(size - 1) / 2])
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        places = steps * ((size - 1) / max(1, side - 1))
    elif mode == "DEFAULT":
        # (size - size / side) / (side - 1), without dividing by zero
        places = steps * (size / side)
    elif mode == "OFFSET_CORNERS":
        places = (steps + 0.5) * (max(1, size - 1) / side)
    elif mode == "UNALIGN_CORNERS":
        places = (steps + 0.5) * (size / side) - 0.5
    else:
        undefined(f"resizing in the mode {mode!r}")
    inside: Array = np.clip(places, 0, size - 1)
    return inside
