"""Rules that let a move change places with the operator before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.values import (
    MOVE,
    Array,
    Constant,
    Value,
    moved,
)

BY_NUMBER = {
    *("relu", "sigmoid", "tanh", "erf", "silu", "gelu", "softplus", "softsign", "exp", "log"),
    *("sqrt", "rsqrt", "inverse", "abs", "clip", "hard_sigmoid", "hard_swish", "elu"),
    *("leaky_relu", "floor", "ceil", "round", "sign"),
}
_NORMS = ("layer_norm", "batch_norm", "instance_norm")
WITH_CONSTANT = {"add", "sub", "mul", "div", "pow", "maximum", "minimum", "prelu"}


def _source(value: Value) -> tuple[Value, Array] | None:
    """What `value` rearranges, all of it and nothing twice, and where each number comes from."""
    if value.kind != MOVE or len(value.inputs) != 1:
        return None
    source, index = value.inputs[0], value.settings["index"]
    if index.size != math.prod(source.shape) or (index < 0).any():
        return None
    seen = np.zeros(index.size, bool)
    seen[index.reshape(-1)] = True
    return (source, index) if seen.all() else None


def _singly(value: Value) -> Value | None:
    """f(move(x)) = move(f(x)) for an operator that does the same to every number."""
    if value.kind not in BY_NUMBER | WITH_CONSTANT or len(value.inputs) != 1:
        return None
    move = value.inputs[0]
    if move.kind != MOVE or len(move.inputs) != 1 or move.shape != value.shape:
        return None
    index = move.settings["index"]
    if (index < 0).any() or any(one.array.size != 1 for one in value.numbers.values()):
        return None
    source = move.inputs[0]
    numbers = {key: Constant(one.array.reshape(()), one.name) for key, one in value.numbers.items()}
    inner = Value(
        value.kind, source.shape, (source,), value.settings, numbers, value.name, value.place
    )
    return moved(inner, lambda i: i.reshape(-1)[index], value.name, value.place)


def _afterwards(value: Value) -> Value | None:
    """f(move(x)) = move(f(x)) for an operator on each number, its constants moved back."""
    if not value.inputs or value.kind not in BY_NUMBER | WITH_CONSTANT:
        return None
    found = [_source(one) for one in value.inputs]
    if any(one is None for one in found) or any(one.shape != value.shape for one in value.inputs):
        return None
    pairs = [one for one in found if one is not None]
    index = pairs[0][1]
    sources = [source for source, _ in pairs]
    if any(
        other.shape != sources[0].shape or not np.array_equal(index, where)
        for other, (_, where) in zip(sources, pairs, strict=True)
    ):
        return None
    numbers = dict(value.numbers)
    if value.kind in WITH_CONSTANT:
        for key, given in numbers.items():
            back = np.empty(index.size, given.array.dtype)
            back[index.reshape(-1)] = np.broadcast_to(given.array, value.shape).reshape(-1)
            numbers[key] = Constant(back.reshape(sources[0].shape), given.name)
    inner = Value(
        value.kind,
        sources[0].shape,
        tuple(sources),
        value.settings,
        numbers,
        value.name,
        value.place,
    )
    return moved(inner, lambda i: i.reshape(-1)[index], value.name, value.place)


def _permutation(value: Value) -> tuple[Value, tuple[int, ...]] | None:
    """(x, perm), where `value` is np.transpose(x, perm) and x its source, reshaped if need be."""
    found = _source(value)
    if found is None:
        return None
    source, index = found
    steps = {}
    for axis, size in enumerate(index.shape):
        if size > 1:
            place = [0] * index.ndim
            place[axis] = 1
            steps[axis] = int(index[tuple(place)] - index.flat[0])
    # Axes of one place stay where they are, the others lie in the order of their steps.
    ordered = iter(sorted(steps, key=lambda axis: -steps[axis]))
    back = [next(ordered) if axis in steps else axis for axis in range(index.ndim)]
    turned = np.transpose(index, back)
    if not np.array_equal(turned.reshape(-1), np.arange(index.size)):
        return None
    shape = turned.shape
    x = moved(source, lambda i: i.reshape(shape), value.name, value.place)
    return x, tuple(int(axis) for axis in np.argsort(back))


def _transposed(value: Value) -> Value | None:
    """f(transpose(x)) = transpose(f(x)), the constants turned back; their shapes may differ."""
    if not value.inputs or value.kind not in BY_NUMBER | WITH_CONSTANT:
        return None
    found = [_permutation(one) for one in value.inputs]
    if any(one is None for one in found):
        return None
    pairs = [one for one in found if one is not None]
    perm = pairs[0][1]
    if any(other != perm for _, other in pairs) or perm == tuple(range(len(perm))):
        return None
    numbers = dict(value.numbers)
    back = tuple(np.argsort(perm))
    if value.kind in WITH_CONSTANT:
        for key, one in numbers.items():
            full = one.array.reshape((1,) * (len(perm) - one.array.ndim) + one.array.shape)
            numbers[key] = Constant(full.transpose(back), one.name)
    shape = tuple(value.shape[axis] for axis in back)
    sources = tuple(source for source, _ in pairs)
    inner = Value(value.kind, shape, sources, value.settings, numbers, value.name, value.place)
    return moved(inner, lambda i: np.transpose(i, perm), value.name, value.place)


def _flattened(value: Value) -> Value | None:
    """What works along some axes, with these as one last axis and all others as one before.

    A norm by channel is brought to [N, C, rest] instead.
    """
    kind, x = value.kind, value.inputs[0] if value.inputs else None
    if x is None or not (kind in _NORMS or kind == "softmax" or kind.startswith("reduce_")):
        return None
    name, place, shape = value.name, value.place, value.shape
    if kind in ("batch_norm", "instance_norm"):
        flat = (*shape[:2], math.prod(shape[2:]))
        if shape == flat:
            return None
        before = moved(x, lambda i: i.reshape(flat), x.name, place)
        norm = layers.channel_norm(kind, before, name, place, **value.numbers)
        return moved(norm, lambda i: i.reshape(shape), name, place)
    axes = value.settings["axes"] if "axes" in value.settings else (value.settings["axis"],)
    rest = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    perm = (*rest, *axes)
    sides = [x.shape[axis] for axis in perm]
    outer, inner = math.prod(sides[: len(rest)]), math.prod(sides[len(rest) :])
    if x.shape == (outer, inner) and perm == (0, 1):
        return None
    before = moved(x, lambda i: np.transpose(i, perm).reshape(outer, inner), x.name, place)
    settings = {"axis": 1} if kind == "softmax" else {"axes": (1,)}
    numbers = {
        key: one if key == "epsilon" else Constant(one.array.reshape(-1), one.name)
        for key, one in value.numbers.items()
    }
    size = 1 if kind.startswith("reduce_") else inner
    last = Value(kind, (outer, size), (before,), settings, numbers, name, place)
    turned = [value.shape[axis] for axis in perm]
    back = np.argsort(perm)
    return moved(last, lambda i: i.reshape(turned).transpose(back), name, place)


def _padded(value: Value) -> Value | None:
    """Zeros around the picture belong to the convolution that follows, or are counted by a mean."""
    if value.kind not in ("conv", "average_pool") or value.inputs[0].kind != MOVE:
        return None
    settings, found = value.settings, _without_zeros(value.inputs[0])
    if found is None:
        return None
    source, extra = found
    if value.kind == "average_pool":
        if any(settings["pads"]) or settings["counts_overhang"]:
            return None
        settings = {**settings, "counts_pads": any(extra)}
    pads = tuple(a + b for a, b in zip(settings["pads"], extra, strict=True))
    return replace(value, inputs=(source,), settings={**settings, "pads": pads})


def _without_zeros(pad: Value) -> tuple[Value, list[int]] | None:
    """What `pad` lays zeros around, and how many before and after along each axis of it."""
    table = pad.numbers["table"].array
    if len(pad.inputs) != 1 or not table.size or table.any():
        return None
    source, index = pad.inputs[0], pad.settings["index"]
    if index.ndim != len(source.shape):
        return None
    inside = np.argwhere(index >= 0)
    before = inside.min(axis=0)
    after = np.array(index.shape) - inside.max(axis=0) - 1
    cut = index[tuple(slice(b, s - a) for b, a, s in zip(before, after, index.shape, strict=True))]
    plain = np.arange(math.prod(source.shape)).reshape(source.shape)
    if before[:2].any() or after[:2].any() or not np.array_equal(cut, plain):
        return None
    return source, [int(one) for both in zip(before[2:], after[2:], strict=True) for one in both]


MOVED: tuple[Callable[[Value], Value | None], ...] = (
    _singly,
    _transposed,
    _afterwards,
    _flattened,
    _padded,
)
