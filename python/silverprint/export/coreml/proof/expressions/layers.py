"""Makes the values of the operators that compute something, with their shapes.

One function per kind, used for the saved file and for the reference alike: equal meaning gives
equal kinds and settings, whatever the operator is called in its format.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from silverprint.export.coreml.proof.expressions.values import (
    Array,
    Constant,
    Shape,
    Unreadable,
    Value,
    constant,
    known,
    moved,
)

_OF_ONE = {"reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod"}
"""What leaves a single number as it is: axes of one place do not count."""


COMMUTATIVE = {"add", "mul", "maximum", "minimum"}


Operand = Value | Constant


def as_constant(operand: Operand) -> Constant | None:
    """`operand` where it is known, else None."""
    if isinstance(operand, Constant):
        return operand
    return operand.numbers["value"] if operand.kind == "constant" else None


def elementwise(kind: str, operands: Sequence[Operand], name: str, place: int = -1) -> Value:
    """An operator on numbers at the same position, with broadcasting.

    A constant operand becomes a number: ``x`` before, ``y`` after, or ``y`` in any case where the
    order does not matter.
    """
    constants = [as_constant(operand) for operand in operands]
    shape = np.broadcast_shapes(*(_shape(operand) for operand in operands))
    inputs = tuple(one for one, c in zip(operands, constants, strict=True) if c is None)
    if len(operands) - len(inputs) > 1 or not inputs:
        raise Unreadable(f"{kind} of constants alone")
    numbers = {}
    for place_of, one in enumerate(constants):
        if one is not None:
            key = "y" if kind in COMMUTATIVE else ("x", "y", "z")[place_of]
            numbers[key] = one
    return Value(kind, shape, inputs, {}, numbers, name, place)  # type: ignore[arg-type]


def _shape(operand: Operand) -> Shape:
    return tuple(operand.array.shape) if isinstance(operand, Constant) else operand.shape


def unary(
    kind: str,
    x: Value,
    name: str,
    place: int = -1,
    numbers: Mapping[str, Constant] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Value:
    """An operator on every number by itself, or one that keeps the shape."""
    return Value(kind, x.shape, (x,), settings or {}, numbers or {}, name, place)


def scalar(number: float, name: str = "") -> Constant:
    """A parameter as ONNX gives it, in float32."""
    return Constant(np.asarray(number, np.float32), name)


def linear(x: Value, weight: Constant, bias: Constant | None, name: str, place: int = -1) -> Value:
    """`weight` is [outputs, inputs]."""
    shape = (*x.shape[:-1], weight.array.shape[0])
    if weight.array.shape[1] != x.shape[-1]:
        raise Unreadable(f"weights for {weight.array.shape[1]} inputs")
    numbers = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return Value("linear", shape, (x,), {}, numbers, name, place)


def transpose_constant(given: Constant) -> Constant:
    """A matrix the other way round."""
    steps = None if given.steps is None else np.ascontiguousarray(given.steps.T)
    array = np.ascontiguousarray(given.array.T)
    return Constant(array, given.name, steps, given.scale, 1 - given.axis)


def matmul(x: Operand, y: Operand, name: str, place: int = -1) -> Value:
    """A product of matrices; with a constant matrix on the right it is a ``linear``.

    A vector is a matrix of one row on the left, of one column on the right.
    """
    if len(_shape(x)) == 1:
        product = matmul(_matrix(x, (1, -1)), y, name, place)
        return moved(product, lambda index: index[..., 0, :], name, place)
    if len(_shape(y)) == 1:
        product = matmul(x, _matrix(y, (-1, 1)), name, place)
        return moved(product, lambda index: index[..., 0], name, place)
    left, right = as_constant(x), as_constant(y)
    if right is not None and right.array.ndim == 2 and isinstance(x, Value) and len(x.shape) > 1:
        return linear(x, transpose_constant(right), None, name, place)
    operands = [
        constant(one.array, one.name) if isinstance(one, Constant) else one for one in (x, y)
    ]
    if left is not None and right is not None:
        raise Unreadable("a product of constants")
    first, second = (operand.shape for operand in operands)
    batch = np.broadcast_shapes(first[:-2], second[:-2])
    shape = (*batch, first[-2], second[-1])
    return Value("matmul", shape, tuple(operands), {}, {}, name, place)


def _matrix(vector: Operand, shape: Shape) -> Operand:
    given = as_constant(vector)
    if given is not None:
        return Constant(given.array.reshape(shape), given.name)
    assert isinstance(vector, Value)
    return moved(vector, lambda index: index.reshape(shape), vector.name, vector.place)


def reduce(
    kind: str, x: Value, axes: Iterable[int] | None, keep: bool, name: str, place: int = -1
) -> Value:
    """A ``reduce_...`` that keeps its axes, and a move where they are to go."""
    rank = len(x.shape)
    chosen = tuple(range(rank)) if axes is None else tuple(sorted(int(a) % rank for a in axes))
    left = [size for axis, size in enumerate(x.shape) if axis not in chosen]
    if kind in _OF_ONE:
        chosen = tuple(axis for axis in chosen if x.shape[axis] > 1)
    shape = tuple(1 if axis in chosen else size for axis, size in enumerate(x.shape))
    value = Value(kind, shape, (x,), {"axes": chosen}, {}, name, place) if chosen else x
    if keep:
        return value
    return moved(value, lambda index: index.reshape(left), name, place)


def layer_norm(
    x: Value, axes: Iterable[int], name: str, place: int = -1, **numbers: Constant | None
) -> Value:
    """Normalised over `axes`, of which those of one place do not count."""
    rank = len(x.shape)
    chosen = tuple(sorted({int(axis) % rank for axis in axes}))
    chosen = tuple(axis for axis in chosen if x.shape[axis] > 1)
    inside = [x.shape[axis] for axis in chosen]
    given = {
        key: one if key == "epsilon" else Constant(one.array.reshape(inside), one.name)
        for key, one in numbers.items()
        if one is not None
    }
    return Value("layer_norm", x.shape, (x,), {"axes": chosen}, given, name, place)


def channel_norm(
    kind: str, x: Value, name: str, place: int = -1, **numbers: Constant | None
) -> Value:
    """A ``batch_norm`` with stored statistics, or an ``instance_norm`` with those of the picture.

    Both are by channel, axis 1, and the same whatever the shape of the axes after it.
    """
    given = {key: one for key, one in numbers.items() if one is not None}
    return Value(kind, x.shape, (x,), {}, given, name, place)


def softmax(x: Value, axis: int, name: str, place: int = -1) -> Value:
    """Along one axis."""
    return unary("softmax", x, name, place, settings={"axis": int(axis) % len(x.shape)})


def local_response_norm(x: Value, size: int, name: str, place: int, **numbers: Constant) -> Value:
    """Divided by (k + alpha * mean of the squares of `size` channels) ** beta."""
    return unary("local_response_norm", x, name, place, numbers, {"size": int(size)})


def largest(
    x: Value, count: int, axis: int, names: Sequence[str], place: int, *, smallest: bool
) -> list[Value]:
    """The `count` largest (or smallest) numbers along one axis in their order, and their places."""
    axis = axis_of(x, axis)
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    settings = {"axis": axis, "smallest": smallest}
    kinds = ("largest", "places_of_largest")
    return [
        Value(kind, shape, (x,), settings, {}, name, place)
        for kind, name in zip(kinds, names, strict=False)
    ]


def reshape_to(shape: Sequence[int], wanted: Iterable[int], zero_copies: bool = True) -> list[int]:
    """The sizes of a reshape, -1 and 0 resolved."""
    sizes = [
        shape[place] if size == 0 and zero_copies else int(size)
        for place, size in enumerate(wanted)
    ]
    if -1 in sizes:
        rest = math.prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = math.prod(shape) // max(rest, 1)
    return sizes


def resample(
    x: Value, name: str, place: int, positions: Sequence[Array], *, nearest: bool
) -> Value:
    """Resizing of the last axes: output i of an axis lies at positions[axis][i] of the input.

    The nearest number is a mere move; between two numbers it is a ``resample``.
    """
    sizes = x.shape[len(x.shape) - len(positions) :]
    places = [np.clip(p, 0, size - 1) for p, size in zip(positions, sizes, strict=True)]
    if nearest:
        grid = np.ix_(*[p.astype(np.int64) for p in places])
        return moved(x, lambda index: index[(..., *grid)], name, place)
    shape = (*x.shape[: -len(places)], *[len(one) for one in places])
    return Value("resample", shape, (x,), {"positions": tuple(places)}, {}, name, place)


def axis_of(value: Value, axis: int) -> int:
    """`axis` counted from the front."""
    return int(axis) % len(value.shape)


def integers(operand: Operand) -> list[int]:
    """A constant vector of whole numbers."""
    array = operand.array if isinstance(operand, Constant) else known(operand)
    if array is None:
        raise Unreadable("a shape or axis that is computed from the picture")
    return [int(number) for number in np.asarray(array).reshape(-1)]
