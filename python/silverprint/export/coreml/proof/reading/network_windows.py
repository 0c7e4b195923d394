"""Readers of the NeuralNetwork layers that slide a window."""

from __future__ import annotations

from collections.abc import Callable

from silverprint.export.coreml.proof.expressions import layers, windows
from silverprint.export.coreml.proof.expressions.values import (
    Unreadable,
    Value,
)
from silverprint.export.coreml.proof.reading.layer import Layer, single, stored


def _pair(sides: object, default: int) -> list[int]:
    found = [int(side) for side in sides]  # type: ignore[attr-defined]
    return found or [default, default]


def _pads(
    layer: Layer, field: str, kernel: list[int], strides: list[int], dilations: list[int]
) -> list[int]:
    p = layer.params
    if p.WhichOneof(field) == "same":
        low = bool(p.same.asymmetryMode)
        return windows.same_pads(layer.x.shape[2:], kernel, strides, dilations, low)
    amounts = p.valid.paddingAmounts.borderAmounts
    edges = [side for one in amounts for side in (one.startEdgeSize, one.endEdgeSize)]
    return [int(side) for side in edges] or [0, 0, 0, 0]


def _convolution(layer: Layer) -> Value:
    p, name, place = layer.params, layer.name, layer.place
    if len(layer.inputs) != 1 or len(layer.x.shape) != 4:
        raise Unreadable("a convolution with computed weights")
    kernel, strides = _pair(p.kernelSize, 3), _pair(p.stride, 1)
    dilations, groups = _pair(p.dilationFactor, 1), int(p.nGroups) or 1
    pads = _pads(layer, "ConvolutionPaddingType", kernel, strides, dilations)
    outputs = int(p.outputChannels)
    bias = stored(p.bias, (outputs,), "bias") if p.hasBias else None
    if not p.isDeconvolution:
        weight = stored(p.weights, (outputs, p.kernelChannels, *kernel), f"weights of {name}")
        return windows.convolution(
            layer.x,
            weight,
            bias,
            name,
            place,
            strides=strides,
            dilations=dilations,
            pads=pads,
            groups=groups,
        )
    if p.WhichOneof("ConvolutionPaddingType") == "same" or dilations != [1, 1]:
        raise Unreadable("a deconvolution with padding by size or dilation")
    weight = stored(p.weights, (p.kernelChannels, outputs // groups, *kernel), f"weights of {name}")
    sizes = [
        (size - 1) * stride + side - before - after
        for size, stride, side, before, after in zip(
            layer.x.shape[2:], strides, kernel, pads[::2], pads[1::2], strict=True
        )
    ]
    return windows.transposed_convolution(
        layer.x,
        weight,
        bias,
        name,
        place,
        strides=strides,
        dilations=dilations,
        pads=pads,
        groups=groups,
        sizes=sizes,
    )


def _pooling(layer: Layer) -> Value:
    p, x = layer.params, layer.x
    kinds = {0: ("max_pool", "reduce_max"), 1: ("average_pool", "reduce_mean")}
    kind, whole = kinds[int(p.type)]
    if p.globalPooling:
        return layers.reduce(whole, x, (-2, -1), True, layer.name, layer.place)
    kernel, strides = _pair(p.kernelSize, 3), _pair(p.stride, 1)
    ceil = p.WhichOneof("PoolingPaddingType") == "includeLastPixel"
    if ceil:
        both = _pair(p.includeLastPixel.paddingAmounts, 0)
        pads = [both[0], both[0], both[1], both[1]]
    else:
        pads = _pads(layer, "PoolingPaddingType", kernel, strides, [1, 1])
    return windows.pool(
        kind,
        x,
        layer.name,
        layer.place,
        kernel=kernel,
        strides=strides,
        pads=pads,
        ceil=ceil,
        counts="" if p.avgPoolExcludePadding else "pads and overhang",
    )


def _local_response_norm(layer: Layer) -> Value:
    p = layer.params
    numbers = {"alpha": single(p.alpha), "beta": single(p.beta), "k": single(p.k or 1)}
    return layers.local_response_norm(layer.x, p.localSize, layer.name, layer.place, **numbers)


WINDOWS: dict[str, Callable[[Layer], Value | list[Value]]] = {
    "convolution": _convolution,
    "pooling": _pooling,
    "lrn": _local_response_norm,
}
