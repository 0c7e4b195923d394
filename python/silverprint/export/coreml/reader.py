"""Reads a saved model back: the manifest, the description, the program, the weights.

Shares no code with what writes it. Formats: ``Model.proto`` and ``MIL.proto`` of coremltools,
``weight.bin`` as in its ``StorageFormat.hpp`` and ``BlobDataType.hpp``.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.atomic import MANIFEST
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.protobuf import STRING

WEIGHTS = "weights/weight.bin"

_WEIGHTS_IN_PROGRAM = f"@model_path/{WEIGHTS}"
_SENTINEL = 0xDEADBEEF


class ElementType(NamedTuple):
    """Of a tensor: its name, the bits that one number takes in a file, numpy's type for it."""

    name: str
    bits: int
    dtype: np.dtype[Any]


ELEMENT_TYPES = {
    number: ElementType(name, bits, np.dtype(dtype))
    for number, name, bits, dtype in (
        (1, "bool", 8, "?"),
        (10, "float16", 16, "<f2"),
        (11, "float32", 32, "<f4"),
        (12, "float64", 64, "<f8"),
        (21, "int8", 8, "i1"),
        (22, "int16", 16, "<i2"),
        (23, "int32", 32, "<i4"),
        (24, "int64", 64, "<i8"),
        (25, "int4", 4, "i1"),
        (31, "uint8", 8, "u1"),
        (32, "uint16", 16, "<u2"),
        (33, "uint32", 32, "<u4"),
        (34, "uint64", 64, "<u8"),
        (35, "uint4", 4, "u1"),
        (36, "uint2", 2, "u1"),
        (37, "uint1", 1, "u1"),
        (38, "uint6", 6, "u1"),
        (39, "uint3", 3, "u1"),
    )
}
"""By the number of MIL.proto's DataType. Types of less than a byte are unpacked to one."""

_BLOB_TYPES = {1: 10, 2: 11, 3: 31, 4: 21, 6: 22, 7: 32, 8: 25, 9: 37}
_BLOB_TYPES |= {10: 36, 11: 35, 12: 39, 13: 38, 14: 23, 15: 33}
"""From the numbers of BlobDataType.hpp to those of DataType."""

_FIELDS = {
    "bool": "bools",
    "float32": "floats",
    "float64": "doubles",
    "int16": "ints",
    "int32": "ints",
    "int64": "longInts",
    "uint16": "ints",
    "uint64": "longInts",
}
"""Where the model itself holds numbers; all other types stand in bytes."""


@dataclass(frozen=True, eq=False)
class SavedModel:
    """What stands at `path`: the Model protobuf and the bytes of weight.bin, if it has one."""

    path: Path
    spec: Any
    weights: bytes = b""

    def __reduce__(self) -> Any:
        # coremltools' protobuf classes cannot be found again by their names.
        return _restored, (self.path, self.spec.SerializeToString(), self.weights)


def read_model(path: str | os.PathLike[str]) -> SavedModel:
    """Read an ``.mlpackage`` folder or an ``.mlmodel`` file as it is on disk.

    Raises ExportError: nothing there, a damaged manifest, model or weights, a model of several
    functions.
    """
    path = Path(path)
    model, weights = path, b""
    try:
        if path.is_dir():
            manifest = json.loads((path / MANIFEST).read_bytes())
            entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
            model = path / "Data" / entry["path"]
            stored = model.parent / WEIGHTS
            weights = stored.read_bytes() if stored.exists() else b""
        content = model.read_bytes()
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} has no readable manifest: {error}") from error
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror or error}") from error
    return SavedModel(path, _parse(path, content), weights)


def _restored(path: Path, content: bytes, weights: bytes) -> SavedModel:
    return SavedModel(path, _parse(path, content), weights)


def _parse(path: Path, content: bytes) -> Any:
    with quiet():
        try:
            from coremltools.proto import Model_pb2
        except ImportError as error:
            raise ExportError(
                f"{path} cannot be read without coremltools ({error}): pip install coremltools"
            ) from error
    try:
        spec = Model_pb2.Model.FromString(content)
    except Exception as error:  # protobuf's DecodeError has no stable place
        raise ExportError(f"{path} holds no Core ML model, or one cut short: {error}") from error
    if spec.WhichOneof("Type") is None:
        raise ExportError(f"{path} holds no Core ML model")
    _check_functions(path, spec.description)
    return spec


def _check_functions(path: Path, description: Any) -> None:
    names, default = [one.name for one in description.functions], description.defaultFunctionName
    if len(names) > 1:
        said = f"is a model of several functions ({', '.join(names)})"
    elif names:
        said = f"describes the function {names[0]!r} by itself, as a model of several functions"
    elif default:
        said = f"says that {default!r} is its default function, as a model of several functions"
    else:
        return
    raise ExportError(f"{path} {said}: save the one that you need as a model of its own")


def main_block(spec: Any) -> Any:
    """The one block of the ML Program. Raises ExportError where there is another form."""
    program, functions = spec.mlProgram, sorted(spec.mlProgram.functions)
    if spec.WhichOneof("Type") != "mlProgram":
        raise ExportError("the model holds no ML Program")
    if program.version != 1:
        raise ExportError(
            f"the program has the version {program.version}, of which only 1 is known"
        )
    if functions != ["main"]:
        raise ExportError(f"the program has the functions {functions} instead of one, 'main'")
    main = program.functions["main"]
    if list(main.block_specializations) != [main.opset]:
        raise ExportError(
            f"the program has blocks for the operator sets {sorted(main.block_specializations)} "
            f"instead of one, for its own {main.opset!r}"
        )
    return main.block_specializations[main.opset]


def constants(saved: SavedModel) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """(name, array) of every numeric constant, from weight.bin or from the model itself."""
    for operation in main_block(saved.spec).operations:
        named = operation.type == "const" and operation.outputs
        if named and "val" in operation.attributes:
            value = value_of(saved, operation.attributes["val"], operation.outputs[0].name)
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
                yield operation.outputs[0].name, value


def tensor_shape(tensor_type: Any) -> tuple[int, ...]:
    """The declared shape; a flexible side is 0."""
    return tuple(int(side.constant.size) for side in tensor_type.dimensions)


def value_of(saved: SavedModel, value: Any, name: str = "") -> Any:
    """A ``Value`` of the program: an array of its declared element type and shape.

    Numbers of less than a byte come as int8 or uint8. A text comes as str, a vector of texts
    or a list as a Python list. `name` is for the error message.

    Raises ExportError: stored and declared type, length or place do not fit.
    """
    form = value.type.WhichOneof("type")
    if value.WhichOneof("value") == "immediateValue" and form == "listType":
        return [_item(saved, one, name) for one in value.immediateValue.list.values]
    if form != "tensorType":
        raise ExportError(f"the constant {name!r} is no tensor and no list")
    declared, shape = value.type.tensorType.dataType, tensor_shape(value.type.tensorType)
    if declared == STRING:
        texts = list(value.immediateValue.tensor.strings.values)
        _check_length(name, len(texts), shape)
        return texts if shape else texts[0]
    if declared not in ELEMENT_TYPES:
        raise ExportError(f"the constant {name!r} has numbers of the unknown type {declared}")
    if value.WhichOneof("value") == "blobFileValue":
        stored = value.blobFileValue
        if stored.fileName != _WEIGHTS_IN_PROGRAM:
            raise ExportError(f"the weight {name!r} is in an unknown file, {stored.fileName!r}")
        kind, flat = _blob(saved.weights, stored.offset)
        if kind != declared:
            raise ExportError(
                f"the weight {name!r} is declared as {ELEMENT_TYPES[declared].name} and stored "
                f"as {ELEMENT_TYPES[kind].name}"
            )
    else:
        flat = _immediate(value.immediateValue.tensor, declared, math.prod(shape), name)
    _check_length(name, flat.size, shape)
    return flat.reshape(shape)


def _item(saved: SavedModel, value: Any, name: str) -> Any:
    item = value_of(saved, value, name)
    return item.item() if isinstance(item, np.ndarray) and item.ndim == 0 else item


def _check_length(name: str, found: int, shape: tuple[int, ...]) -> None:
    if found != math.prod(shape):
        raise ExportError(f"{name!r} holds {found} values, its shape is {list(shape)}")


def _immediate(tensor: Any, declared: int, count: int, name: str) -> npt.NDArray[Any]:
    """The flat array of a constant that stands in the model itself."""
    _, bits, dtype = ELEMENT_TYPES[declared]
    field = tensor.WhichOneof("value")
    if field == "bytes" and ELEMENT_TYPES[declared].name not in _FIELDS:
        stored = tensor.bytes.values
        if len(stored) != -(-count * bits // 8):
            raise ExportError(f"{name!r} holds {len(stored)} bytes for {count} numbers")
        return _unpack(stored, declared, count)
    if field is None or field != _FIELDS.get(ELEMENT_TYPES[declared].name):
        raise ExportError(f"the constant {name!r} is not stored as {ELEMENT_TYPES[declared].name}")
    listed = np.asarray(getattr(tensor, field).values)
    flat = listed.astype(dtype)
    if dtype.kind in "iu" and (flat != listed).any():
        raise ExportError(f"{name!r} has numbers beyond {ELEMENT_TYPES[declared].name}")
    return flat


def read_blob(weights: bytes, offset: int) -> npt.NDArray[Any]:
    """The flat array whose metadata stands at `offset` of weight.bin.

    Raises ExportError: no blob there, an unknown element type, data beyond the end of the file.
    """
    return _blob(weights, offset)[1]


def _blob(weights: bytes, offset: int) -> tuple[int, npt.NDArray[Any]]:
    if offset < 64 or offset + 64 > len(weights):
        raise ExportError(
            f"weight.bin has {len(weights)} bytes, a weight is said to be at {offset}"
        )
    sentinel, kind, size, start, padding = struct.unpack_from("<IIQQQ", weights, offset)
    if sentinel != _SENTINEL or kind not in _BLOB_TYPES:
        raise ExportError(f"weight.bin holds no weight of a known type at {offset}")
    bits = ELEMENT_TYPES[_BLOB_TYPES[kind]].bits
    if size * 8 < padding or (size * 8 - padding) % bits or start + size > len(weights):
        raise ExportError(f"the weight at {offset} goes beyond the end of weight.bin")
    count = (size * 8 - padding) // bits
    return _BLOB_TYPES[kind], _unpack(weights[start : start + size], _BLOB_TYPES[kind], count)


def _unpack(stored: bytes, declared: int, count: int) -> npt.NDArray[Any]:
    """`count` numbers, packed from the least significant bit of each byte upwards."""
    name, bits, dtype = ELEMENT_TYPES[declared]
    if bits >= 8:
        return np.frombuffer(stored, dtype, count)
    packed = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")
    each = packed[: count * bits].reshape(count, bits)
    numbers = np.packbits(each, axis=1, bitorder="little").reshape(count)
    if name == "int4":
        return ((numbers ^ 8).astype(np.int8) - 8).astype(np.int8)
    return numbers
