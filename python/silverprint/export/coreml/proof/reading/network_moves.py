"""Readers of the NeuralNetwork layers that only move numbers. Names: NeuralNetwork.proto."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import integers
from silverprint.export.coreml.proof.expressions.rearranging import (
    depth_to_space,
    grid,
    pad,
    pixel_shuffle,
    space_to_depth,
)
from silverprint.export.coreml.proof.expressions.values import (
    Array,
    Unreadable,
    Value,
    joined,
    moved,
)
from silverprint.export.coreml.proof.reading.layer import Layer

_SLICED = {0: -3, 1: -2, 2: -1}  # SliceLayerParams.SliceAxis


def _moved(layer: Layer, rearrange: Callable[[Any], Any]) -> Value:
    return moved(layer.x, rearrange, layer.name, layer.place)


def _reshape(layer: Layer) -> Value:
    shape = tuple(int(side) for side in layer.params.targetShape)
    return _moved(layer, lambda index: index.reshape(shape))


def _rank_preserving(layer: Layer) -> Value:
    sizes = layers.reshape_to(layer.x.shape, layer.params.targetShape)
    return _moved(layer, lambda index: index.reshape(sizes))


def _flatten_to_2d(layer: Layer) -> Value:
    axis = layer.params.axis + (len(layer.x.shape) if layer.params.axis < 0 else 0)
    rows = math.prod(layer.x.shape[:axis])
    return _moved(layer, lambda index: index.reshape(rows, -1))


def _transpose(layer: Layer) -> Value:
    return _moved(layer, lambda index: np.transpose(index, tuple(layer.params.axes)))


def _squeeze(layer: Layer) -> Value:
    axes = None if layer.params.squeezeAll else tuple(layer.params.axes)
    return _moved(layer, lambda index: np.atleast_1d(np.squeeze(index, axes)))


def _expand_dims(layer: Layer) -> Value:
    return _moved(layer, lambda index: np.expand_dims(index, tuple(layer.params.axes)))


def _concat(layer: Layer) -> Value:
    p = layer.params
    axis = p.axis if layer.kind == "concatND" else -5 if p.sequenceConcat else -3

    def join(parts: list[Array]) -> Array:
        result = np.concatenate(parts, axis)
        if layer.kind == "concatND" and p.interleave:
            return np.stack(parts, axis % result.ndim + 1).reshape(result.shape)
        return result

    return joined(layer.inputs, join, layer.name, layer.place)


def _stack(layer: Layer) -> Value:
    axis = layer.params.axis
    return joined(layer.inputs, lambda parts: np.stack(parts, axis), layer.name, layer.place)


def _split(layer: Layer) -> list[Value]:
    p = layer.params
    axis = p.axis if layer.kind == "splitND" else -3
    size, count = layer.x.shape[axis], len(layer.outputs)
    sizes = [int(one) for one in getattr(p, "splitSizes", [])] or [size // count] * count
    ends = np.cumsum(sizes)

    def part(begin: int, end: int) -> Callable[[Any], Any]:
        return lambda index: np.take(index, range(begin, end), axis)

    return [
        moved(layer.x, part(int(end) - width, int(end)), name, layer.place)
        for name, width, end in zip(layer.outputs, sizes, ends, strict=True)
    ]


def _slice(layer: Layer) -> Value:
    p = layer.params
    cuts = [slice(None)] * len(layer.x.shape)
    cuts[_SLICED[int(p.axis)]] = slice(p.startIndex, p.endIndex, p.stride)
    return _moved(layer, lambda index: index[tuple(cuts)])


def _slice_static(layer: Layer) -> Value:
    p, rank = layer.params, len(layer.x.shape)
    none = [False] * rank
    masks = [list(one) or none for one in (p.beginMasks, p.endMasks, p.squeezeMasks)]
    steps = list(p.strides) or [1] * rank
    cuts: list[Any] = []
    for axis, (first, last, step) in enumerate(zip(p.beginIds, p.endIds, steps, strict=True)):
        open_before, open_after, squeeze = (mask[axis] for mask in masks)
        if squeeze:
            cuts.append(int(first))
        else:
            cuts.append(slice(None if open_before else first, None if open_after else last, step))
    if len(cuts) != rank:
        raise Unreadable("a slice of some axes")
    return _moved(layer, lambda index: np.atleast_1d(index[tuple(cuts)]))


def _gather(layer: Layer) -> Value:
    places = np.array(integers(layer.inputs[1]), np.int64).reshape(layer.inputs[1].shape)
    return _moved(layer, lambda index: np.take(index, places, layer.params.axis))


def _gather_along(layer: Layer) -> Value:
    axis = layer.params.axis
    places = np.array(integers(layer.inputs[1]), np.int64).reshape(layer.inputs[1].shape)
    wrapped = np.where(places < 0, places + layer.x.shape[axis], places)
    return _moved(layer, lambda index: np.take_along_axis(index, wrapped, axis))


def _tile(layer: Layer) -> Value:
    if len(layer.inputs) > 1:
        raise Unreadable("a tile with computed numbers")
    return _moved(layer, lambda index: np.tile(index, tuple(layer.params.reps)))


def _reverse(layer: Layer) -> Value:
    axes = tuple(axis for axis, back in enumerate(layer.params.reverseDim) if back)
    return _moved(layer, lambda index: np.flip(index, axes))


def _broadcast(layer: Layer) -> Value:
    shape = tuple(int(side) for side in layer.params.targetShape)
    return _moved(layer, lambda index: np.broadcast_to(index, shape))


def _padding(layer: Layer) -> Value:
    p = layer.params
    kind = p.WhichOneof("PaddingType") or "constant"
    amounts = p.paddingAmounts.borderAmounts
    edges = [(int(one.startEdgeSize), int(one.endEdgeSize)) for one in amounts]
    widths = [(0, 0)] * (len(layer.x.shape) - 2) + (edges or [(0, 0), (0, 0)])
    modes = {"constant": "constant", "reflection": "reflect", "replication": "edge"}
    fill = np.float32(p.constant.value)
    return pad(layer.x, widths, modes[kind], np.asarray(fill), layer.name, layer.place)


def _constant_pad(layer: Layer) -> Value:
    p = layer.params
    if len(layer.inputs) > 1 or p.padToGivenOutputSizeMode:
        raise Unreadable("padding to a computed size")
    amounts = [int(one) for one in p.padAmounts]
    widths = list(zip(amounts[::2], amounts[1::2], strict=True))
    fill = np.asarray(np.float32(p.value))
    return pad(layer.x, widths, "constant", fill, layer.name, layer.place)


def _upsample(layer: Layer) -> Value:
    p = layer.params
    factors = list(p.fractionalScalingFactor) or list(p.scalingFactor) or [1, 1]
    old = layer.x.shape[-2:]
    sizes = [int(side * factor) for side, factor in zip(old, factors, strict=True)]
    nearest = int(p.mode) == 0
    if nearest and p.fractionalScalingFactor:
        raise Unreadable("nearest numbers at a fraction")
    modes = ("DEFAULT", "STRICT_ALIGN_CORNERS", "UNALIGN_CORNERS")
    mode = "DEFAULT" if nearest else modes[int(p.linearUpsampleMode)]
    places = [grid(mode, side, size) for side, size in zip(old, sizes, strict=True)]
    return layers.resample(layer.x, layer.name, layer.place, places, nearest=nearest)


def _resize_bilinear(layer: Layer) -> Value:
    p = layer.params
    modes = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS")
    mode = modes[int(p.mode.samplingMethod)]
    pairs = zip(layer.x.shape[-2:], p.targetSize, strict=True)
    places = [grid(mode, side, int(size)) for side, size in pairs]
    return layers.resample(layer.x, layer.name, layer.place, places, nearest=False)


def _reorganize(layer: Layer) -> Value:
    how = (space_to_depth, depth_to_space, pixel_shuffle)[int(layer.params.mode)]
    return _moved(layer, lambda index: how(index, int(layer.params.blockSize)))


MOVES: dict[str, Callable[[Layer], Value | list[Value]]] = {
    "copy": lambda layer: layer.x,
    "reshapeStatic": _reshape,
    "rankPreservingReshape": _rank_preserving,
    "flattenTo2D": _flatten_to_2d,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "expandDims": _expand_dims,
    "concat": _concat,
    "concatND": _concat,
    "stack": _stack,
    "split": _split,
    "splitND": _split,
    "slice": _slice,
    "sliceStatic": _slice_static,
    "gather": _gather,
    "gatherAlongAxis": _gather_along,
    "tile": _tile,
    "reverse": _reverse,
    "broadcastToStatic": _broadcast,
    "padding": _padding,
    "constantPad": _constant_pad,
    "upsample": _upsample,
    "resizeBilinear": _resize_bilinear,
    "reorganizeData": _reorganize,
}
