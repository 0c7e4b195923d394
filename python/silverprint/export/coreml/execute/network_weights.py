"""The weights of a NeuralNetwork: float32, float16, or up to 8 bits with a scale or a table.

After ``WeightParams``, ``QuantizationParams`` and what belongs to them in NeuralNetwork.proto.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError

Array = npt.NDArray[Any]

_MOST_BITS = 8


def weights(params: Any, shape: Sequence[int], *, axis: int = 0) -> Array:
    """The numbers of a ``WeightParams`` as float32 of `shape`.

    `axis` is that of the output channels, which a quantised weight may scale one by one.

    Raises ExportError: not as many numbers as `shape` needs, more than one form, none.
    """
    size = tuple(int(side) for side in shape)
    forms = [form for form in ("floatValue", "float16Value", "rawValue") if getattr(params, form)]
    if len(forms) != 1:
        raise ExportError(f"its weights stand in {' and '.join(forms) or 'no field'}")
    if forms == ["floatValue"]:
        flat = np.array(params.floatValue, np.float32)
    elif forms == ["float16Value"]:
        flat = np.frombuffer(_whole(params.float16Value, 2), "<f2").astype(np.float32)
    else:
        return _dequantised(params, size, axis)
    return _shaped(flat, size)


def _whole(stored: bytes, each: int) -> bytes:
    if len(stored) % each:
        raise ExportError(f"its weights take {len(stored)} bytes, {each} for a number")
    return stored


def _shaped(flat: Array, shape: tuple[int, ...]) -> Array:
    if flat.size != math.prod(shape):
        raise ExportError(f"it has {flat.size} weights for the shape {list(shape)}")
    return flat.reshape(shape)


def _dequantised(params: Any, shape: tuple[int, ...], axis: int) -> Array:
    quantization = params.quantization
    levels = _levels(params.rawValue, int(quantization.numberOfBits), shape)
    kind = quantization.WhichOneof("QuantizationType")
    if kind == "lookupTableQuantization":
        table = np.array(quantization.lookupTableQuantization.floatValue, np.float32)
        if table.size != 1 << quantization.numberOfBits:
            raise ExportError(f"its table of weights has {table.size} entries")
        return table[levels]
    if kind != "linearQuantization":
        raise ExportError("its quantised weights have neither a scale nor a table")
    linear = quantization.linearQuantization
    scale, bias = (np.array(one, np.float32) for one in (linear.scale, linear.bias))
    channels = shape[axis] if shape else 1
    if scale.size not in (1, channels) or bias.size not in (0, scale.size):
        raise ExportError(
            f"its {channels} channels of weights have {scale.size} scales and {bias.size} biases"
        )
    along = [1] * len(shape)
    if shape:
        along[axis] = scale.size
    result = levels * scale.reshape(along)
    return result + bias.reshape(along) if bias.size else result


def _levels(stored: bytes, bits: int, shape: tuple[int, ...]) -> Array:
    """Unsigned numbers, packed from the most significant bit of each byte downwards."""
    if not 1 <= bits <= _MOST_BITS:
        raise ExportError(f"its weights have {bits} bits")
    count = math.prod(shape)
    if len(stored) != -(-count * bits // 8):
        raise ExportError(f"its weights take {len(stored)} bytes for {count} times {bits} bits")
    packed = np.unpackbits(np.frombuffer(stored, np.uint8))[: count * bits]
    each = np.zeros((count, _MOST_BITS), np.uint8)
    each[:, _MOST_BITS - bits :] = packed.reshape(count, bits)
    return np.packbits(each, axis=1).reshape(shape)
