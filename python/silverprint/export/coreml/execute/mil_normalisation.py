"""Normalisations. Definitions: coremltools, iOS15 ``normalization``."""

from __future__ import annotations

import numpy as np

from silverprint.export.coreml.execute.mil_table import (
    Array,
    axes_of,
    operator,
    per_channel,
    undefined,
)


@operator("batch_norm")
def batch_norm(
    *,
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, each [C] for x [n, C, ...]."""
    result = (x - per_channel(mean, x)) / np.sqrt(per_channel(variance, x) + np.float32(epsilon))
    return _scaled(result, gamma, beta, x)


@operator("instance_norm")
def instance_norm(
    *,
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:
    """As ``batch_norm``, with mean and variance of each channel of each x[n]."""
    result = _standardised(x, tuple(range(2, x.ndim)), np.float32(epsilon))
    return _scaled(result, gamma, beta, x)


@operator("layer_norm")
def layer_norm(
    *,
    x: Array,
    axes: Array | None = None,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:
    """gamma * (x - E[x]) / sqrt(Var[x] + epsilon) + beta; gamma, beta have the sides of `axes`."""
    over = axes_of(axes, x.ndim)
    result = _standardised(x, over, np.float32(epsilon))
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    expected = tuple(x.shape[axis] for axis in sorted(over))
    for values in (gamma, beta):
        if values is not None and values.shape != expected:
            raise ValueError(f"gamma or beta is {list(values.shape)}, not {list(expected)}")
    if gamma is not None:
        result = result * gamma.reshape(shape)
    return result if beta is None else result + beta.reshape(shape)


@operator("l2_norm")
def l2_norm(*, x: Array, epsilon: Array | float = 1e-6) -> Array:
    """x / sqrt(sum(x^2) + epsilon) over the last three axes."""
    if x.ndim < 3:
        undefined("l2_norm of less than three axes")
    squares = np.sum(np.square(x), axis=(-3, -2, -1), keepdims=True)
    result: Array = x / np.sqrt(squares + np.float32(epsilon))
    return result


@operator("local_response_norm")
def local_response_norm(
    *,
    x: Array,
    size: Array,
    alpha: Array | float = 1e-4,
    beta: Array | float = 0.75,
    k: Array | float = 1.0,
) -> Array:
    """x / (k + alpha / size * sum(x^2))^beta over `size` neighbouring channels."""
    width = int(size)
    if width % 2 == 0:
        undefined("which neighbours local_response_norm takes for an even size")
    channels, half = x.shape[1], width // 2
    squares = np.pad(np.square(x), [(0, 0), (half, half)] + [(0, 0)] * (x.ndim - 2))
    near = np.zeros_like(x)
    for first in range(width):
        near += squares[:, first : first + channels]
    share = np.float32(alpha) / np.float32(width)
    result: Array = x / np.power(near * share + np.float32(k), np.float32(beta))
    return result


def _standardised(x: Array, over: tuple[int, ...], epsilon: np.float32) -> Array:
    centred = x - np.mean(x, axis=over, keepdims=True)
    variance = np.mean(np.square(centred), axis=over, keepdims=True)
    result: Array = centred / np.sqrt(variance + epsilon)
    return result


def _scaled(result: Array, gamma: Array | None, beta: Array | None, x: Array) -> Array:
    if gamma is not None:
        result = result * per_channel(gamma, x)
    return result if beta is None else result + per_channel(beta, x)
