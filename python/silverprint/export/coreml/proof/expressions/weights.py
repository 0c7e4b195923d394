"""Whether the numbers of a saved file are those of the reference, bit for bit.

A float32 number must be the same number. A float16 one must be numpy's rounding of it, but that
coremltools keeps small parameters from becoming zero: of arrays with fewer than 400 numbers, one
that float16 would make zero or its smallest number is written as the smallest number, 6e-8. A
weight of 8 bits must be what `quantised` gives.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from silverprint.export.coreml.proof.expressions.values import Array, Constant, Shape

_CLAMPED_BELOW = 400
_SMALLEST = np.nextafter(np.float16(0), np.float16(1))

_MISSING: dict[str, tuple[float, float]] = {
    "bias": (0, 0),
    "beta": (0, 0),
    "gamma": (1, 1),
    "epsilon": (-1e-30, 1e-30),
    "low": (-np.inf, float(np.finfo(np.float32).min)),
    "high": (float(np.finfo(np.float32).max), np.inf),
}
"""Which numbers say as much as none at all."""


def quantised(array: Array, axis: int) -> tuple[npt.NDArray[np.int8], Array]:
    """(steps, scale) of 8 bits for a weight in the type that the file would hold it in.

    Symmetric, with one scale for each place on `axis`. In double: the scale is the largest
    absolute number / 127, rounded to the type of the weight and at least its smallest number, 1
    for zeros alone; a step is the number / scale, rounded half to even, cut to -127..127.
    """
    others = tuple(one for one in range(array.ndim) if one != axis)
    wide = array.astype(np.float64)
    largest = np.abs(wide).max(axis=others, keepdims=True)
    smallest = np.finfo(array.dtype).smallest_subnormal
    scale = np.maximum((largest / 127).astype(array.dtype), smallest)
    scale = np.where(largest == 0, np.ones_like(scale), scale)
    steps = np.rint(wide / scale.astype(np.float64)).clip(-127, 127).astype(np.int8)
    return steps, scale


def as_float16(array: Array) -> npt.NDArray[np.float16]:
    """`array` as coremltools writes it in float16."""
    wide = np.asarray(array, np.float32)
    with np.errstate(over="ignore", under="ignore"):
        rounded = wide.astype(np.float16)
    if wide.size < _CLAMPED_BELOW:
        least = np.finfo(np.float32).smallest_subnormal
        lost = (np.abs(rounded) <= _SMALLEST) & (np.abs(wide) > least)
        rounded = np.where(lost, np.where(wide < 0, -_SMALLEST, _SMALLEST), rounded)
    return rounded.astype(np.float16)


_MAY_BE_INFINITE = {"low", "high", "x", "y", "z", "table"}
"""Numbers that stand for no bound or for a masked place."""


def not_finite(key: str, saved: Constant) -> str | None:
    """What is wrong with a number called `key` that is none, or infinite where none may be."""
    array = saved.array
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    if key in _MAY_BE_INFINITE and not np.isnan(array).any():
        return None
    return (
        f"{key} {_named(saved)} is not finite: check the backbone, or write the file with "
        'precision="float32"'
    )


def difference(
    key: str, saved: Constant | None, reference: Constant | None, shape: Shape
) -> str | None:
    """What differs between two numbers called `key`, or None.

    Either may be missing, which says what `_MISSING` does. Numbers of elementwise operators may
    differ in shape as long as they are the same when broadcast to `shape`.
    """
    if saved is None or reference is None:
        present = saved or reference
        if present is None:
            return None
        lowest, highest = _MISSING.get(key, (np.inf, -np.inf))
        numbers = np.asarray(present.array, np.float64)
        if ((numbers >= lowest) & (numbers <= highest)).all():
            return None
        where = "the reference has no" if reference is None else "the file has no"
        return f"{where} {key}, {_named(present)}"
    if saved.steps is not None:
        return _steps_differ(key, saved, reference)
    stored, wanted = saved.array, np.asarray(reference.array)
    if wanted.dtype.kind == "f":
        wanted = wanted.astype(np.float32)
    if stored.dtype == np.float16:
        wanted = as_float16(wanted)
    elif stored.dtype.kind == "f" and wanted.dtype.kind == "f":
        wanted = wanted.astype(stored.dtype)
    if stored.shape != wanted.shape:
        try:
            both = np.broadcast_shapes(stored.shape, wanted.shape)
            if both != stored.shape and both != wanted.shape:
                both = shape
            stored, wanted = np.broadcast_to(stored, both), np.broadcast_to(wanted, both)
        except ValueError:
            return _other_shape(key, saved, reference)
    return _first_difference(key, saved, reference, stored, wanted)


def _first_difference(
    key: str, saved: Constant, reference: Constant, stored: Array, wanted: Array
) -> str | None:
    equal = stored == wanted
    if stored.dtype.kind == "f" and wanted.dtype.kind == "f":
        equal |= np.isnan(stored) & np.isnan(wanted)
    if equal.all():
        return None
    count = int(equal.size - np.count_nonzero(equal))
    place = tuple(int(one) for one in np.argwhere(~equal)[0])
    at = f" at {list(place)}" if place else ""
    return (
        f"{key} {_named(saved)}{at} is {stored[place]!s}, {_named(reference)} gives "
        f"{wanted[place]!s} ({count} of {equal.size} numbers differ)"
    )


def _steps_differ(key: str, saved: Constant, reference: Constant) -> str | None:
    assert saved.steps is not None
    assert saved.scale is not None
    given = np.asarray(reference.array, np.float32)
    if saved.steps.shape != given.shape:
        return _other_shape(key, saved, reference)
    stored = saved.scale
    steps, scale = quantised(as_float16(given) if stored.dtype == np.float16 else given, saved.axis)
    both = np.broadcast_arrays(stored, scale)
    found = _first_difference(f"the scale of {key}", saved, reference, *both)
    return found or _first_difference(key, saved, reference, saved.steps, steps)


def _other_shape(key: str, saved: Constant, reference: Constant) -> str:
    return (
        f"{key} {_named(saved)} has the shape {list(saved.array.shape)}, {_named(reference)} has "
        f"{list(reference.array.shape)}"
    )


def _named(constant: Constant) -> str:
    return repr(constant.name) if constant.name else "(unnamed)"
