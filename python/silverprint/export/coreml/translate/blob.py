"""``weight.bin``: the weights of an ML Program beside its description.

A header of 64 bytes (number of blobs, version 2), then one blob after another: 64 bytes that say
what it is (mark, element type, size, place of the data) and the data, both at multiples of 64.
Numbers are little endian. Layout: ``StorageFormat.hpp`` and ``BlobDataType.hpp`` of coremltools.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_DTYPES = {1: "<f2", 2: "<f4", 3: "u1", 4: "i1", 6: "<i2", 7: "<u2", 14: "<i4", 15: "<u4"}
"""NumPy's name of each element type of whole bytes, the only ones that exports need."""

_ALIGNMENT = 64
_VERSION = 2
_MARK = 0xDEADBEEF
_HEADER = struct.Struct("<II56x")
_BLOB = struct.Struct("<IIQQQ32x")


class BlobWriter:
    """Writes ``weight.bin``; stands in for coremltools' native writer, by the same methods.

    Each method takes a flat array, appends it as one blob and returns the place of the blob, which
    the description refers to. The file is complete after each call.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._count = 0
        self._end = _HEADER.size
        self._path.write_bytes(_HEADER.pack(0, _VERSION))

    def write_float_data(self, data: npt.NDArray[Any]) -> int:
        return self._append(2, data)

    def write_fp16_data(self, data: npt.NDArray[Any]) -> int:
        """`data`: float16, or its bits as uint16."""
        return self._append(1, data.view(np.float16))

    def write_int8_data(self, data: npt.NDArray[Any]) -> int:
        return self._append(4, data)

    def write_uint8_data(self, data: npt.NDArray[Any]) -> int:
        return self._append(3, data)

    def write_int16_data(self, data: npt.NDArray[Any]) -> int:
        return self._append(6, data)

    def write_uint16_data(self, data: npt.NDArray[Any]) -> int:
        return self._append(7, data)

    def write_int32_data(self, data: npt.NDArray[Any]) -> int:
        return self._append(14, data)

    def write_uint32_data(self, data: npt.NDArray[Any]) -> int:
        return self._append(15, data)

    def _append(self, kind: int, data: npt.NDArray[Any]) -> int:
        stored = np.ascontiguousarray(data, _DTYPES[kind])
        place = _aligned(self._end)
        start = _aligned(place + _BLOB.size)
        with self._path.open("r+b") as stream:
            stream.seek(self._end)
            stream.write(bytes(place - self._end))
            stream.write(_BLOB.pack(_MARK, kind, stored.nbytes, start, 0))
            stream.write(stored.data)
            stream.seek(0)
            stream.write(_HEADER.pack(self._count + 1, _VERSION))
        self._count += 1
        self._end = start + stored.nbytes
        return place


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT
