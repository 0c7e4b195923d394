"""NeuralNetwork layers of matrices and of normalisation. Definitions: NeuralNetwork.proto."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.execute.kernels import padded, softmax
from silverprint.export.coreml.execute.network_weights import weights

Array = npt.NDArray[Any]
Layer = Callable[[Any, Sequence[Array]], Array]

_SPATIAL = (-2, -1)
_INSTANCE = (-3, -2, -1)


def _inner_product(params: Any, inputs: Sequence[Array]) -> Array:
    """Rank 4 and 5 count the last three axes as one, which stays behind as [C_out, 1, 1]."""
    if params.int8DynamicQuantize:
        raise ExportError("it multiplies in 8 bits, which is not executed here")
    x = inputs[0]
    folded = x.ndim >= 4
    flat = x.reshape(*x.shape[:-3], -1) if folded else x
    matrix = weights(params.weights, (params.outputChannels, params.inputChannels))
    result: Array = np.matmul(flat, matrix.T)
    if params.hasBias:
        result = result + weights(params.bias, (params.outputChannels,))
    return result[..., None, None] if folded else result


def _batched_matmul(params: Any, inputs: Sequence[Array]) -> Array:
    if params.int8DynamicQuantize:
        raise ExportError("it multiplies in 8 bits, which is not executed here")
    if len(inputs) == 1:
        rows, columns = params.weightMatrixFirstDimension, params.weightMatrixSecondDimension
        # Column major: what is stored is the transposed matrix.
        product: Array = np.matmul(inputs[0], weights(params.weights, (columns, rows)).T)
        return product + weights(params.bias, (columns,)) if params.hasBias else product
    a, b = inputs
    a = a[None, :] if a.ndim == 1 else a
    b = b[:, None] if b.ndim == 1 else b
    a = a.swapaxes(-1, -2) if params.transposeA else a
    b = b.swapaxes(-1, -2) if params.transposeB else b
    result: Array = np.matmul(a, b)
    return result


def _embedding_nd(params: Any, inputs: Sequence[Array]) -> Array:
    table = weights(params.weights, (params.embeddingSize, params.vocabSize))
    rows: Array = np.take(table.T, inputs[0][..., 0].astype(np.int64), 0)
    return rows + weights(params.bias, (params.embeddingSize,)) if params.hasBias else rows


def _dot(params: Any, inputs: Sequence[Array]) -> Array:
    a, b = inputs
    if params.cosineSimilarity:
        a, b = (x / np.sqrt((x * x).sum(-3, keepdims=True)) for x in (a, b))
    result: Array = (a * b).sum(-3, keepdims=True)
    return result


def _batchnorm(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    shape = (params.channels, 1, 1)
    if params.computeMeanVar:
        axes: tuple[int, ...] = _SPATIAL
        if not params.instanceNormalization:
            axes = (*range(x.ndim - 3), *_SPATIAL)
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    else:
        mean, variance = weights(params.mean, shape), weights(params.variance, shape)
    scaled: Array = (x - mean) / np.sqrt(variance + np.float32(params.epsilon or 1e-5))
    return weights(params.gamma, shape) * scaled + weights(params.beta, shape)


def _mvn(params: Any, inputs: Sequence[Array]) -> Array:
    """Epsilon is added to the variance, as coremltools counts on where it writes layer norms."""
    axes = _INSTANCE if params.acrossChannels else _SPATIAL
    centred: Array = inputs[0] - inputs[0].mean(axes, keepdims=True)
    if not params.normalizeVariance:
        return centred
    variance = (centred * centred).mean(axes, keepdims=True)
    result: Array = centred / np.sqrt(variance + np.float32(params.epsilon or 1e-6))
    return result


def _layer_normalization(params: Any, inputs: Sequence[Array]) -> Array:
    x, shape = inputs[0], tuple(params.normalizedShape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ExportError(f"it normalises {list(shape)} of {list(x.shape)}")
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axes, keepdims=True)
    variance = (centred * centred).mean(axes, keepdims=True)
    scaled: Array = centred / np.sqrt(variance + np.float32(params.eps))
    return weights(params.gamma, shape) * scaled + weights(params.beta, shape)


def _l2_normalize(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    total = (x * x).sum(_INSTANCE, keepdims=True)
    result: Array = x / np.sqrt(total + np.float32(params.epsilon or 1e-6))
    return result


def _lrn(params: Any, inputs: Sequence[Array]) -> Array:
    x, size = inputs[0], int(params.localSize)
    before = (size - 1) // 2
    squares = padded(x * x, [(before, size - 1 - before), (0, 0), (0, 0)])
    channels = x.shape[-3]
    total = np.zeros_like(x)
    for at in range(size):
        total += squares[..., at : at + channels, :, :]
    base = (params.k or 1) + params.alpha / size * total
    result: Array = x / base ** np.float32(params.beta)
    return result


def _spread(params: Any, shape: Sequence[int]) -> Array:
    """[1], [C], [1, H, W] or [C, H, W] so that it meets the last three axes."""
    sides = tuple(shape)
    array = weights(params, sides)
    if len(sides) == 1 and sides[0] > 1:
        return array[:, None, None]
    if len(sides) not in (1, 3):
        raise ExportError(f"its weights have the shape {list(sides)}")
    return array


def _scale(params: Any, inputs: Sequence[Array]) -> Array:
    result = inputs[0] * _spread(params.scale, params.shapeScale)
    return result + _spread(params.bias, params.shapeBias) if params.hasBias else result


def _softmax(params: Any, inputs: Sequence[Array]) -> Array:
    return softmax(inputs[0], -3)


LAYERS: Mapping[str, Layer] = {
    "innerProduct": _inner_product,
    "batchedMatmul": _batched_matmul,
    "embeddingND": _embedding_nd,
    "dot": _dot,
    "batchnorm": _batchnorm,
    "mvn": _mvn,
    "layerNormalization": _layer_normalization,
    "l2normalize": _l2_normalize,
    "lrn": _lrn,
    "scale": _scale,
    "bias": lambda p, inputs: inputs[0] + _spread(p.bias, p.shape),
    "softmax": _softmax,
    "softmaxND": lambda p, inputs: softmax(inputs[0], p.axis),
    "loadConstantND": lambda p, inputs: weights(p.data, p.shape),
    "loadConstant": lambda p, inputs: weights(p.data, (1, 1, *p.shape)),
}
