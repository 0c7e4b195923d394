"""Identities between expressions: what translators and their passes may put for one another.

Each rule is written down from the definition of its operators. It looks at the last operator of an
expression and gives another expression that computes the same, or None where it does not apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import elementwise, scalar, unary
from silverprint.export.coreml.proof.expressions.rules_activation import single
from silverprint.export.coreml.proof.expressions.rules_fused import FUSED
from silverprint.export.coreml.proof.expressions.rules_moves import MOVED
from silverprint.export.coreml.proof.expressions.values import Constant, Value, moved

Rule = Callable[[Value], Value | None]


def _number(value: Value, key: str = "y") -> Constant | None:
    return value.numbers.get(key)


def _quotient(value: Value) -> Value | None:
    """x / c = x * (1 / c)."""
    divisor = _number(value) if value.kind == "div" else None
    if divisor is None:
        return None
    inverse = np.float32(1) / divisor.array.astype(np.float32)
    operands: list[Value | Constant] = [value.inputs[0], Constant(inverse, divisor.name)]
    return elementwise("mul", operands, value.name, value.place)


def _reciprocal(value: Value) -> Value | None:
    """1 / x = inverse(x)."""
    divided = _number(value, "x") if value.kind == "div" else None
    if divided is None or value.shape != value.inputs[0].shape or not (divided.array == 1).all():
        return None
    return unary("inverse", value.inputs[0], value.name, value.place)


def _difference(value: Value) -> Value | None:
    """x - c = x + (-c), c - x = (-x) + c, x - y = x + (-y)."""
    if value.kind != "sub":
        return None
    name, place = value.name, value.place
    if (y := _number(value)) is not None:
        return elementwise("add", [value.inputs[0], Constant(-y.array, y.name)], name, place)
    negative = elementwise("mul", [value.inputs[-1], scalar(-1)], name, place)
    first: Value | Constant = value.numbers.get("x") or value.inputs[0]
    return elementwise("add", [first, negative], name, place)


def _neutral(value: Value) -> Value | None:
    """x + 0 = x, x * 1 = x, x ** 1 = x; a broadcast by it is a move."""
    y = _number(value)
    if y is None or value.kind not in ("add", "sub", "mul", "div", "pow"):
        return None
    if not (y.array == (0 if value.kind in ("add", "sub") else 1)).all():
        return None
    shape = value.shape
    return moved(value.inputs[0], lambda i: np.broadcast_to(i, shape), value.name, value.place)


def _power(value: Value) -> Value | None:
    """x ** 2 = x * x, x ** 0.5 = sqrt(x)."""
    y = _number(value) if value.kind == "pow" else None
    if y is None or y.array.size != 1 or value.shape != value.inputs[0].shape:
        return None
    exponent, x = float(y.array.reshape(())), value.inputs[0]
    if exponent == 2:
        return elementwise("mul", [x, x], value.name, value.place)
    return unary("sqrt", x, value.name, value.place) if exponent == 0.5 else None


def _hard_swish(value: Value) -> Value | None:
    """x * hard_sigmoid(x) with a sixth and a half."""
    if value.kind != "hard_swish":
        return None
    x = value.inputs[0]
    numbers = {"alpha": scalar(1 / 6), "beta": scalar(0.5)}
    gate = unary("hard_sigmoid", x, value.name, value.place, numbers)
    return elementwise("mul", [x, gate], value.name, value.place)


def _hard_sigmoid(value: Value) -> Value | None:
    """clip(alpha * x + beta, 0, 1), here and as a factor."""
    if value.kind == "mul":
        for number, factor in enumerate(value.inputs):
            inner = _hard_sigmoid(factor) if factor.kind == "hard_sigmoid" else None
            if inner is not None and len(value.inputs) == 2:
                other = value.inputs[1 - number]
                return elementwise("mul", [other, inner], value.name, value.place)
        return None
    if value.kind != "hard_sigmoid":
        return None
    name, place = value.name, value.place
    scaled = elementwise("mul", [value.inputs[0], value.numbers["alpha"]], name, place)
    shifted = elementwise("add", [scaled, value.numbers["beta"]], name, place)
    return unary("clip", shifted, name, place, {"low": scalar(0), "high": scalar(1)})


def _clip(value: Value) -> Value | None:
    """-max(-relu(x), -c) = clip(x, 0, c), as a NeuralNetwork writes relu6."""
    if value.kind != "mul" or not _is(value, -1) or value.inputs[0].kind != "maximum":
        return None
    limited = value.inputs[0]
    limit = _number(limited)
    if (
        limit is None
        or limit.array.size != 1
        or limited.inputs[0].kind != "mul"
        or not _is(limited.inputs[0], -1)
    ):
        return None
    relu = limited.inputs[0].inputs[0]
    if relu.kind != "relu":
        return None
    bounds = {"low": scalar(0), "high": Constant(-limit.array.reshape(()), limit.name)}
    return unary("clip", relu.inputs[0], value.name, value.place, bounds)


def _is(value: Value, number: float) -> bool:
    y = _number(value)
    return y is not None and y.array.size == 1 and bool((y.array == number).all())


def _bounds(value: Value) -> Value | None:
    """max(x, a) = clip from below, min(x, b) = clip from above; max(x, 0) = relu(x)."""
    y = _number(value) if value.kind in ("maximum", "minimum") else None
    if y is None or y.array.size != 1 or value.shape != value.inputs[0].shape:
        return None
    x, name, place = value.inputs[0], value.name, value.place
    if value.kind == "maximum":
        if y.array == 0:
            return unary("relu", x, name, place)
        return unary("clip", x, name, place, {"low": Constant(y.array.reshape(()), y.name)})
    return unary("clip", x, name, place, {"high": Constant(y.array.reshape(()), y.name)})


def _relu(value: Value) -> Value | None:
    """clip(x, 0, no bound) = relu(x); relu(relu(x)) = relu(x)."""
    if value.kind == "relu" and value.inputs[0].kind == "relu":
        return value.inputs[0]
    if value.kind != "clip" or "low" not in value.numbers:
        return None
    high = value.numbers.get("high")
    limit = np.inf if high is None else single(high)
    unbounded = limit is not None and limit >= float(np.finfo(np.float32).max)
    if unbounded and single(value.numbers["low"]) == 0:
        return unary("relu", value.inputs[0], value.name, value.place)
    return None


def _prelu(value: Value) -> Value | None:
    """relu(x) + slope * min(x, 0)."""
    slope = _number(value) if value.kind == "prelu" else None
    slope = slope or (value.numbers.get("alpha") if value.kind == "leaky_relu" else None)
    if slope is None:
        return None
    x, name, place = value.inputs[0], value.name, value.place
    negative = elementwise("minimum", [x, scalar(0)], name, place)
    scaled = elementwise("mul", [negative, slope], name, place)
    return elementwise("add", [unary("relu", x, name, place), scaled], name, place)


def _pooled(value: Value) -> Value | None:
    """An average over the whole of an axis is its mean."""
    names = {"average_pool": "reduce_mean", "max_pool": "reduce_max"}
    if value.kind not in names or any(value.settings["pads"]):
        return None
    x = value.inputs[0]
    if value.settings["kernel"] != x.shape[2:] or math.prod(value.shape[2:]) != 1:
        return None
    return layers.reduce(
        names[value.kind], x, range(2, len(x.shape)), True, value.name, value.place
    )


RULES: tuple[Rule, ...] = (
    *FUSED,
    _quotient,
    _reciprocal,
    _difference,
    _neutral,
    _power,
    _hard_swish,
    _hard_sigmoid,
    _clip,
    _bounds,
    _relu,
    _prelu,
    _pooled,
    *MOVED,
)
