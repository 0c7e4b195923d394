"""Readers of the ML Program's operators that slide a window."""

from __future__ import annotations

from collections.abc import Callable

from silverprint.export.coreml.proof.expressions import layers, windows
from silverprint.export.coreml.proof.expressions.layers import scalar
from silverprint.export.coreml.proof.expressions.values import Unreadable, Value
from silverprint.export.coreml.proof.reading.operation import Operation, Reader


def _pads(
    op: Operation, x: Value, kernel: list[int], strides: list[int], dilations: list[int]
) -> list[int]:
    mode = op.text("pad_type", "valid")
    if mode == "valid":
        return [0] * (2 * len(kernel))
    if mode == "custom":
        return op.integers("pad", [0] * (2 * len(kernel)))
    if mode not in ("same", "same_lower"):
        raise Unreadable(f"padding {mode}")
    return windows.same_pads(x.shape[2:], kernel, strides, dilations, mode == "same_lower")


def _conv(op: Operation) -> Value:
    weight = op.weight("weight")
    kernel = list(weight.array.shape[2:])
    strides = op.integers("strides", [1] * len(kernel))
    dilations = op.integers("dilations", [1] * len(kernel))
    return windows.convolution(
        op.x,
        weight,
        op.number("bias"),
        op.name,
        op.place,
        strides=strides,
        dilations=dilations,
        pads=_pads(op, op.x, kernel, strides, dilations),
        groups=op.integers("groups", [1])[0],
    )


def _conv_transpose(op: Operation) -> Value:
    weight = op.weight("weight")
    count = weight.array.ndim - 2
    if op.text("pad_type", "valid") not in ("valid", "custom"):
        raise Unreadable("conv_transpose with padding by size")
    return windows.transposed_convolution(
        op.x,
        weight,
        op.number("bias"),
        op.name,
        op.place,
        strides=op.integers("strides", [1] * count),
        dilations=op.integers("dilations", [1] * count),
        pads=op.integers("pad", [0] * (2 * count)),
        groups=op.integers("groups", [1])[0],
        sizes=op.shapes[0][2:],
    )


def _pool(kind: str) -> Reader:
    def read(op: Operation) -> Value:
        kernel = op.integers("kernel_sizes")
        strides = op.integers("strides", [1] * len(kernel))
        exclude = op.flag("exclude_padding_from_average")
        return windows.pool(
            kind,
            op.x,
            op.name,
            op.place,
            kernel=kernel,
            strides=strides,
            pads=_pads(op, op.x, kernel, strides, [1] * len(kernel)),
            ceil=op.flag("ceil_mode"),
            counts="" if exclude else "pads and overhang",
        )

    return read


def _local_response_norm(op: Operation) -> Value:
    defaults = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
    numbers = {key: op.number(key) or scalar(one) for key, one in defaults.items()}
    (size,) = op.integers("size")
    return layers.local_response_norm(op.x, size, op.name, op.place, **numbers)


WINDOWS: dict[str, Callable[[Operation], Value | list[Value]]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _pool("max_pool"),
    "avg_pool": _pool("average_pool"),
    "local_response_norm": _local_response_norm,
}
