"""Readers of the ONNX operators that compute something from several values or over axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import elementwise, scalar
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


def _chain(kind: str, node: Node) -> Value:
    result = node.value(0)
    for number in range(1, len(node.inputs)):
        result = elementwise(kind, [result, node.value(number)], node.name, node.place)
    return result


def _many(kind: str) -> Reader:
    return lambda node: _chain(kind, node)


def _mean(node: Node) -> Value:
    factor = scalar(1 / len(node.inputs))
    return elementwise("mul", [_chain("add", node), factor], node.name, node.place)


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


def _largest(node: Node) -> list[Value]:
    return layers.largest(
        node.value(0),
        int(node.weight(1).array.reshape(())),
        int(node.attributes.get("axis", -1)),
        node.outputs,
        node.place,
        smallest=not node.attributes.get("largest", 1),
    )


LAYERS: dict[str, Callable[[Node], Value | list[Value]]] = {
    **{name: _binary(kind) for name, kind in _BINARY.items()},
    **{name: _reduce(kind) for name, kind in _REDUCE.items()},
    "Sum": _many("add"),
    "Mean": _mean,
    "Max": _many("maximum"),
    "Min": _many("minimum"),
    "Neg": _neg,
    "Where": _where,
    "Einsum": _einsum,
    "MatMul": lambda node: layers.matmul(node.value(0), node.value(1), node.name, node.place),
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "GlobalAveragePool": _global("reduce_mean"),
    "GlobalMaxPool": _global("reduce_max"),
    "ArgMax": _argument("argmax"),
    "ArgMin": _argument("argmin"),
    "TopK": _largest,
}
