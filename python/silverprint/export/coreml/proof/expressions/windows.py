"""Makes the values of operators that slide a window: convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from silverprint.export.coreml.proof.expressions.values import (
    Constant,
    Shape,
    Unreadable,
    Value,
)


def window(
    shape: Shape,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    *,
    ceil: bool = False,
) -> Shape:
    """Sizes of what a sliding window gives; `pads` are (before, after) of each axis in turn."""
    sizes = []
    for axis, size in enumerate(shape):
        before, after = pads[2 * axis], pads[2 * axis + 1]
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        room, stride = size + before + after - reach, strides[axis]
        count = (-(-room // stride) if ceil else room // stride) + 1
        if ceil and (count - 1) * stride >= size + before:
            count -= 1  # no window may begin in the padding after the numbers
        sizes.append(count)
    return tuple(sizes)


def same_pads(
    shape: Shape, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], low: bool
) -> list[int]:
    """Padding that gives ceil(size / stride) windows; `low` puts the odd one before."""
    pads = []
    for size, k, stride, dilation in zip(shape, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + dilation * (k - 1) + 1 - size, 0)
        less, more = total // 2, total - total // 2
        pads += [more, less] if low else [less, more]
    return pads


def convolution(
    x: Value,
    weight: Constant,
    bias: Constant | None,
    name: str,
    place: int = -1,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    groups: int,
) -> Value:
    """`weight` is [outputs, inputs / groups, ...], `pads` (before, after) of each axis in turn."""
    kernel = weight.array.shape[2:]
    settings = {
        "strides": tuple(map(int, strides)),
        "dilations": tuple(map(int, dilations)),
        "pads": tuple(map(int, pads)),
        "groups": int(groups),
    }
    if x.shape[1] != weight.array.shape[1] * groups:
        raise Unreadable(f"weights for {weight.array.shape[1] * groups} channels")
    sizes = window(x.shape[2:], kernel, strides, dilations, pads)
    shape = (x.shape[0], weight.array.shape[0], *sizes)
    numbers = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return Value("conv", shape, (x,), settings, numbers, name, place)


def transposed_convolution(
    x: Value,
    weight: Constant,
    bias: Constant | None,
    name: str,
    place: int = -1,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    groups: int,
    sizes: Sequence[int],
) -> Value:
    """`weight` is [inputs, outputs / groups, ...]; `sizes` those of the result."""
    settings = {
        "strides": tuple(map(int, strides)),
        "dilations": tuple(map(int, dilations)),
        "pads": tuple(map(int, pads)),
        "groups": int(groups),
    }
    shape = (x.shape[0], weight.array.shape[1] * groups, *map(int, sizes))
    numbers = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return Value("conv_transpose", shape, (x,), settings, numbers, name, place)


def pool(
    kind: str,
    x: Value,
    name: str,
    place: int = -1,
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    ceil: bool,
    counts: str = "",
    dilations: Sequence[int] | None = None,
) -> Value:
    """``max_pool`` or ``average_pool``; settings that make no difference here are left out.

    `counts`: what beside numbers an average is divided by: "" nothing, "pads" the padding,
    "pads and overhang" also what a last window takes beyond it, as Core ML does.
    """
    dilations = dilations or [1] * len(kernel)
    sizes = window(x.shape[2:], kernel, strides, dilations, pads, ceil=ceil)
    overhangs = ceil and sizes != window(x.shape[2:], kernel, strides, dilations, pads)
    settings: dict[str, Any] = {
        "kernel": tuple(map(int, kernel)),
        "strides": tuple(map(int, strides)),
        "dilations": tuple(map(int, dilations)),
        "pads": tuple(map(int, pads)),
        "ceil": overhangs,
    }
    if kind == "average_pool":
        settings["counts_pads"] = bool(counts) and any(pads)
        settings["counts_overhang"] = counts == "pads and overhang" and overhangs
    return Value(kind, (*x.shape[:2], *sizes), (x,), settings, {}, name, place)
