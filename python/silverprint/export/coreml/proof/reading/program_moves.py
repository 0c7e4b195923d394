"""Readers of the ML Program's operators that only move numbers. Defaults are those of MIL."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import reshape_to
from silverprint.export.coreml.proof.expressions.rearranging import (
    depth_to_space,
    grid,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    space_to_depth,
)
from silverprint.export.coreml.proof.expressions.values import (
    Array,
    Unreadable,
    Value,
    joined,
    moved,
)
from silverprint.export.coreml.proof.reading.operation import Operation


def _moved(op: Operation, rearrange: Callable[[Any], Any]) -> Value:
    return moved(op.x, rearrange, op.name, op.place)


def _cast(op: Operation) -> Value:
    if op.text("dtype", "") not in ("fp16", "fp32"):
        raise Unreadable("cast of a computed value to whole numbers")
    return op.x


def _reshape(op: Operation) -> Value:
    sizes = reshape_to(op.x.shape, op.integers("shape"))
    return _moved(op, lambda index: index.reshape(sizes))


def _squeeze(op: Operation) -> Value:
    axes = op.integers("axes", [])
    return _moved(op, lambda index: np.squeeze(index, tuple(axes) or None))


def _expand_dims(op: Operation) -> Value:
    axes = op.integers("axes")
    return _moved(op, lambda index: np.expand_dims(index, tuple(axes)))


def _transpose(op: Operation) -> Value:
    perm = op.integers("perm")
    return _moved(op, lambda index: np.transpose(index, perm))


def _slice_by_index(op: Operation) -> Value:
    rank = len(op.x.shape)
    begin, end = op.integers("begin"), op.integers("end")
    stride = op.integers("stride", [1] * rank)
    masks = [op.integers(f"{key}_mask", [0] * rank) for key in ("begin", "end", "squeeze")]
    cuts: list[Any] = []
    for axis in range(rank):
        from_start, to_end, squeeze = (mask[axis] for mask in masks)
        if squeeze:
            cuts.append(begin[axis])
        else:
            first = None if from_start else begin[axis]
            cuts.append(slice(first, None if to_end else end[axis], stride[axis]))
    return _moved(op, lambda index: index[tuple(cuts)])


def _slice_by_size(op: Operation) -> Value:
    cuts = tuple(
        slice(first, None if size == -1 else first + size)
        for first, size in zip(op.integers("begin"), op.integers("size"), strict=True)
    )
    return _moved(op, lambda index: index[cuts])


def _split(op: Operation) -> list[Value]:
    axis = layers.axis_of(op.x, op.integers("axis")[0])
    size, count = op.x.shape[axis], len(op.outputs)
    sizes = op.integers("split_sizes", [size // count] * count)

    def part(begin: int, end: int) -> Callable[[Any], Any]:
        return lambda index: np.take(index, range(begin, end), axis)

    return [
        moved(op.x, part(end - width, end), name, op.place)
        for name, width, end in zip(op.outputs, sizes, itertools.accumulate(sizes), strict=True)
    ]


def _concat(op: Operation) -> Value:
    values = op.arguments["values"]
    axis = op.integers("axis")[0]

    def join(parts: list[Array]) -> Array:
        if not op.flag("interleave"):
            return np.concatenate(parts, axis)
        along = axis % parts[0].ndim
        stacked = np.stack(parts, along + 1)
        shape = list(parts[0].shape)
        shape[along] *= len(parts)
        return stacked.reshape(shape)

    return joined(values, join, op.name, op.place)


def _stack(op: Operation) -> Value:
    axis = op.integers("axis")[0]
    return joined(op.arguments["values"], lambda parts: np.stack(parts, axis), op.name, op.place)


def _gather(op: Operation) -> Value:
    if op.integers("batch_dims", [0])[0]:
        raise Unreadable("gather with batches")
    places, axis = op.weight("indices").array.astype(np.int64), op.integers("axis", [0])[0]
    return _moved(op, lambda index: np.take(index, places, axis))


def _gather_along_axis(op: Operation) -> Value:
    axis = op.integers("axis", [0])[0]
    places = op.weight("indices").array.astype(np.int64)
    wrapped = np.where(places < 0, places + op.x.shape[axis], places)
    return _moved(op, lambda index: np.take_along_axis(index, wrapped, axis))


def _gather_nd(op: Operation) -> Value:
    if op.integers("batch_dims", [0])[0]:
        raise Unreadable("gather_nd with batches")
    places = np.moveaxis(op.weight("indices").array.astype(np.int64), -1, 0)
    return _moved(op, lambda index: index[tuple(places)])


def _tile(op: Operation) -> Value:
    times = op.integers("reps")
    return _moved(op, lambda index: np.tile(index, times))


def _reverse(op: Operation) -> Value:
    axes = op.integers("axes", [])
    return _moved(op, lambda index: np.flip(index, tuple(axes) or None))


def _pad(op: Operation) -> Value:
    amounts, rank = op.integers("pad"), len(op.x.shape)
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    widths = [(0, 0)] * (rank - len(pairs)) + pairs
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    fill = op.number("constant_val")
    number = np.float32(0) if fill is None else fill.array
    mode = modes[op.text("mode", "constant")]
    return pad(op.x, widths, mode, np.asarray(number), op.name, op.place)


def _blocks(rearrange: Callable[[Any, int], Any], parameter: str) -> Callable[[Operation], Value]:
    def read(op: Operation) -> Value:
        block = op.integers(parameter)[0]
        return _moved(op, lambda index: rearrange(index, block))

    return read


def _resize_to(op: Operation, sizes: tuple[int, ...], mode: str, nearest: bool) -> Value:
    old = op.x.shape[len(op.x.shape) - len(sizes) :]
    positions = [grid(mode, size, target) for size, target in zip(old, sizes, strict=True)]
    return layers.resample(op.x, op.name, op.place, positions, nearest=nearest)


def _resize_bilinear(op: Operation) -> Value:
    return _resize_to(op, op.shapes[0][-2:], op.text("sampling_mode", "DEFAULT"), False)


def _upsample_bilinear(op: Operation) -> Value:
    aligned = op.flag("align_corners", True)
    mode = "STRICT_ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS"
    return _resize_to(op, op.shapes[0][-2:], mode, False)


def _nearest(op: Operation) -> Value:
    return _resize_to(op, op.shapes[0][-2:], "DEFAULT", True)


def _resize(op: Operation) -> Value:
    """Nearest with sampling modes other than the default is not defined well enough to prove."""
    nearest = op.text("interpolation_mode", "LINEAR") == "NEAREST_NEIGHBOR"
    mode = op.text("sampling_mode", "DEFAULT")
    if nearest and mode != "DEFAULT":
        raise Unreadable(f"resize to the nearest with {mode}")
    count = op.integers("resized_dims")[0]
    return _resize_to(op, op.shapes[0][len(op.shapes[0]) - count :], mode, nearest)


MOVES: dict[str, Callable[[Operation], Value | list[Value]]] = {
    "identity": lambda op: op.x,
    "cast": _cast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "transpose": _transpose,
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "split": _split,
    "concat": _concat,
    "stack": _stack,
    "gather": _gather,
    "gather_along_axis": _gather_along_axis,
    "gather_nd": _gather_nd,
    "tile": _tile,
    "reverse": _reverse,
    "pad": _pad,
    "depth_to_space": _blocks(depth_to_space, "block_size"),
    "space_to_depth": _blocks(space_to_depth, "block_size"),
    "pixel_shuffle": _blocks(pixel_shuffle, "upscale_factor"),
    "pixel_unshuffle": _blocks(pixel_unshuffle, "downscale_factor"),
    "resize_bilinear": _resize_bilinear,
    "upsample_bilinear": _upsample_bilinear,
    "resize_nearest_neighbor": _nearest,
    "upsample_nearest_neighbor": _nearest,
    "resize": _resize,
}
