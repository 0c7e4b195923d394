"""Gathering and scattering. Definitions: coremltools, ``scatter_gather`` of iOS15 to iOS17."""

from __future__ import annotations

from typing import Any

import numpy as np

from silverprint.export.coreml.execute.mil_table import (
    IOS17,
    Array,
    axis_of,
    operator,
    undefined,
)

_MODES: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}


@operator("gather")
def gather(
    *, x: Array, indices: Array, axis: Array | int = 0, batch_dims: Array | int = 0
) -> Array:
    """x at `indices` along `axis`, as tf.gather; negative ones count from the end.

    iOS16 adds `batch_dims`: so many leading axes belong together in both.
    """
    place, batch = axis_of(axis, x.ndim), int(batch_dims)
    where = _inside(indices, x.shape[place])
    if batch == 0:
        return np.take(x, where, place)
    shape = x.shape[:batch]
    if where.shape[:batch] != shape or place < batch:
        raise ValueError(f"batch of {list(where.shape)} in {list(x.shape)}")
    flat = x.reshape(-1, *x.shape[batch:])
    rows = [
        np.take(one, at, place - batch)
        for one, at in zip(flat, where.reshape(-1, *where.shape[batch:]), strict=True)
    ]
    return np.stack(rows).reshape(*shape, *rows[0].shape)


@operator("gather", since=IOS17)
def gather_ios17(
    *,
    x: Array,
    indices: Array,
    axis: Array | int = 0,
    batch_dims: Array | int = 0,
    validate_indices: Array | bool = False,
) -> Array:
    """As before, but negative indices are not allowed."""
    _check_positive(indices)
    return gather(x=x, indices=indices, axis=axis, batch_dims=batch_dims)


@operator("gather_along_axis")
def gather_along_axis(*, x: Array, indices: Array, axis: Array | int = 0) -> Array:
    """For each place of `indices` the value of x there, with the index along `axis`."""
    place = axis_of(axis, x.ndim)
    for at, (side, other) in enumerate(zip(x.shape, indices.shape, strict=True)):
        if at != place and side != other:
            raise ValueError(f"{list(indices.shape)} does not fit {list(x.shape)}")
    return np.take_along_axis(x, _inside(indices, x.shape[place]), place)


@operator("gather_along_axis", since=IOS17)
def gather_along_axis_ios17(
    *,
    x: Array,
    indices: Array,
    axis: Array | int = 0,
    validate_indices: Array | bool = False,
) -> Array:
    """As before, but negative indices are not allowed."""
    _check_positive(indices)
    return gather_along_axis(x=x, indices=indices, axis=axis)


@operator("gather_nd")
def gather_nd(
    *,
    x: Array,
    indices: Array,
    batch_dims: Array | int = 0,
    validate_indices: Array | bool = False,
) -> Array:
    """x[indices[..., 0], indices[..., 1], ...], as tf.gather_nd."""
    batch = int(batch_dims)
    _check_positive(indices)
    if x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch of {list(indices.shape)} in {list(x.shape)}")
    leading = np.indices(indices.shape[:-1], sparse=True)[:batch]
    return np.asarray(x[(*leading, *np.moveaxis(indices.astype(np.int64), -1, 0))])


@operator("scatter")
def scatter(
    *,
    data: Array,
    indices: Array,
    updates: Array,
    axis: Array | int = 0,
    mode: str = "add",
    validate_indices: Array | bool = False,
) -> Array:
    """`data` with updates[i] brought in at indices[i] along `axis`."""
    place = axis_of(axis, data.ndim)
    where = (slice(None),) * place + (_inside(indices, data.shape[place]),)
    return _brought_in(data, where, updates, mode)


@operator("scatter_along_axis")
def scatter_along_axis(
    *,
    data: Array,
    indices: Array,
    updates: Array,
    axis: Array | int = 0,
    mode: str = "add",
    validate_indices: Array | bool = False,
) -> Array:
    """`data` with each update brought in at its place, with the index along `axis`."""
    place = axis_of(axis, data.ndim)
    where: list[Array] = list(np.indices(indices.shape, sparse=True))
    where[place] = _inside(indices, data.shape[place])
    return _brought_in(data, tuple(where), updates, mode)


@operator("scatter_nd")
def scatter_nd(
    *,
    data: Array,
    indices: Array,
    updates: Array,
    mode: str = "add",
    validate_indices: Array | bool = False,
) -> Array:
    """`data` with updates[i] brought in at data[indices[i]]."""
    _check_positive(indices)
    return _brought_in(data, tuple(np.moveaxis(indices.astype(np.int64), -1, 0)), updates, mode)


def _brought_in(data: Array, where: tuple[Any, ...], updates: Array, mode: str) -> Array:
    result = data.copy()
    if mode == "update":
        result[where] = updates
    elif mode in _MODES:
        _MODES[mode].at(result, where, updates)
    else:
        undefined(f"scatter in the mode {mode!r}")
    return result


def _inside(indices: Array, side: int) -> Array:
    """The indices, for numpy, which counts negative ones from the end as MIL does."""
    where = indices.astype(np.int64)
    if where.size and not (-side <= where.min() and where.max() < side):
        undefined(f"what stands at {int(where.min())} to {int(where.max())} of {side}")
    return where


def _check_positive(indices: Array) -> None:
    if indices.size and indices.min() < 0:
        undefined(f"what stands at {int(indices.min())}")
