"""Rearrangements that more than one format has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from silverprint.export.coreml.proof.expressions.values import (
    Array,
    Unreadable,
    Value,
    constant,
    joined,
    moved,
)


def pad(
    x: Value, widths: Sequence[tuple[int, int]], mode: str, fill: Array, name: str, place: int
) -> Value:
    """Padding; `mode` as in NumPy, `fill` the constant of "constant"."""
    if mode != "constant":
        return moved(x, lambda index: np.pad(index, widths, mode), name, place)  # type: ignore[call-overload]
    if any(width < 0 for both in widths for width in both):
        raise Unreadable("padding that cuts off")
    number = constant(fill.reshape((1,) * len(x.shape)))

    def join(parts: list[Array]) -> Array:
        body, value = parts
        return np.pad(body, widths, constant_values=int(value.reshape(-1)[0]))

    return joined([x, number], join, name, place)


def depth_to_space(index: Any, block: int) -> Any:
    """Depth split as (row in block, column in block, channel)."""
    n, c, h, w = index.shape
    deep = c // block**2
    parts = index.reshape(n, block, block, deep, h, w).transpose(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, deep, h * block, w * block)


def pixel_shuffle(index: Any, block: int) -> Any:
    """Depth split as (channel, row in block, column in block)."""
    n, c, h, w = index.shape
    deep = c // block**2
    parts = index.reshape(n, deep, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, deep, h * block, w * block)


def space_to_depth(index: Any, block: int) -> Any:
    """The opposite of `depth_to_space`."""
    n, c, h, w = index.shape
    parts = index.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)


def pixel_unshuffle(index: Any, block: int) -> Any:
    """The opposite of `pixel_shuffle`."""
    n, c, h, w = index.shape
    parts = index.reshape(n, c, h // block, block, w // block, block).transpose(0, 1, 3, 5, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)


def grid(mode: str, size: int, target: int) -> Array:
    """Where the numbers of a resized axis lie in the old one, as MIL defines its modes."""
    out = np.arange(target, dtype=np.float64)
    if mode == "DEFAULT":
        return out * size / target
    if mode == "UNALIGN_CORNERS":
        return (out + 0.5) * size / target - 0.5
    if mode == "OFFSET_CORNERS":
        return (out + 0.5) * max(1, size - 1) / target
    if target == 1:
        return out + ((size - 1) / 2 if mode == "ALIGN_CORNERS" else 0)
    return out * (size - 1) / (target - 1)
