"""Readers of the ONNX operators that only move numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import reshape_to
from silverprint.export.coreml.proof.expressions.rearranging import pad
from silverprint.export.coreml.proof.expressions.values import (
    Array,
    Unreadable,
    Value,
    joined,
    moved,
)
from silverprint.export.coreml.proof.reading.node import Node


def _same(node: Node) -> Value:
    return node.value(0)


def _dropout(node: Node) -> Value:
    training = node.number(2)
    if training is not None and training.array.any():
        raise Unreadable("Dropout in training")
    return node.value(0)


def _cast(node: Node) -> Value:
    """From one kind of float to another: the proof of the numbers knows what is rounded."""
    if int(node.attributes["to"]) not in (1, 10, 11, 16):
        raise Unreadable("Cast of a computed value to whole numbers")
    return node.value(0)


def _moved(node: Node, rearrange: Callable[[Any], Any]) -> Value:
    return moved(node.value(0), rearrange, node.name, node.place)


def _reshape(node: Node) -> Value:
    wanted, x = node.integers(1, "shape"), node.value(0)
    assert wanted is not None
    sizes = reshape_to(x.shape, wanted, not node.attributes.get("allowzero", 0))
    return _moved(node, lambda index: index.reshape(sizes))


def _flatten(node: Node) -> Value:
    x = node.value(0)
    axis = int(node.attributes.get("axis", 1))
    axis = axis + len(x.shape) if axis < 0 else axis
    return _moved(node, lambda index: index.reshape(math.prod(x.shape[:axis]), -1))


def _squeeze(node: Node) -> Value:
    axes = node.integers(1, "axes")
    return _moved(node, lambda index: np.squeeze(index, tuple(axes) if axes else None))


def _unsqueeze(node: Node) -> Value:
    axes = node.integers(1, "axes")
    assert axes is not None
    return _moved(node, lambda index: np.expand_dims(index, tuple(axes)))


def _transpose(node: Node) -> Value:
    perm = node.attributes.get("perm")
    return _moved(node, lambda index: np.transpose(index, perm))


def _concat(node: Node) -> Value:
    values = [node.value(number) for number in range(len(node.inputs))]
    axis = int(node.attributes["axis"])
    return joined(values, lambda parts: np.concatenate(parts, axis), node.name, node.place)


def _split(node: Node) -> list[Value]:
    x = node.value(0)
    axis = int(node.attributes.get("axis", 0)) % len(x.shape)
    count, size = len(node.outputs), x.shape[axis]
    sizes = node.integers(1, "split")
    if sizes is None:
        each = -(-size // count)
        sizes = [each] * (count - 1) + [size - each * (count - 1)]
    ends = list(itertools.accumulate(sizes))

    def part(begin: int, end: int) -> Callable[[Any], Any]:
        return lambda index: np.take(index, range(begin, end), axis)

    return [
        moved(x, part(end - size, end), name, node.place)
        for name, size, end in zip(node.outputs, sizes, ends, strict=True)
    ]


def _slice(node: Node) -> Value:
    x = node.value(0)
    starts, ends = node.integers(1, "starts"), node.integers(2, "ends")
    assert starts is not None
    assert ends is not None
    axes = node.integers(3, "axes") or list(range(len(starts)))
    steps = node.integers(4) or [1] * len(starts)
    cuts = [slice(None)] * len(x.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # A negative end beyond the front means "to the front" for a backward step.
        last = None if step < 0 and end < -x.shape[axis] else end
        cuts[axis] = slice(start, last, step)
    return _moved(node, lambda index: index[tuple(cuts)])


def _gather(node: Node) -> Value:
    places = node.weight(1).array
    axis = int(node.attributes.get("axis", 0))
    return _moved(node, lambda index: np.take(index, places, axis))


def _gather_elements(node: Node) -> Value:
    places, x = node.weight(1).array, node.value(0)
    axis = int(node.attributes.get("axis", 0))
    wrapped = np.where(places < 0, places + x.shape[axis], places)
    return _moved(node, lambda index: np.take_along_axis(index, wrapped, axis))


def _gather_nd(node: Node) -> Value:
    if node.attributes.get("batch_dims", 0):
        raise Unreadable("GatherND with batches")
    places = np.moveaxis(node.weight(1).array, -1, 0)
    return _moved(node, lambda index: index[tuple(places)])


def _expand(node: Node) -> Value:
    wanted, x = node.integers(1), node.value(0)
    assert wanted is not None
    shape = np.broadcast_shapes(x.shape, tuple(wanted))
    return _moved(node, lambda index: np.broadcast_to(index, shape))


def _tile(node: Node) -> Value:
    times = node.integers(1)
    assert times is not None
    return _moved(node, lambda index: np.tile(index, times))


def _pad(node: Node) -> Value:
    x, pads = node.value(0), node.integers(1, "pads")
    assert pads is not None
    axes = node.integers(3) or list(range(len(x.shape)))
    widths = [(0, 0)] * len(x.shape)
    for number, axis in enumerate(axes):
        widths[axis] = (pads[number], pads[number + len(axes)])
    given = node.number(2)
    fill = np.float32(node.attributes.get("value", 0)) if given is None else given.array
    mode = node.text("mode", "constant")
    return pad(x, widths, mode, np.asarray(fill), node.name, node.place)


def _depth_to_space(node: Node) -> Value:
    n, c, h, w = node.value(0).shape
    b = int(node.attributes["blocksize"])
    deep = c // b**2
    if node.text("mode", "DCR") == "DCR":
        first, order = (n, b, b, deep, h, w), (0, 3, 4, 1, 5, 2)
    else:
        first, order = (n, deep, b, b, h, w), (0, 1, 4, 2, 5, 3)
    return _moved(
        node, lambda index: index.reshape(first).transpose(order).reshape(n, deep, h * b, w * b)
    )


def _space_to_depth(node: Node) -> Value:
    n, c, h, w = node.value(0).shape
    b = int(node.attributes["blocksize"])
    return _moved(
        node,
        lambda index: (
            index.reshape(n, c, h // b, b, w // b, b)
            .transpose(0, 3, 5, 1, 2, 4)
            .reshape(n, c * b * b, h // b, w // b)
        ),
    )


def _resize(node: Node) -> Value:
    """Positions as in the definition of ``Resize``; ``Upsample`` is the asymmetric form."""
    x = node.value(0)
    old = node.operator == "Upsample"
    mode = node.text("mode", "nearest")
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    coordinates = "asymmetric" if old or node.opset < 11 else coordinates
    scales = node.number(1 if old or node.opset < 11 else 2)
    sizes = None if old else node.integers(3)
    given = list(scales.array.reshape(-1)) if scales is not None else []
    if mode not in ("nearest", "linear") or node.attributes.get("antialias", 0):
        raise Unreadable(f"Resize of the mode {mode}")
    if "axes" in node.attributes or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unreadable("Resize of some axes")
    positions = []
    for axis, size in enumerate(x.shape):
        target = sizes[axis] if sizes else int(np.floor(size * np.float32(given[axis])))
        scale = target / size if sizes else float(given[axis])
        positions.append(_positions(coordinates, size, target, scale))
    if any(a != b for a, b in zip(x.shape[:2], map(len, positions), strict=False)):
        raise Unreadable("Resize of batch or channels")
    places = positions[2:]
    if mode == "nearest":
        how = node.text("nearest_mode", "floor" if old else "round_prefer_floor")
        places = [_NEAREST[how](one) for one in places]
    return layers.resample(x, node.name, node.place, places, nearest=mode == "nearest")


_NEAREST: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda p: np.ceil(p - 0.5),
    "round_prefer_ceil": lambda p: np.floor(p + 0.5),
}


def _positions(coordinates: str, size: int, target: int, scale: float) -> Array:
    out = np.arange(target, dtype=np.float64)
    if coordinates == "asymmetric":
        return out / scale
    if coordinates == "align_corners":
        return out * (size - 1) / (target - 1) if target > 1 else out * 0
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and target > 1):
        return (out + 0.5) / scale - 0.5
    if coordinates == "pytorch_half_pixel":
        return out * 0
    raise Unreadable(f"Resize with {coordinates}")


MOVES: dict[str, Callable[[Node], Value | list[Value]]] = {
    "Identity": _same,
    "Dropout": _dropout,
    "Cast": _cast,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": _resize,
    "Upsample": _resize,
}
