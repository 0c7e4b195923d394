"""Reads a saved model package back: the manifest, the description, the weights.

Shares no code with the translator. Formats: ``Model.proto`` and ``MIL.proto`` of coremltools,
``weight.bin`` as in its ``StorageFormat.hpp``.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.atomic import MANIFEST

WEIGHTS = "weights/weight.bin"

_SENTINEL = 0xDEADBEEF
_DTYPES = {1: "<f2", 2: "<f4", 3: "u1", 4: "i1", 6: "<i2", 7: "<u2", 14: "<i4", 15: "<u4"}
_FLOAT16 = 10  # MIL_pb2.DataType


@dataclass(frozen=True)
class SavedPackage:
    """`spec` is the Model protobuf of the package, `weights` the bytes of its weight.bin."""

    spec: Any
    weights: bytes


def read_package(folder: Path) -> SavedPackage:
    """Read what is on disk. Raises ExportError where manifest, model or weights are damaged."""
    from coremltools.proto import Model_pb2

    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
        model = folder / "Data" / entry["path"]
        spec = Model_pb2.Model.FromString(model.read_bytes())
        stored = model.parent / WEIGHTS
        weights = stored.read_bytes() if stored.exists() else b""
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{folder} has no readable manifest: {error}") from error
    except Exception as error:  # protobuf's DecodeError has no stable place
        raise ExportError(f"{folder} cannot be read back: {error}") from error
    return SavedPackage(spec, weights)


def read_blob(weights: bytes, offset: int) -> npt.NDArray[Any]:
    """The flat array whose metadata stands at `offset` of weight.bin.

    Raises ExportError: no blob there, an element type that is not a whole number of bytes,
    data beyond the end of the file.
    """
    if offset < 64 or offset + 64 > len(weights):
        raise ExportError(
            f"weight.bin has {len(weights)} bytes, a weight is said to be at {offset}"
        )
    sentinel, kind, size, start = struct.unpack_from("<IIQQ", weights, offset)
    if sentinel != _SENTINEL or kind not in _DTYPES:
        raise ExportError(f"weight.bin holds no weight of a known type at {offset}")
    dtype = np.dtype(_DTYPES[kind])
    if size % dtype.itemsize or start + size > len(weights):
        raise ExportError(f"the weight at {offset} goes beyond the end of weight.bin")
    return np.frombuffer(weights, dtype, count=size // dtype.itemsize, offset=start)


def main_block(spec: Any) -> Any:
    """The one block of the ML Program. Raises ExportError where there is another form."""
    functions = spec.mlProgram.functions
    if list(functions) != ["main"] or len(functions["main"].block_specializations) != 1:
        raise ExportError("the package holds no ML Program with one main function")
    main = functions["main"]
    return main.block_specializations[main.opset]


def constants(package: SavedPackage) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """(name, flat array) of every numeric constant, from weight.bin or from the model itself."""
    for operation in main_block(package.spec).operations:
        if operation.type != "const" or not operation.outputs:
            continue
        name, value = operation.outputs[0].name, operation.attributes["val"]
        if value.HasField("blobFileValue"):
            array = read_blob(package.weights, value.blobFileValue.offset)
            _check_length(name, array, value.type.tensorType)
            yield name, array
        elif value.immediateValue.HasField("tensor"):
            tensor = value.immediateValue.tensor
            kind = tensor.WhichOneof("value")
            if kind == "bytes" and value.type.tensorType.dataType == _FLOAT16:
                yield name, _float16(name, tensor.bytes.values)
            elif kind in ("floats", "ints"):
                yield name, np.asarray(getattr(tensor, kind).values)


def _float16(name: str, stored: bytes) -> npt.NDArray[Any]:
    if len(stored) % 2:
        raise ExportError(f"the constant {name!r} has half a number")
    return np.frombuffer(stored, "<f2")


def tensor_shape(tensor_type: Any) -> tuple[int, ...]:
    """The declared shape; a flexible side is 0."""
    return tuple(int(side.constant.size) for side in tensor_type.dimensions)


def _check_length(name: str, array: npt.NDArray[Any], declared: Any) -> None:
    shape = tensor_shape(declared)
    if array.size != math.prod(shape):
        raise ExportError(f"weight {name!r} has {array.size} numbers, its shape is {list(shape)}")
