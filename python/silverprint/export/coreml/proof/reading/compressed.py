"""Reads the weights of an ML Program that are stored as 8-bit integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.proof.expressions.values import CONSTANT, Array, Constant, Value
from silverprint.export.coreml.reader import SavedModel, tensor_shape, value_of

_EIGHT_BITS = {21, 31}  # MIL_pb2.DataType: int8, uint8


def compressed(saved: SavedModel, operation: Any, name: str, place: int) -> Value:
    """The weight that a ``constexpr_...`` gives; unreadable in any form but 8 linear bits."""
    shape = tensor_shape(operation.outputs[0].type.tensorType)
    readers = {
        "constexpr_affine_dequantize": _affine,
        "constexpr_blockwise_shift_scale": _blockwise,
    }
    found = None
    if operation.type in readers:
        try:
            found = readers[operation.type](saved, operation, name)
        except ExportError:
            raise
        except Exception:  # damaged parameters fail in as many ways as numpy has
            pass
    if found is None or found.array.shape != shape:
        return Value(f"mil:{operation.type}", shape, (), {}, {}, name, place)
    return Value(CONSTANT, shape, (), {}, {"value": found}, name, place)


def _affine(saved: SavedModel, operation: Any, name: str) -> Constant:
    """Up to iOS 17: a vector of scales lies along an axis."""
    given = {key: value_of(saved, one, name) for key, one in operation.attributes.items()}
    steps, axis = given["quantized_data"], int(given["axis"])
    sides = [1] * steps.ndim
    sides[axis] = -1
    scale, zero = (
        np.asarray(given[key]).reshape(sides if np.size(given[key]) > 1 else 1)
        for key in ("scale", "zero_point")
    )
    return _constant(steps, scale, zero, axis, name)


def _blockwise(saved: SavedModel, operation: Any, name: str) -> Constant | None:
    """From iOS 18 on: a scale for each block, of which there may be several on one axis only."""
    values = {key: one.arguments[0] for key, one in operation.inputs.items() if one.arguments}
    if any(one.WhichOneof("binding") == "name" for one in values.values()):
        return None
    if values["data"].value.type.tensorType.dataType not in _EIGHT_BITS:
        return None
    given = {key: value_of(saved, one.value, name) for key, one in values.items()}
    steps, scale = given["data"], given["scale"]
    several = [axis for axis, count in enumerate(scale.shape) if count > 1]
    fits = all(scale.shape[axis] == steps.shape[axis] for axis in several)
    if len(several) > 1 or scale.ndim != steps.ndim or not fits:
        return None
    alone = [axis for axis, count in enumerate(steps.shape) if count == 1]
    axis = (several or alone or [0])[0]
    return _constant(steps, scale, given.get("offset", np.int8(0)), axis, name)


def _constant(steps: Array, scale: Array, zero: Array, axis: int, name: str) -> Constant:
    whole = steps.astype(np.int32) - np.asarray(zero).astype(np.int32)
    array = (whole.astype(np.float32) * scale.astype(np.float32)).astype(scale.dtype)
    return Constant(array, name, whole, scale, axis)
