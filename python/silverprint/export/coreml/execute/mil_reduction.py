"""Reductions. Definitions: coremltools, iOS15 ``reduction``, iOS17 for `output_dtype`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from silverprint.export.coreml.execute.mil_table import (
    Array,
    axes_of,
    axis_of,
    operator,
    undefined,
)


def _log_sum_exp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    most = np.max(x, axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, np.float32(0))
    total: Array = np.log(np.sum(np.exp(x - most), axis=axis, keepdims=True)) + most
    return total if keepdims else np.squeeze(total, axis)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_l1_norm": lambda x, **over: np.sum(np.abs(x), **over),
    "reduce_l2_norm": lambda x, **over: np.sqrt(np.sum(np.square(x), **over)),
    "reduce_log_sum": lambda x, **over: np.log(np.sum(x, **over)),
    "reduce_log_sum_exp": _log_sum_exp,
    "reduce_max": np.max,
    "reduce_mean": np.mean,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_sum": np.sum,
    "reduce_sum_square": lambda x, **over: np.sum(np.square(x), **over),
}
_OF_INTEGERS = {
    *("reduce_l1_norm", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum"),
    "reduce_sum_square",
}


def _enter(name: str, function: Callable[..., Any]) -> None:
    @operator(name)
    def compute(*, x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
        if x.dtype.kind != "f" and name not in _OF_INTEGERS:
            undefined(f"how {name} rounds integers")
        reduced = function(x, axis=axes_of(axes, x.ndim), keepdims=bool(keep_dims))
        return np.asarray(reduced).astype(x.dtype)


for _name, _function in _FUNCTIONS.items():
    _enter(_name, _function)


@operator("reduce_argmax")
def reduce_argmax(
    *,
    x: Array,
    axis: Array | int = -1,
    keep_dims: Array | bool = False,
    output_dtype: str = "int32",
) -> Array:
    """The place of the largest number along `axis`, here the first where several are."""
    place = np.argmax(x, axis_of(axis, x.ndim), keepdims=bool(keep_dims))
    return np.asarray(place).astype(output_dtype)


@operator("reduce_argmin")
def reduce_argmin(
    *,
    x: Array,
    axis: Array | int = -1,
    keep_dims: Array | bool = False,
    output_dtype: str = "int32",
) -> Array:
    """The place of the smallest number along `axis`, here the first where several are."""
    place = np.argmin(x, axis_of(axis, x.ndim), keepdims=bool(keep_dims))
    return np.asarray(place).astype(output_dtype)


@operator("argsort")
def argsort(*, x: Array, axis: Array | int = -1, ascending: Array | bool = False) -> Array:
    """The places of the sorted numbers along `axis`; here the earlier of two equal ones first."""
    place = axis_of(axis, x.ndim)
    return np.argsort(_key(x, ascending), axis=place, kind="stable").astype(np.int32)


@operator("topk")
def topk(
    *,
    x: Array,
    k: Array | int = 1,
    axis: Array | int = -1,
    ascending: Array | bool = False,
    sort: Array | bool = True,
    return_indices: Array | bool = True,
    output_indices_dtype: str = "int32",
) -> Array | tuple[Array, Array]:
    """The `k` largest (or smallest) numbers along `axis` and their places; k = -1 takes all.

    iOS16 adds `sort` and `return_indices`, iOS17 the type of the places. Unsorted ones come
    sorted here, too.
    """
    place = axis_of(axis, x.ndim)
    count = x.shape[place] if int(k) == -1 else int(k)
    if not 0 < count <= x.shape[place]:
        undefined(f"the {count} largest of {x.shape[place]} numbers")
    order = np.argsort(_key(x, ascending), axis=place, kind="stable")
    order = np.take(order, np.arange(count), axis=place)
    values = np.take_along_axis(x, order, place)
    return (values, order.astype(output_indices_dtype)) if bool(return_indices) else values


def _key(x: Array, ascending: Array | bool) -> Array:
    """Numbers that sort upwards as asked for."""
    if bool(ascending):
        return x
    return -x if x.dtype.kind == "f" else -x.astype(np.int64)


@operator("cumsum")
def cumsum(
    *,
    x: Array,
    axis: Array | int = 0,
    exclusive: Array | bool = False,
    reverse: Array | bool = False,
) -> Array:
    """The running sum along `axis`, from the end if `reverse`, without x[i] if `exclusive`."""
    place = axis_of(axis, x.ndim)
    ordered = np.flip(x, place) if bool(reverse) else x
    total = np.cumsum(ordered, axis=place, dtype=x.dtype)
    if bool(exclusive):
        shifted = np.roll(total, 1, place)
        shifted[(slice(None),) * place + (0,)] = 0
        total = shifted
    return np.flip(total, place) if bool(reverse) else total
