"""NeuralNetwork layers of the last two axes. Definitions: NeuralNetwork.proto."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.execute import kernels
from silverprint.export.coreml.execute.network_weights import weights

Array = npt.NDArray[Any]
Layer = Callable[[Any, Sequence[Array]], Array]
Pads = list[tuple[int, int]]

_MAX, _AVERAGE = 0, 1  # PoolingLayerParams.PoolingType
_TOP_LEFT_HEAVY = 1
_BILINEAR = 1
_FROM_THE_BORDER = ("reflection", "replication")


def _pair(sides: Sequence[int], default: int) -> tuple[int, int]:
    """Height and width, where not set `default` for both."""
    if not sides:
        return default, default
    height, width = sides
    return int(height), int(width)


def _edges(amounts: Any) -> Pads:
    """(before, after) of height and width; a ``BorderAmounts`` that is not set is zero."""
    edges = [(int(one.startEdgeSize), int(one.endEdgeSize)) for one in amounts.borderAmounts]
    if len(edges) not in (0, 2):
        raise ExportError(f"it has borders for {len(edges)} axes")
    return edges or [(0, 0), (0, 0)]


def _four(x: Array) -> Array:
    """`x` with all its leading axes in one."""
    return x.reshape(-1, *x.shape[-3:])


def _convolution(params: Any, inputs: Sequence[Array]) -> Array:
    x = _four(inputs[0])
    kernel, strides = _pair(params.kernelSize, 3), _pair(params.stride, 1)
    groups, outputs = int(params.nGroups) or 1, int(params.outputChannels)
    bias = weights(params.bias, (outputs,)) if params.hasBias else None
    if params.isDeconvolution:
        shape = (params.kernelChannels, outputs // groups, *kernel)
        w = weights(params.weights, shape, axis=1)
        result = _deconvolution(params, x, w, bias, strides, groups)
    else:
        if len(inputs) > 1:
            w = inputs[1]
        else:
            w = weights(params.weights, (outputs, params.kernelChannels, *kernel))
        dilations = _pair(params.dilationFactor, 1)
        pads = _pads(params, "ConvolutionPaddingType", x, kernel, strides, dilations)
        result = kernels.conv(
            x, w, bias, strides=strides, pads=pads, dilations=dilations, groups=groups
        )
    return result.reshape(*inputs[0].shape[:-3], *result.shape[1:])


def _pads(
    params: Any,
    field: str,
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pads:
    if params.WhichOneof(field) == "same":
        lower = params.same.asymmetryMode == _TOP_LEFT_HEAVY
        return kernels.same_pads(x.shape[-2:], kernel, strides, dilations, lower=lower)
    return _edges(params.valid.paddingAmounts)


def _deconvolution(
    params: Any, x: Array, w: Array, bias: Array | None, strides: tuple[int, int], groups: int
) -> Array:
    """The dilation is ignored, as the definition says."""
    full = [
        (size - 1) * stride + side
        for size, stride, side in zip(x.shape[-2:], strides, w.shape[-2:], strict=True)
    ]
    if params.WhichOneof("ConvolutionPaddingType") == "same":
        lower = params.same.asymmetryMode == _TOP_LEFT_HEAVY
        surplus = [
            whole - size * stride
            for whole, size, stride in zip(full, x.shape[-2:], strides, strict=True)
        ]
        # Pixels that no window of such a convolution meets come last.
        pads = [kernels.halves(one, lower=lower) if one > 0 else (0, one) for one in surplus]
    else:
        pads = _edges(params.valid.paddingAmounts)
    size = tuple(whole - before - after for whole, (before, after) in zip(full, pads, strict=True))
    if params.outputShape and tuple(params.outputShape) != size:
        raise ExportError(
            f"its output shape {list(params.outputShape)} is not what its padding gives, "
            f"{list(size)}: where the pixels lie is not defined then"
        )
    return kernels.conv_transpose(
        x, w, bias, strides=strides, pads=pads, dilations=(1, 1), groups=groups
    )


def _pooling(params: Any, inputs: Sequence[Array]) -> Array:
    x = _four(inputs[0])
    if params.globalPooling:
        kernel, strides = x.shape[-2:], (1, 1)
        pads: Pads = [(0, 0), (0, 0)]
    else:
        kernel, strides = _pair(params.kernelSize, 3), _pair(params.stride, 1)
        if params.WhichOneof("PoolingPaddingType") == "includeLastPixel":
            pads = _complete(x, kernel, strides, params.includeLastPixel.paddingAmounts)
        else:
            pads = _pads(params, "PoolingPaddingType", x, kernel, strides, (1, 1))
    if params.type == _MAX:
        result = kernels.max_pool(x, kernel=kernel, strides=strides, pads=pads)
    elif params.type == _AVERAGE:
        result = kernels.avg_pool(
            x,
            kernel=kernel,
            strides=strides,
            pads=pads,
            exclude_padding=params.avgPoolExcludePadding,
        )
    else:
        result = np.sqrt(kernels.sum_pool(x * x, kernel=kernel, strides=strides, pads=pads))
    return result.reshape(*inputs[0].shape[:-3], *result.shape[1:])


def _complete(
    x: Array, kernel: Sequence[int], strides: Sequence[int], amounts: Sequence[int]
) -> Pads:
    """``ValidCompletePadding``: the last window reaches beyond the input where it must.

    What it reaches counts as padding.
    """
    padded = _pair(amounts, 0)
    pads = []
    for size, side, stride, pad in zip(x.shape[-2:], kernel, strides, padded, strict=True):
        places = -(-(size + 2 * pad - side) // stride) + 1
        if any(padded) and (places - 1) * stride >= size + pad:
            places -= 1
        pads.append((pad, max(0, (places - 1) * stride + side - size - pad)))
    return pads


def _padding(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    edges = _edges(params.paddingAmounts)
    kind = params.WhichOneof("PaddingType")
    if kind not in _FROM_THE_BORDER:
        return kernels.padded(x, edges, params.constant.value)
    for axis, (before, after) in zip((-2, -1), edges, strict=True):
        places = np.arange(-before, x.shape[axis] + after)
        last = x.shape[axis] - 1
        if kind == "replication":
            places = np.clip(places, 0, last)
        elif max(before, after) > last:
            raise ExportError(f"it reflects {max(before, after)} of {last + 1} pixels")
        else:
            places = last - np.abs(last - np.abs(places))
        x = np.take(x, places, axis)
    return x


def _constant_pad(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    amounts = inputs[1].astype(np.int64).ravel() if len(inputs) > 1 else params.padAmounts
    pads = np.array(amounts, np.int64).reshape(x.ndim, 2)
    if params.padToGivenOutputSizeMode:
        pads = np.maximum(0, np.where(pads > 0, pads - np.array(x.shape)[:, None], 0))
    return kernels.padded(x, [(before, after) for before, after in pads], params.value)


def _crop(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    height, width = x.shape[-2:]
    if len(inputs) == 1:
        (top, bottom), (left, right) = _edges(params.cropAmounts)
        return x[..., top : height - bottom, left : width - right]
    top, left = _pair(params.offset, 0)
    rows, columns = inputs[1].shape[-2:]
    return x[..., top : top + rows, left : left + columns]


def _upsample(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    if params.mode != _BILINEAR:
        if params.fractionalScalingFactor:
            raise ExportError("its nearest neighbours at a fractional factor are not defined")
        down, across = _pair(params.scalingFactor, 1)
        kernels.check_room((*x.shape, down, across))
        return x.repeat(down, axis=-2).repeat(across, axis=-1)
    factors = params.fractionalScalingFactor or _pair(params.scalingFactor, 1)
    sizes = [int(side * factor) for side, factor in zip(x.shape[-2:], factors, strict=True)]
    kernels.check_room((*x.shape[:-2], *sizes))
    rows, columns = (
        _upsampled(side, size, params.linearUpsampleMode)
        for side, size in zip(x.shape[-2:], sizes, strict=True)
    )
    return kernels.resize_linear(x, rows, columns)


def _upsampled(side: int, size: int, mode: int) -> Array:
    """The places of ``UpsampleLayerParams.LinearUpsampleMode`` in a side of the input."""
    places = np.arange(size, dtype=np.float64)
    if mode == 0:
        places = places * ((side - side / size) / max(1, size - 1))
    elif mode == 1:
        places = places * ((side - 1) / max(1, size - 1))
    else:
        places = places * (side / size) + 0.5 * (side / size) - 0.5
    return np.clip(places, 0, side - 1)


def _resize_bilinear(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    sizes = _pair(params.targetSize, 1)
    kernels.check_room((*x.shape[:-2], *sizes))
    rows, columns = (
        _sampled(side, size, params.mode.samplingMethod)
        for side, size in zip(x.shape[-2:], sizes, strict=True)
    )
    return kernels.resize_linear(x, rows, columns)


def _sampled(side: int, size: int, method: int) -> Array:
    """The places of ``SamplingMode.Method`` in a side of the input."""
    start, end = 0.0, float(side - 1)
    if method == 1 and size == 1:
        start = end = (side - 1) / 2
    elif method == 2:
        end = side - side / size
    elif method == 3:
        spacing = max(1, side - 1) / size
        start = 0.5 * spacing
        end = start + (size - 1) * spacing
    return np.minimum(side - 1, np.linspace(start, end, size))


def _reorganize(params: Any, inputs: Sequence[Array]) -> Array:
    x, block = inputs[0], int(params.blockSize)
    channels, height, width = x.shape[-3:]
    lead = x.shape[:-3]
    first = len(lead)
    if params.mode == 0:  # space to depth: [b, b, C, H / b, W / b]
        parts = x.reshape(*lead, channels, height // block, block, width // block, block)
        order = (*range(first), *(first + at for at in (2, 4, 0, 1, 3)))
        shape = (channels * block * block, height // block, width // block)
        return parts.transpose(order).reshape(*lead, *shape)
    less = channels // (block * block)
    if params.mode == 1:  # depth to space: the channels are [b, b, C]
        parts = x.reshape(*lead, block, block, less, height, width)
        order = (*range(first), *(first + at for at in (2, 3, 0, 4, 1)))
    else:  # pixel shuffle: the channels are [C, b, b]
        parts = x.reshape(*lead, less, block, block, height, width)
        order = (*range(first), *(first + at for at in (0, 3, 1, 4, 2)))
    return parts.transpose(order).reshape(*lead, less, height * block, width * block)


LAYERS: Mapping[str, Layer] = {
    "convolution": _convolution,
    "pooling": _pooling,
    "padding": _padding,
    "constantPad": _constant_pad,
    "crop": _crop,
    "upsample": _upsample,
    "resizeBilinear": _resize_bilinear,
    "reorganizeData": _reorganize,
}
