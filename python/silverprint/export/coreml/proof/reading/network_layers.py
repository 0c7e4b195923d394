"""Readers of the NeuralNetwork layers that compute something. Names: NeuralNetwork.proto."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.layers import elementwise, integers, unary
from silverprint.export.coreml.proof.expressions.values import (
    Constant,
    Unreadable,
    Value,
    constant,
    known,
    moved,
)
from silverprint.export.coreml.proof.reading.layer import Layer, Reader, single, spread, stored

_UNSET_EPSILON = 1e-6


_UNARY = ("sqrt", "rsqrt", "inverse", "pow", "exp", "log", "abs", "maximum")
"""By the number of UnaryFunctionLayerParams.Operation."""


_BINARY = {
    "addBroadcastable": "add",
    "subtractBroadcastable": "sub",
    "multiplyBroadcastable": "mul",
    "divideBroadcastable": "div",
    "floorDivBroadcastable": "floor_div",
    "modBroadcastable": "mod",
    "powBroadcastable": "pow",
    "maxBroadcastable": "maximum",
    "minBroadcastable": "minimum",
    "equal": "equal",
    "notEqual": "not_equal",
    "lessThan": "less",
    "lessEqual": "less_equal",
    "greaterThan": "greater",
    "greaterEqual": "greater_equal",
    "logicalAnd": "and",
    "logicalOr": "or",
    "logicalXor": "xor",
}


_SIMPLE = {
    **{name: name for name in ("erf", "tanh", "ceil", "floor", "round", "sign", "sin", "cos")},
    **{name: name for name in ("tan", "asin", "acos", "atan", "sinh", "cosh", "atanh")},
    "logicalNot": "not",
}


_REDUCE = {
    "reduceMean": "reduce_mean",
    "reduceSum": "reduce_sum",
    "reduceMax": "reduce_max",
    "reduceMin": "reduce_min",
    "reduceProd": "reduce_prod",
    "reduceL1": "reduce_l1",
    "reduceL2": "reduce_l2",
    "reduceSumSquare": "reduce_sum_square",
    "reduceLogSum": "reduce_log_sum",
    "reduceLogSumExp": "reduce_log_sum_exp",
}


def _many(kind: str) -> Reader:
    """Several inputs, or one with the number ``alpha``."""

    def read(layer: Layer) -> Value:
        if len(layer.inputs) == 1:
            other = single(layer.params.alpha, "alpha")
            return elementwise(kind, [layer.x, other], layer.name, layer.place)
        result = layer.x
        for value in layer.inputs[1:]:
            result = elementwise(kind, [result, value], layer.name, layer.place)
        return result

    return read


def _binary(kind: str) -> Reader:
    def read(layer: Layer) -> Value:
        operands: list[Value | Constant] = list(layer.inputs)
        if len(operands) == 1:
            operands.append(single(layer.params.alpha, "alpha"))
        return elementwise(kind, operands, layer.name, layer.place)

    return read


def _simple(kind: str) -> Reader:
    return lambda layer: unary(kind, layer.x, layer.name, layer.place)


def _activation(layer: Layer) -> Value:
    kind = layer.params.WhichOneof("NonlinearityType")
    p, x, name, place = getattr(layer.params, kind), layer.x, layer.name, layer.place
    plain = {
        "ReLU": "relu",
        "sigmoid": "sigmoid",
        "tanh": "tanh",
        "softplus": "softplus",
        "softsign": "softsign",
    }
    if kind in plain:
        return unary(plain[kind], x, name, place)
    if kind == "linear" and (array := known(x)) is not None:
        changed = np.float32(p.alpha) * array + np.float32(p.beta)
        return constant(changed, x.numbers["value"].name)
    if kind == "linear":
        scaled = elementwise("mul", [x, single(p.alpha, "alpha")], name, place)
        if not p.beta:
            return scaled
        return elementwise("add", [scaled, single(p.beta, "beta")], name, place)
    if kind == "sigmoidHard":
        numbers = {"alpha": single(p.alpha, "alpha"), "beta": single(p.beta, "beta")}
        return unary("hard_sigmoid", x, name, place, numbers)
    if kind in ("leakyReLU", "ELU"):
        name_of = {"leakyReLU": "leaky_relu", "ELU": "elu"}[kind]
        return unary(name_of, x, name, place, {"alpha": single(p.alpha, "alpha")})
    if kind == "PReLU":
        count = len(p.alpha.floatValue) or len(p.alpha.float16Value) // 2
        slope = spread(p.alpha, (count,), "alpha")
        return elementwise("prelu", [x, slope], name, place)
    raise Unreadable(f"activation {kind}")


def _unary(layer: Layer) -> Value:
    p, name, place = layer.params, layer.name, layer.place
    kind, x = _UNARY[int(p.type)], layer.x
    if (p.scale or 1.0) != 1.0:
        x = elementwise("mul", [x, single(p.scale, "scale")], name, place)
    if p.shift:
        x = elementwise("add", [x, single(p.shift, "shift")], name, place)
    if kind in ("pow", "maximum"):
        return elementwise(kind, [x, single(p.alpha, "alpha")], name, place)
    if kind in ("rsqrt", "inverse"):
        epsilon = single(p.epsilon or _UNSET_EPSILON, "epsilon")
        return unary(kind, x, name, place, {"epsilon": epsilon})
    return unary(kind, x, name, place)


def _gelu(layer: Layer) -> Value:
    mode = ("exact", "tanh", "sigmoid")[int(layer.params.mode)]
    return unary("gelu", layer.x, layer.name, layer.place, settings={"mode": mode})


def _clip(layer: Layer) -> Value:
    bounds = {"low": single(layer.params.minVal, "min"), "high": single(layer.params.maxVal, "max")}
    return unary("clip", layer.x, layer.name, layer.place, bounds)


def _inner_product(layer: Layer) -> Value:
    p, x, name, place = layer.params, layer.x, layer.name, layer.place
    folded = len(x.shape) >= 4
    if folded:
        shape = x.shape
        x = moved(x, lambda index: index.reshape(*shape[:-3], -1), name, place)
    weight = stored(p.weights, (p.outputChannels, p.inputChannels), f"weights of {name}")
    bias = stored(p.bias, (p.outputChannels,), "bias") if p.hasBias else None
    result = layers.linear(x, weight, bias, name, place)
    return moved(result, lambda i: i[..., None, None], name, place) if folded else result


def _batched_matmul(layer: Layer) -> Value:
    p, name, place = layer.params, layer.name, layer.place
    if len(layer.inputs) == 1:
        rows, columns = p.weightMatrixFirstDimension, p.weightMatrixSecondDimension
        # Column major: what is stored is the transposed matrix.
        weight = stored(p.weights, (columns, rows), f"weights of {name}")
        bias = stored(p.bias, (columns,), "bias") if p.hasBias else None
        return layers.linear(layer.x, weight, bias, name, place)
    operands = []
    for value, turned in zip(layer.inputs, (p.transposeA, p.transposeB), strict=True):
        if turned:
            value = moved(value, lambda index: np.swapaxes(index, -1, -2), value.name, place)
        operands.append(value)
    return layers.matmul(operands[0], operands[1], name, place)


def _batchnorm(layer: Layer) -> Value:
    p, x = layer.params, layer.x
    shape = (int(p.channels),)
    numbers = {"gamma": stored(p.gamma, shape, "gamma"), "beta": stored(p.beta, shape, "beta")}
    numbers["epsilon"] = single(p.epsilon or 1e-5, "epsilon")
    if p.computeMeanVar:
        if not p.instanceNormalization:
            raise Unreadable("a batch norm in training")
        return layers.channel_norm("instance_norm", x, layer.name, layer.place, **numbers)
    numbers |= {"mean": stored(p.mean, shape, "mean")}
    numbers |= {"variance": stored(p.variance, shape, "variance")}
    return layers.channel_norm("batch_norm", x, layer.name, layer.place, **numbers)


def _mvn(layer: Layer) -> Value:
    p = layer.params
    if not p.normalizeVariance:
        raise Unreadable("a norm without variance")
    axes = (-3, -2, -1) if p.acrossChannels else (-2, -1)
    epsilon = single(p.epsilon or _UNSET_EPSILON, "epsilon")
    return layers.layer_norm(layer.x, axes, layer.name, layer.place, epsilon=epsilon)


def _layer_normalization(layer: Layer) -> Value:
    p = layer.params
    shape = tuple(int(side) for side in p.normalizedShape)
    rank = len(layer.x.shape)
    return layers.layer_norm(
        layer.x,
        range(rank - len(shape), rank),
        layer.name,
        layer.place,
        gamma=stored(p.gamma, shape, "gamma"),
        beta=stored(p.beta, shape, "beta"),
        epsilon=single(p.eps, "epsilon"),
    )


def _scale(layer: Layer) -> Value:
    p, name, place = layer.params, layer.name, layer.place
    factor = spread(p.scale, p.shapeScale, "scale")
    result = elementwise("mul", [layer.x, factor], name, place)
    if p.hasBias:
        term = spread(p.bias, p.shapeBias, "bias")
        result = elementwise("add", [result, term], name, place)
    return result


def _bias(layer: Layer) -> Value:
    term = spread(layer.params.bias, layer.params.shape, "bias")
    return elementwise("add", [layer.x, term], layer.name, layer.place)


def _reduce(kind: str) -> Reader:
    def read(layer: Layer) -> Value:
        p = layer.params
        axes = None if p.reduceAll or not p.axes else list(p.axes)
        return layers.reduce(kind, layer.x, axes, p.keepDims, layer.name, layer.place)

    return read


def _argument(kind: str) -> Reader:
    def read(layer: Layer) -> Value:
        p = layer.params
        return layers.reduce(kind, layer.x, [p.axis], not p.removeDim, layer.name, layer.place)

    return read


def _largest(layer: Layer) -> list[Value]:
    p = layer.params
    count = p.K if len(layer.inputs) == 1 else integers(layer.inputs[1])[0]
    return layers.largest(layer.x, count, p.axis, layer.outputs, layer.place, smallest=p.useBottomK)


def _load(layer: Layer) -> Value:
    p = layer.params
    shape = tuple(int(side) for side in p.shape)
    return constant(stored(p.data, shape, layer.name).array, layer.name)


LAYERS: dict[str, Callable[[Layer], Value | list[Value]]] = {
    **{name: _binary(kind) for name, kind in _BINARY.items()},
    **{name: _simple(kind) for name, kind in _SIMPLE.items()},
    **{name: _reduce(kind) for name, kind in _REDUCE.items()},
    "add": _many("add"),
    "multiply": _many("mul"),
    "max": _many("maximum"),
    "min": _many("minimum"),
    "activation": _activation,
    "unary": _unary,
    "gelu": _gelu,
    "clip": _clip,
    "innerProduct": _inner_product,
    "batchedMatmul": _batched_matmul,
    "batchnorm": _batchnorm,
    "mvn": _mvn,
    "layerNormalization": _layer_normalization,
    "scale": _scale,
    "bias": _bias,
    "softmax": lambda layer: layers.softmax(layer.x, -3, layer.name, layer.place),
    "softmaxND": lambda layer: layers.softmax(layer.x, layer.params.axis, layer.name, layer.place),
    "argMax": _argument("argmax"),
    "argMin": _argument("argmin"),
    "topK": _largest,
    "whereBroadcastable": lambda layer: elementwise(
        "select", list(layer.inputs), layer.name, layer.place
    ),
    "loadConstantND": _load,
}
