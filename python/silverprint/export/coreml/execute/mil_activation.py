"""Activation functions. Definitions: coremltools, iOS15 ``activation``."""

from __future__ import annotations

import math

import numpy as np

from silverprint.export.coreml.execute import kernels
from silverprint.export.coreml.execute.mil_table import (
    Array,
    axis_of,
    operator,
    per_channel,
    undefined,
)

_HALF, _ONE = np.float32(0.5), np.float32(1)


def _sigmoid(x: Array) -> Array:
    result: Array = _ONE / (_ONE + np.exp(-x))
    return result


def _silu(x: Array, slope: np.float32) -> Array:
    result: Array = x * _sigmoid(x * slope)
    return result


def _halved(x: Array, share: Array) -> Array:
    result: Array = x * _HALF * (share + _ONE)
    return result


@operator("clamped_relu")
def clamped_relu(*, x: Array, alpha: Array, beta: Array) -> Array:
    """min(beta, x) where x >= 0, else min(beta, alpha * x)."""
    return np.minimum(beta, np.where(x >= 0, x, alpha * x))


@operator("elu")
def elu(*, x: Array, alpha: Array) -> Array:
    """x where x > 0, else alpha * (e^x - 1)."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@operator("gelu")
def gelu(*, x: Array, mode: str = "EXACT") -> Array:
    """EXACT: x / 2 * (1 + erf(x / sqrt(2))).

    TANH_APPROXIMATION: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))).
    SIGMOID_APPROXIMATION: x * sigmoid(1.702 * x).
    """
    if mode == "EXACT":
        return _halved(x, kernels.erf(x * np.float32(math.sqrt(0.5))))
    if mode == "TANH_APPROXIMATION":
        inner = (x + x**3 * np.float32(0.044715)) * np.float32(math.sqrt(2 / math.pi))
        return _halved(x, np.tanh(inner))
    if mode == "SIGMOID_APPROXIMATION":
        return _silu(x, np.float32(1.702))
    return undefined(f"gelu in the mode {mode!r}")


@operator("leaky_relu")
def leaky_relu(*, x: Array, alpha: Array) -> Array:
    """x where x >= 0, else alpha * x."""
    return np.where(x >= 0, x, alpha * x)


@operator("linear_activation")
def linear_activation(*, x: Array, alpha: Array, beta: Array) -> Array:
    """alpha * x + beta."""
    return alpha * x + beta


@operator("prelu")
def prelu(*, x: Array, alpha: Array) -> Array:
    """x where x > 0, else alpha * x, with one alpha [C] for each channel."""
    return np.where(x > 0, x, per_channel(alpha, x) * x)


@operator("relu")
def relu(*, x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


@operator("relu6")
def relu6(*, x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return np.minimum(np.maximum(x, 0), 6)


@operator("scaled_tanh")
def scaled_tanh(*, x: Array, alpha: Array, beta: Array) -> Array:
    """alpha * tanh(beta * x)."""
    result: Array = alpha * np.tanh(beta * x)
    return result


@operator("sigmoid")
def sigmoid(*, x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return _sigmoid(x)


@operator("sigmoid_hard")
def sigmoid_hard(*, x: Array, alpha: Array, beta: Array) -> Array:
    """min(max(alpha * x + beta, 0), 1)."""
    result: Array = np.minimum(np.maximum(alpha * x + beta, 0), 1)
    return result


@operator("silu")
def silu(*, x: Array) -> Array:
    """x * sigmoid(x)."""
    return _silu(x, _ONE)


@operator("softmax")
def softmax(*, x: Array, axis: Array | int = -1) -> Array:
    """e^x / sum(e^x) along `axis`."""
    return kernels.softmax(x, axis_of(axis, x.ndim))


@operator("softplus")
def softplus(*, x: Array) -> Array:
    """log(1 + e^x)."""
    result: Array = np.logaddexp(x, np.float32(0))
    return result


@operator("softplus_parametric")
def softplus_parametric(*, x: Array, alpha: Array, beta: Array) -> Array:
    """alpha * log(1 + e^(beta * x)), with one alpha and beta [C] for each channel."""
    result: Array = per_channel(alpha, x) * np.logaddexp(per_channel(beta, x) * x, np.float32(0))
    return result


@operator("softsign")
def softsign(*, x: Array) -> Array:
    """x / (1 + |x|)."""
    return x / (np.abs(x) + _ONE)


@operator("thresholded_relu")
def thresholded_relu(*, x: Array, alpha: Array) -> Array:
    """x where x >= alpha, else 0."""
    return np.where(x >= alpha, x, np.float32(0))
