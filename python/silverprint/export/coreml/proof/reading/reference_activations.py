"""Readers of the ONNX operators that compute something of every number by itself; softmax."""

from __future__ import annotations

from collections.abc import Callable

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import elementwise, scalar, unary
from silverprint.export.coreml.proof.expressions.values import Constant, Value, moved
from silverprint.export.coreml.proof.reading.node import Node, Reader

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


def _unary(kind: str) -> Reader:
    return lambda node: unary(kind, node.value(0), node.name, node.place)


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


def _selu(node: Node) -> Value:
    """gamma * elu(x); the numbers are those of the definition."""
    name, place = node.name, node.place
    alpha = node.attributes.get("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get("gamma", 1.05070102214813232421875)
    inner = unary("elu", node.value(0), name, place, {"alpha": scalar(alpha, "alpha")})
    return elementwise("mul", [inner, scalar(gamma, "gamma")], name, place)


def _mish(node: Node) -> Value:
    """x * tanh(softplus(x))."""
    x, name, place = node.value(0), node.name, node.place
    gate = unary("tanh", unary("softplus", x, name, place), name, place)
    return elementwise("mul", [x, gate], name, place)


ACTIVATIONS: dict[str, Callable[[Node], Value | list[Value]]] = {
    **{name: _unary(kind) for name, kind in _UNARY.items()},
    "Clip": _clip,
    "PRelu": _prelu,
    "LeakyRelu": _parameters("leaky_relu", alpha=0.01),
    "Elu": _parameters("elu", alpha=1.0),
    "Selu": _selu,
    "Mish": _mish,
    "HardSigmoid": _parameters("hard_sigmoid", alpha=0.2, beta=0.5),
    "HardSwish": _unary("hard_swish"),
    "Gelu": _gelu,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
}
