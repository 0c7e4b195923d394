"""Readers of the ONNX operators that slide a window."""

from __future__ import annotations

from collections.abc import Callable

from silverprint.export.coreml.proof.expressions import layers, windows
from silverprint.export.coreml.proof.expressions.layers import scalar
from silverprint.export.coreml.proof.expressions.values import Unreadable, Value
from silverprint.export.coreml.proof.reading.node import Node, Reader


def _spatial(node: Node, attribute: str, count: int, default: int) -> list[int]:
    return [int(one) for one in node.attributes.get(attribute, [default] * count)]


def _pads(
    node: Node, x: Value, kernel: list[int], strides: list[int], dilations: list[int]
) -> list[int]:
    """(before, after) of each axis; ONNX lists all that come before first."""
    count, mode = len(kernel), node.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        return windows.same_pads(x.shape[2:], kernel, strides, dilations, mode == "SAME_LOWER")
    if mode == "VALID":
        return [0] * (2 * count)
    pads = _spatial(node, "pads", 2 * count, 0)
    return [pads[place] for axis in range(count) for place in (axis, axis + count)]


def _conv(node: Node) -> Value:
    x, weight = node.value(0), node.weight(1)
    kernel = list(weight.array.shape[2:])
    strides = _spatial(node, "strides", len(kernel), 1)
    dilations = _spatial(node, "dilations", len(kernel), 1)
    return windows.convolution(
        x,
        weight,
        node.number(2),
        node.name,
        node.place,
        strides=strides,
        dilations=dilations,
        pads=_pads(node, x, kernel, strides, dilations),
        groups=node.attributes.get("group", 1),
    )


def _conv_transpose(node: Node) -> Value:
    x, weight = node.value(0), node.weight(1)
    kernel = list(weight.array.shape[2:])
    count = len(kernel)
    strides, dilations = (_spatial(node, key, count, 1) for key in ("strides", "dilations"))
    if (
        node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
        or "output_shape" in node.attributes
    ):
        raise Unreadable("ConvTranspose with a size of its own")
    extra, pads = _spatial(node, "output_padding", count, 0), _spatial(node, "pads", 2 * count, 0)
    sizes = [
        strides[i] * (x.shape[2 + i] - 1)
        + extra[i]
        + (kernel[i] - 1) * dilations[i]
        + 1
        - pads[i]
        - pads[i + count]
        for i in range(count)
    ]
    return windows.transposed_convolution(
        x,
        weight,
        node.number(2),
        node.name,
        node.place,
        strides=strides,
        dilations=dilations,
        pads=[pads[place] for axis in range(count) for place in (axis, axis + count)],
        groups=node.attributes.get("group", 1),
        sizes=sizes,
    )


def _pool(kind: str) -> Reader:
    def read(node: Node) -> Value:
        if len(node.outputs) > 1 and node.outputs[1]:
            raise Unreadable("MaxPool with indices")
        x, kernel = node.value(0), [int(one) for one in node.attributes["kernel_shape"]]
        strides = _spatial(node, "strides", len(kernel), 1)
        dilations = _spatial(node, "dilations", len(kernel), 1)
        return windows.pool(
            kind,
            x,
            node.name,
            node.place,
            kernel=kernel,
            strides=strides,
            pads=_pads(node, x, kernel, strides, dilations),
            ceil=bool(node.attributes.get("ceil_mode", 0)),
            counts="pads" if node.attributes.get("count_include_pad", 0) else "",
            dilations=dilations,
        )

    return read


def _local_response_norm(node: Node) -> Value:
    defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    alpha, beta, k = (scalar(node.attributes.get(key, one), key) for key, one in defaults.items())
    return layers.local_response_norm(
        node.value(0), node.attributes["size"], node.name, node.place, alpha=alpha, beta=beta, k=k
    )


WINDOWS: dict[str, Callable[[Node], Value | list[Value]]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool("max_pool"),
    "AveragePool": _pool("average_pool"),
    "LRN": _local_response_norm,
}
