"""Readers of the ML Program's operators that compute something. Defaults are those of MIL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import (
    elementwise,
    scalar,
    unary,
)
from silverprint.export.coreml.proof.expressions.sums import einsum
from silverprint.export.coreml.proof.expressions.values import Constant, Unreadable, Value, moved
from silverprint.export.coreml.proof.reading.operation import Operation, Reader

_BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "real_div": "div",
    "floor_div": "floor_div",
    "mod": "mod",
    "pow": "pow",
    "maximum": "maximum",
    "minimum": "minimum",
    "equal": "equal",
    "not_equal": "not_equal",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "less": "less",
    "less_equal": "less_equal",
    "logical_and": "and",
    "logical_or": "or",
    "logical_xor": "xor",
}


_UNARY = {
    **{
        name: name
        for name in (
            *("relu", "sigmoid", "tanh", "erf", "silu", "softplus", "softsign", "exp", "sqrt"),
            *("abs", "floor", "ceil", "round", "sign", "sin", "cos", "tan", "asin", "acos"),
            *("atan", "sinh", "cosh", "atanh"),
        )
    },
    "logical_not": "not",
}


_REDUCE = {
    "reduce_mean": "reduce_mean",
    "reduce_sum": "reduce_sum",
    "reduce_max": "reduce_max",
    "reduce_min": "reduce_min",
    "reduce_prod": "reduce_prod",
    "reduce_l1_norm": "reduce_l1",
    "reduce_l2_norm": "reduce_l2",
    "reduce_sum_square": "reduce_sum_square",
    "reduce_log_sum": "reduce_log_sum",
    "reduce_log_sum_exp": "reduce_log_sum_exp",
}


def _binary(kind: str) -> Reader:
    return lambda op: elementwise(kind, [op.value("x"), op.value("y")], op.name, op.place)


def _unary(kind: str) -> Reader:
    return lambda op: unary(kind, op.x, op.name, op.place)


def _reduce(kind: str) -> Reader:
    def read(op: Operation) -> Value:
        axes = op.integers("axes", []) or None
        return layers.reduce(kind, op.x, axes, op.flag("keep_dims"), op.name, op.place)

    return read


def _argument(kind: str) -> Reader:
    def read(op: Operation) -> Value:
        axis = op.integers("axis", [-1])
        return layers.reduce(kind, op.x, axis, op.flag("keep_dims"), op.name, op.place)

    return read


def _largest(op: Operation) -> list[Value]:
    (count,), (axis,) = op.integers("k", [1]), op.integers("axis", [-1])
    smallest = op.flag("ascending")
    if not op.flag("sort", True):
        raise Unreadable("the largest numbers in any order")
    return layers.largest(op.x, count, axis, op.outputs, op.place, smallest=smallest)


def _parameters(kind: str, *parameters: str) -> Reader:
    """An activation with float parameters; MIL has no defaults that silverprint relies on."""
    return lambda op: unary(
        kind, op.x, op.name, op.place, {key: op.weight(key) for key in parameters}
    )


def _guarded(kind: str, default: float) -> Reader:
    """An operator that adds an epsilon of its own to what it reads."""

    def read(op: Operation) -> Value:
        epsilon = op.number("epsilon") or scalar(default)
        return unary(kind, op.x, op.name, op.place, {"epsilon": epsilon})

    return read


def _linear(op: Operation) -> Value:
    return layers.linear(op.x, op.weight("weight"), op.number("bias"), op.name, op.place)


def _matmul(op: Operation) -> Value:
    operands = []
    for parameter, flag in (("x", "transpose_x"), ("y", "transpose_y")):
        value = op.value(parameter)
        if op.flag(flag):
            value = moved(value, lambda index: np.swapaxes(index, -1, -2), value.name, op.place)
        operands.append(value)
    return layers.matmul(operands[0], operands[1], op.name, op.place)


def _einsum(op: Operation) -> Value:
    return einsum(op.text("equation", ""), op.arguments["values"], op.name, op.place)


def _attention(op: Operation) -> Value:
    """softmax(q k^T / sqrt(d) + mask) v, as the operator is defined."""
    q, k, v = (op.value(parameter) for parameter in ("query", "key", "value"))
    name, place = op.name, op.place
    turned = moved(k, lambda index: np.swapaxes(index, -1, -2), k.name, place)
    scores = layers.matmul(q, turned, name, place)
    factor = scalar(1 / np.sqrt(np.float32(q.shape[-1])))
    scores = elementwise("mul", [scores, factor], name, place)
    if op.given("attn_mask") is not None:
        scores = elementwise("add", [scores, op.value("attn_mask")], name, place)
    return layers.matmul(layers.softmax(scores, -1, name, place), v, name, place)


def _clip(op: Operation) -> Value:
    bounds = {"low": op.weight("alpha"), "high": op.weight("beta")}
    return unary("clip", op.x, op.name, op.place, bounds)


def _relu6(op: Operation) -> Value:
    return unary("clip", op.x, op.name, op.place, {"low": scalar(0), "high": scalar(6)})


def _gelu(op: Operation) -> Value:
    modes = {"EXACT": "exact", "TANH_APPROXIMATION": "tanh", "SIGMOID_APPROXIMATION": "sigmoid"}
    mode = modes[op.text("mode", "EXACT")]
    return unary("gelu", op.x, op.name, op.place, settings={"mode": mode})


def _prelu(op: Operation) -> Value:
    alpha = op.weight("alpha")
    shaped = alpha.array.reshape(-1, *[1] * (len(op.x.shape) - 2))
    return elementwise("prelu", [op.x, Constant(shaped, alpha.name)], op.name, op.place)


def _linear_activation(op: Operation) -> Value:
    scaled = elementwise("mul", [op.x, op.weight("alpha")], op.name, op.place)
    return elementwise("add", [scaled, op.weight("beta")], op.name, op.place)


def _square(op: Operation) -> Value:
    return elementwise("pow", [op.x, scalar(2)], op.name, op.place)


def _softmax(op: Operation) -> Value:
    return layers.softmax(op.x, op.integers("axis", [-1])[0], op.name, op.place)


def _batch_norm(op: Operation) -> Value:
    return layers.channel_norm(
        "batch_norm",
        op.x,
        op.name,
        op.place,
        mean=op.weight("mean"),
        variance=op.weight("variance"),
        gamma=op.number("gamma"),
        beta=op.number("beta"),
        epsilon=op.number("epsilon") or scalar(1e-5),
    )


def _layer_norm(op: Operation) -> Value:
    axes = op.integers("axes", list(range(len(op.x.shape))))
    return layers.layer_norm(op.x, axes, op.name, op.place, **_affine(op))


def _instance_norm(op: Operation) -> Value:
    return layers.channel_norm("instance_norm", op.x, op.name, op.place, **_affine(op))


def _affine(op: Operation) -> dict[str, Constant | None]:
    return {
        "gamma": op.number("gamma"),
        "beta": op.number("beta"),
        "epsilon": op.number("epsilon") or scalar(1e-5),
    }


def _select(op: Operation) -> Value:
    operands = [op.value(parameter) for parameter in ("cond", "a", "b")]
    return elementwise("select", operands, op.name, op.place)


LAYERS: dict[str, Callable[[Operation], Value | list[Value]]] = {
    **{name: _binary(kind) for name, kind in _BINARY.items()},
    **{name: _unary(kind) for name, kind in _UNARY.items()},
    **{name: _reduce(kind) for name, kind in _REDUCE.items()},
    "reduce_argmax": _argument("argmax"),
    "reduce_argmin": _argument("argmin"),
    "topk": _largest,
    "log": _guarded("log", 1e-45),
    "inverse": _guarded("inverse", 1e-4),
    "rsqrt": _guarded("rsqrt", 1e-12),
    "square": _square,
    "linear": _linear,
    "matmul": _matmul,
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
    "clip": _clip,
    "relu6": _relu6,
    "gelu": _gelu,
    "prelu": _prelu,
    "leaky_relu": _parameters("leaky_relu", "alpha"),
    "elu": _parameters("elu", "alpha"),
    "sigmoid_hard": _parameters("hard_sigmoid", "alpha", "beta"),
    "linear_activation": _linear_activation,
    "softmax": _softmax,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "instance_norm": _instance_norm,
    "select": _select,
}
