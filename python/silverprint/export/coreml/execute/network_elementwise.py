"""NeuralNetwork layers that work number by number. Names and formulas: NeuralNetwork.proto."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.execute.kernels import erf
from silverprint.export.coreml.execute.network_weights import weights

Array = npt.NDArray[Any]
Layer = Callable[[Any, Sequence[Array]], Array]
Binary = Callable[[Array, Array], Array]

_TANH_APPROXIMATION, _SIGMOID_APPROXIMATION = 1, 2  # GeluLayerParams.GeluMode

_SMALL = 1e-6
"""What epsilon is where it is not set."""


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def _softplus(x: Array) -> Array:
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


def _per_channel(params: Any, x: Array) -> Array:
    """One number, or one for each index of the axis -3."""
    count = len(params.floatValue) or len(params.float16Value) // 2
    one = count == 1 or x.ndim < 3
    return weights(params, (1,) if one else (x.shape[-3], 1, 1))


def _parametric_softplus(params: Any, x: Array) -> Array:
    return _per_channel(params.alpha, x) * _softplus(_per_channel(params.beta, x) * x)


_ACTIVATIONS: Mapping[str, Callable[[Any, Array], Array]] = {
    "linear": lambda p, x: p.alpha * x + p.beta,
    "ReLU": lambda p, x: np.maximum(x, 0),
    "leakyReLU": lambda p, x: np.where(x >= 0, x, p.alpha * x),
    "thresholdedReLU": lambda p, x: np.where(x >= p.alpha, x, np.float32(0)),
    "PReLU": lambda p, x: np.where(x >= 0, x, _per_channel(p.alpha, x) * x),
    "tanh": lambda p, x: np.tanh(x),
    "scaledTanh": lambda p, x: p.alpha * np.tanh(p.beta * x),
    "sigmoid": lambda p, x: _sigmoid(x),
    "sigmoidHard": lambda p, x: np.clip(p.alpha * x + p.beta, 0, 1),
    "ELU": lambda p, x: np.where(x >= 0, x, p.alpha * np.expm1(np.minimum(x, 0))),
    "softsign": lambda p, x: x / (1 + np.abs(x)),
    "softplus": lambda p, x: _softplus(x),
    "parametricSoftplus": _parametric_softplus,
}

_UNARY: Sequence[Callable[[Any, float, Array], Array]] = (
    lambda p, epsilon, x: np.sqrt(x),
    lambda p, epsilon, x: 1 / np.sqrt(x + epsilon),
    lambda p, epsilon, x: 1 / (x + epsilon),
    lambda p, epsilon, x: np.power(x, np.float32(p.alpha)),
    lambda p, epsilon, x: np.exp(x),
    lambda p, epsilon, x: np.log(x),
    lambda p, epsilon, x: np.abs(x),
    lambda p, epsilon, x: np.maximum(x, np.float32(p.alpha)),
)
"""By the number of UnaryFunctionLayerParams.Operation."""


def _activation(params: Any, inputs: Sequence[Array]) -> Array:
    kind = params.WhichOneof("NonlinearityType")
    if kind not in _ACTIVATIONS:
        raise ExportError("it names no activation")
    return _ACTIVATIONS[kind](getattr(params, kind), inputs[0])


def _unary(params: Any, inputs: Sequence[Array]) -> Array:
    x = (params.scale or 1.0) * inputs[0] + params.shift
    return _UNARY[int(params.type)](params, params.epsilon or _SMALL, x)


def _gelu(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    if params.mode == _TANH_APPROXIMATION:
        share: Array = (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    elif params.mode == _SIGMOID_APPROXIMATION:
        share = _sigmoid(1.702 * x)
    else:
        share = (1 + erf(x / np.float32(math.sqrt(2)))) / 2
    return x * share


def _clamped_relu(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    result: Array = np.minimum(np.where(x >= 0, x, params.alpha * x), np.float32(params.beta))
    return result


def _many(function: Binary, scalar: bool = False) -> Layer:
    """A layer of several inputs, the first of which must be as large as the result.

    Of inputs that differ only in leading ones, as coremltools writes them, the longest shape is
    that of the result. Where `scalar`, one input alone is joined with ``alpha``.
    """

    def layer(params: Any, inputs: Sequence[Array]) -> Array:
        if scalar and len(inputs) == 1:
            return function(inputs[0], np.float32(params.alpha))  # type: ignore[arg-type]
        result = reduce(function, inputs)
        if result.size != inputs[0].size:
            shapes = ", ".join(str(list(one.shape)) for one in inputs)
            raise ExportError(f"it cannot broadcast its first input ({shapes})")
        return result

    return layer


def _average(params: Any, inputs: Sequence[Array]) -> Array:
    return _many(np.add)(params, inputs) / np.float32(len(inputs))


def _each(function: Callable[[Array], Array]) -> Layer:
    return lambda params, inputs: function(inputs[0])


def _two(function: Binary) -> Layer:
    return lambda params, inputs: function(inputs[0], inputs[1])


def _compare(function: Binary) -> Layer:
    """Of two inputs, or of one with ``alpha``."""

    def layer(params: Any, inputs: Sequence[Array]) -> Array:
        other = inputs[1] if len(inputs) > 1 else np.asarray(params.alpha, np.float32)
        return function(inputs[0], other)

    return layer


LAYERS: Mapping[str, Layer] = {
    "activation": _activation,
    "unary": _unary,
    "gelu": _gelu,
    "erf": _each(erf),
    "clampedReLU": _clamped_relu,
    "clip": lambda p, inputs: np.clip(inputs[0], np.float32(p.minVal), np.float32(p.maxVal)),
    "copy": _each(np.copy),
    "add": _many(np.add, scalar=True),
    "multiply": _many(np.multiply, scalar=True),
    "average": _average,
    "max": _many(np.maximum),
    "min": _many(np.minimum),
    "addBroadcastable": _two(np.add),
    "subtractBroadcastable": _two(np.subtract),
    "multiplyBroadcastable": _two(np.multiply),
    "divideBroadcastable": _two(np.divide),
    "floorDivBroadcastable": _two(np.floor_divide),
    "modBroadcastable": _two(np.mod),
    "powBroadcastable": _two(np.power),
    "maxBroadcastable": _two(np.maximum),
    "minBroadcastable": _two(np.minimum),
    "equal": _compare(np.equal),
    "notEqual": _compare(np.not_equal),
    "lessThan": _compare(np.less),
    "lessEqual": _compare(np.less_equal),
    "greaterThan": _compare(np.greater),
    "greaterEqual": _compare(np.greater_equal),
    "logicalAnd": _two(np.logical_and),
    "logicalOr": _two(np.logical_or),
    "logicalXor": _two(np.logical_xor),
    "logicalNot": _each(np.logical_not),
    "whereBroadcastable": lambda p, inputs: np.where(inputs[0] != 0, inputs[1], inputs[2]),
    # How Core ML rounds a half is not written down; this is what ONNX and coremltools' tests do.
    "round": _each(np.rint),
    **{name: _each(getattr(np, name)) for name in ("ceil", "floor", "sign", "exp2")},
    **{name: _each(getattr(np, name)) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "asin": _each(np.arcsin),
    "acos": _each(np.arccos),
    "atan": _each(np.arctan),
    "asinh": _each(np.arcsinh),
    "acosh": _each(np.arccosh),
    "atanh": _each(np.arctanh),
}
