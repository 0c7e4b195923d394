"""Operators that move values about without computing any.

Definitions: coremltools, iOS15 ``tensor_operation`` and ``tensor_transformation``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from silverprint.export.coreml.execute.kernels import check_room
from silverprint.export.coreml.execute.mil_table import (
    IOS17,
    Array,
    axes_of,
    axis_of,
    integers,
    operator,
    undefined,
)


@operator("concat")
def concat(*, values: tuple[Array, ...], axis: Array, interleave: Array | bool = False) -> Array:
    """The values one after another along `axis`; interleaved, one slice of each in turn."""
    place = axis_of(axis, values[0].ndim)
    if not bool(interleave):
        return np.concatenate(values, place)
    shape = list(values[0].shape)
    shape[place] *= len(values)
    return np.stack(values, place + 1).reshape(shape)


@operator("stack")
def stack(*, values: tuple[Array, ...], axis: Array) -> Array:
    """The values along a new axis."""
    return np.stack(values, int(axis))


@operator("split")
def split(
    *,
    x: Array,
    axis: Array,
    num_splits: Array | None = None,
    split_sizes: Array | None = None,
) -> tuple[Array, ...]:
    """Parts of the given sizes along `axis`, or `num_splits` equal ones."""
    place = axis_of(axis, x.ndim)
    if split_sizes is not None:
        sizes = integers(split_sizes)
    elif num_splits is not None and x.shape[place] % int(num_splits) == 0:
        sizes = (x.shape[place] // int(num_splits),) * int(num_splits)
    else:
        undefined(f"split of {x.shape[place]} into {num_splits} parts")
    if sum(sizes) != x.shape[place] or (num_splits is not None and int(num_splits) != len(sizes)):
        undefined(f"split of {x.shape[place]} into {list(sizes)}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], place))


@operator("shape")
def shape(*, x: Array) -> Array:
    """The sides of x."""
    return np.array(x.shape, np.int32)


@operator("reshape")
def reshape(*, x: Array, shape: Array) -> Array:
    """x with another shape; 0 keeps a side where the rank stays, -1 is what remains."""
    sides = integers(shape)
    if 0 in sides and len(sides) != x.ndim:
        undefined("a 0 in the shape where the rank changes")
    kept = [one or size for one, size in zip(sides, x.shape, strict=False)] if 0 in sides else sides
    return x.reshape(kept)


@operator("reshape", since=IOS17)
def reshape_ios17(*, x: Array, shape: Array) -> Array:
    """As before, but 0 keeps the side counted from the right, and is 1 where there is none."""
    sides = integers(shape)
    known = (1,) * max(0, len(sides) - x.ndim) + x.shape[max(0, x.ndim - len(sides)) :]
    return x.reshape([one or size for one, size in zip(sides, known, strict=True)])


@operator("reshape_like")
def reshape_like(
    *,
    x: Array,
    ref_tensors: tuple[Array, ...],
    begins: tuple[Array, ...],
    ends: tuple[Array, ...],
    end_masks: tuple[Array, ...],
) -> Array:
    """x with sides taken from ref_tensors[i].shape[begins[i]:ends[i]], iOS16."""
    sides: list[int] = []
    for tensor, begin, end, masked in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sides += tensor.shape[int(begin) : None if bool(masked) else int(end)]
    return x.reshape(sides)


@operator("flatten2d")
def flatten2d(*, x: Array, axis: Array | int = 1) -> Array:
    """[product of the sides before `axis`, product of the others]."""
    return x.reshape(math.prod(x.shape[: int(axis)]), -1)


@operator("expand_dims")
def expand_dims(*, x: Array, axes: Array) -> Array:
    """x with a side of 1 at each of `axes` of the result."""
    return np.expand_dims(x, integers(axes))


@operator("squeeze")
def squeeze(*, x: Array, axes: Array | None = None) -> Array:
    """x without those of `axes` that have a side of 1; the others stay, as in PyTorch."""
    return np.squeeze(x, tuple(axis for axis in axes_of(axes, x.ndim) if x.shape[axis] == 1))


@operator("transpose")
def transpose(*, x: Array, perm: Array) -> Array:
    """Axis i of the result is axis perm[i] of x."""
    return np.transpose(x, integers(perm))


@operator("reverse")
def reverse(*, x: Array, axes: Array | None = None) -> Array:
    """x backwards along `axes`, or along all."""
    return np.flip(x, axes_of(axes, x.ndim))


@operator("slice_by_index")
def slice_by_index(
    *,
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """x[begin:end:stride] as in numpy; a mask leaves a begin or end open, or takes begin alone."""
    index = _index(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    return np.asarray(x[index])


@operator("slice_update")
def slice_update(
    *,
    x: Array,
    update: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """x with what ``slice_by_index`` would take replaced by `update`, iOS18."""
    index = _index(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    result = x.copy()
    if result[index].shape != update.shape:
        raise ValueError(f"the slice is {list(result[index].shape)}, not {list(update.shape)}")
    result[index] = update
    return result


def _index(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None,
    begin_mask: Array | None,
    end_mask: Array | None,
    squeeze_mask: Array | None,
) -> tuple[slice | int, ...]:
    def numbers(values: Array | None, default: int) -> Sequence[int]:
        listed = (default,) * x.ndim if values is None else integers(values)
        if len(listed) != x.ndim:
            raise ValueError(f"{len(listed)} numbers for the axes of {list(x.shape)}")
        return listed

    index: list[slice | int] = []
    for first, last, step, from_start, to_end, alone in zip(
        numbers(begin, 0),
        numbers(end, 0),
        numbers(stride, 1),
        numbers(begin_mask, 0),
        numbers(end_mask, 0),
        numbers(squeeze_mask, 0),
        strict=True,
    ):
        if alone:
            index.append(0 if from_start else first)
        else:
            index.append(slice(None if from_start else first, None if to_end else last, step))
    return tuple(index)


@operator("slice_by_size")
def slice_by_size(*, x: Array, begin: Array, size: Array) -> Array:
    """`size` values from `begin` on along each axis; -1 takes all that remain."""
    index = []
    for side, first, count in zip(x.shape, integers(begin), integers(size), strict=True):
        start = first + side if first < 0 else first
        stop = side if count == -1 else start + count
        if not 0 <= start <= stop <= side:
            undefined(f"a slice of {count} from {first} on in {side}")
        index.append(slice(start, stop))
    return x[tuple(index)]


@operator("tile")
def tile(*, x: Array, reps: Array) -> Array:
    """x repeated reps[i] times along axis i."""
    times = integers(reps)
    if len(times) != x.ndim or min(times, default=0) < 1:
        undefined(f"tile of {list(x.shape)} by {list(times)}")
    check_room([side * more for side, more in zip(x.shape, times, strict=True)])
    return np.tile(x, times)


@operator("pad")
def pad(
    *, x: Array, pad: Array, mode: str = "constant", constant_val: Array | float = 0.0
) -> Array:
    """x with pad[2i] values before and pad[2i + 1] after, on its last len(pad) / 2 axes."""
    numbers = integers(pad)
    pads = list(zip(numbers[::2], numbers[1::2], strict=True))
    whole = [(0, 0)] * (x.ndim - len(pads)) + pads
    check_room([side + sum(more) for side, more in zip(x.shape, whole, strict=True)])
    if mode == "constant":
        return np.pad(x, whole, constant_values=np.asarray(constant_val, x.dtype))
    room = {"reflect": 1, "replicate": 0}
    if mode not in room:
        undefined(f"pad in the mode {mode!r}")
    for side, (before, after) in zip(x.shape, whole, strict=True):
        if max(before, after) > side - room[mode]:
            undefined(f"pad in the mode {mode!r} by {max(before, after)} where a side is {side}")
    return np.pad(x, whole, "reflect" if mode == "reflect" else "edge")


@operator("crop")
def crop(*, x: Array, crop_height: Array, crop_width: Array) -> Array:
    """x [..., H, W] without (top, bottom) rows and (left, right) columns."""
    top, bottom = integers(crop_height)
    left, right = integers(crop_width)
    height, width = x.shape[-2:]
    return x[..., top : height - bottom, left : width - right]


@operator("fill")
def fill(*, shape: Array, value: Array | float = 0.0) -> Array:
    """`value` everywhere."""
    number = np.asarray(value, np.float32) if isinstance(value, float) else value
    check_room(integers(shape))
    return np.full(integers(shape), number)


@operator("fill_like", mixes_floats=True)
def fill_like(*, ref_tensor: Array, value: Array | float = 0.0) -> Array:
    """`value` in the shape of another tensor, iOS16."""
    return fill(shape=np.array(ref_tensor.shape), value=value)


@operator("range_1d")
def range_1d(*, start: Array, end: Array, step: Array) -> Array:
    """start, start + step, ... before end."""
    check_room([math.ceil((end.item() - start.item()) / step.item())])
    return np.arange(start.item(), end.item(), step.item()).astype(start.dtype)
