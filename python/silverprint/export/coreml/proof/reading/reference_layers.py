"""Readers of the ONNX operators that compute something."""

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
from silverprint.export.coreml.proof.reading.node import Node, Reader

_BINARY = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "div",
    "Pow": "pow",
    "Mod": "mod",
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "And": "and",
    "Or": "or",
    "Xor": "xor",
}


_UNARY = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Erf": "erf",
    "Sqrt": "sqrt",
    "Exp": "exp",
    "Log": "log",
    "Abs": "abs",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Sign": "sign",
    "Reciprocal": "inverse",
    "Not": "not",
    **{name: name.lower() for name in ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh")},
    **{name: name.lower() for name in ("Cosh", "Atanh")},
}


_REDUCE = {
    "ReduceMean": "reduce_mean",
    "ReduceSum": "reduce_sum",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
    "ReduceL1": "reduce_l1",
    "ReduceL2": "reduce_l2",
    "ReduceSumSquare": "reduce_sum_square",
    "ReduceLogSum": "reduce_log_sum",
    "ReduceLogSumExp": "reduce_log_sum_exp",
}


def _binary(kind: str) -> Reader:
    return lambda node: elementwise(kind, [node.value(0), node.value(1)], node.name, node.place)


def _unary(kind: str) -> Reader:
    return lambda node: unary(kind, node.value(0), node.name, node.place)


def _many(kind: str) -> Reader:
    def read(node: Node) -> Value:
        result = node.value(0)
        for number in range(1, len(node.inputs)):
            result = elementwise(kind, [result, node.value(number)], node.name, node.place)
        return result

    return read


def _reduce(kind: str) -> Reader:
    def read(node: Node) -> Value:
        axes = node.integers(1, "axes")
        if not axes:
            if node.attributes.get("noop_with_empty_axes", 0):
                return node.value(0)
            axes = None
        keep = bool(node.attributes.get("keepdims", 1))
        return layers.reduce(kind, node.value(0), axes, keep, node.name, node.place)

    return read


def _global(kind: str) -> Reader:
    def read(node: Node) -> Value:
        x = node.value(0)
        return layers.reduce(kind, x, range(2, len(x.shape)), True, node.name, node.place)

    return read


def _gemm(node: Node) -> Value:
    """alpha * A * B + beta * C. A factor of the weights is left to `rules`, as is C."""
    x: Value = node.value(0)
    if node.attributes.get("transA", 0):
        x = moved(x, np.transpose, node.name, node.place)
    y, name, place = node.value(1), node.name, node.place
    if node.attributes.get("transB", 0):
        y = moved(y, np.transpose, y.name, place) if y.kind != "constant" else _turned(y)
    result = layers.matmul(x, y, name, place)
    alpha, beta = (float(node.attributes.get(key, 1.0)) for key in ("alpha", "beta"))
    if alpha != 1.0:
        result = elementwise("mul", [result, scalar(alpha, "alpha")], name, place)
    third = node.given(2)
    if third is None:
        return result
    if beta != 1.0:
        c = node.number(2)
        if c is None:
            raise Unreadable("Gemm with a computed bias")
        return elementwise(
            "add", [result, Constant(c.array * np.float32(beta), c.name)], name, place
        )
    return elementwise("add", [result, third], name, place)


def _turned(y: Value) -> Value:
    given = y.numbers["value"]
    numbers = {"value": Constant(np.ascontiguousarray(given.array.T), given.name)}
    return Value("constant", y.shape[::-1], (), {}, numbers, y.name)


def _einsum(node: Node) -> Value:
    operands = [node.value(number) for number in range(len(node.inputs))]
    return einsum(node.text("equation", ""), operands, node.name, node.place)


def _clip(node: Node) -> Value:
    bounds = {}
    for number, (attribute, key) in enumerate((("min", "low"), ("max", "high")), start=1):
        if attribute in node.attributes:
            bounds[key] = scalar(node.attributes[attribute], attribute)
        elif (found := node.number(number)) is not None:
            bounds[key] = Constant(found.array.reshape(()), found.name)
    return unary("clip", node.value(0), node.name, node.place, bounds)


def _prelu(node: Node) -> Value:
    return elementwise("prelu", [node.value(0), node.value(1)], node.name, node.place)


def _parameters(kind: str, **defaults: float) -> Reader:
    """An activation with float parameters, named as in ONNX."""

    def read(node: Node) -> Value:
        numbers = {
            key: scalar(node.attributes.get(key, default), key) for key, default in defaults.items()
        }
        return unary(kind, node.value(0), node.name, node.place, numbers)

    return read


def _gelu(node: Node) -> Value:
    mode = "tanh" if node.text("approximate", "none") == "tanh" else "exact"
    return unary("gelu", node.value(0), node.name, node.place, settings={"mode": mode})


def _softmax(node: Node) -> Value:
    x, name, place = node.value(0), node.name, node.place
    axis = int(node.attributes.get("axis", -1 if node.opset >= 13 else 1)) % len(x.shape)
    if node.opset >= 13 or axis == len(x.shape) - 1:
        return layers.softmax(x, axis, name, place)
    # Before opset 13 the axes from `axis` on are one.
    flat = moved(x, lambda index: index.reshape((*x.shape[:axis], -1)), name, place)
    return moved(layers.softmax(flat, axis, name, place), lambda i: i.reshape(x.shape), name, place)


def _log_softmax(node: Node) -> Value:
    return unary("log", _softmax(node), node.name, node.place)


def _epsilon(node: Node) -> Constant:
    return scalar(node.attributes.get("epsilon", 1e-5), "epsilon")


def _batch_norm(node: Node) -> Value:
    if node.attributes.get("training_mode", 0):
        raise Unreadable("BatchNormalization in training")
    numbers = {
        key: node.weight(n) for n, key in enumerate(("gamma", "beta", "mean", "variance"), 1)
    }
    return layers.channel_norm(
        "batch_norm", node.value(0), node.name, node.place, epsilon=_epsilon(node), **numbers
    )


def _instance_norm(node: Node) -> Value:
    x = node.value(0)
    return layers.channel_norm(
        "instance_norm",
        x,
        node.name,
        node.place,
        gamma=node.weight(1),
        beta=node.weight(2),
        epsilon=_epsilon(node),
    )


def _layer_norm(node: Node) -> Value:
    x = node.value(0)
    first = int(node.attributes.get("axis", -1)) % len(x.shape)
    return layers.layer_norm(
        x,
        range(first, len(x.shape)),
        node.name,
        node.place,
        gamma=node.number(1),
        beta=node.number(2),
        epsilon=_epsilon(node),
    )


def _group_norm(node: Node) -> Value:
    """Each group is normalised as a whole; scale and bias go by channel (opset 21) or group."""
    x, name, place = node.value(0), node.name, node.place
    groups = int(node.attributes["num_groups"])
    grouped = moved(x, lambda index: index.reshape(x.shape[0], groups, -1), name, place)
    plain = layers.layer_norm(grouped, [2], name, place, epsilon=_epsilon(node))
    result = moved(plain, lambda index: index.reshape(x.shape), name, place)
    for kind, number in (("mul", 1), ("add", 2)):
        given = node.weight(number)
        each = np.repeat(given.array, x.shape[1] // given.array.size)
        shaped = each.reshape(1, -1, *[1] * (len(x.shape) - 2))
        result = elementwise(kind, [result, Constant(shaped, given.name)], name, place)
    return result


def _neg(node: Node) -> Value:
    return elementwise("mul", [node.value(0), scalar(-1)], node.name, node.place)


def _where(node: Node) -> Value:
    operands = [node.value(number) for number in range(3)]
    return elementwise("select", operands, node.name, node.place)


def _argument(kind: str) -> Reader:
    def read(node: Node) -> Value:
        axis, keep = int(node.attributes.get("axis", 0)), bool(node.attributes.get("keepdims", 1))
        return layers.reduce(kind, node.value(0), [axis], keep, node.name, node.place)

    return read


LAYERS: dict[str, Callable[[Node], Value | list[Value]]] = {
    **{name: _binary(kind) for name, kind in _BINARY.items()},
    **{name: _unary(kind) for name, kind in _UNARY.items()},
    **{name: _reduce(kind) for name, kind in _REDUCE.items()},
    "Sum": _many("add"),
    "Max": _many("maximum"),
    "Min": _many("minimum"),
    "Neg": _neg,
    "Where": _where,
    "Einsum": _einsum,
    "MatMul": lambda node: layers.matmul(node.value(0), node.value(1), node.name, node.place),
    "Gemm": _gemm,
    "Clip": _clip,
    "PRelu": _prelu,
    "LeakyRelu": _parameters("leaky_relu", alpha=0.01),
    "Elu": _parameters("elu", alpha=1.0),
    "HardSigmoid": _parameters("hard_sigmoid", alpha=0.2, beta=0.5),
    "HardSwish": _unary("hard_swish"),
    "Gelu": _gelu,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "GlobalAveragePool": _global("reduce_mean"),
    "GlobalMaxPool": _global("reduce_max"),
    "ArgMax": _argument("argmax"),
    "ArgMin": _argument("argmin"),
}
