"""silverprint.h through ctypes, declared anew here: what a caller in another language writes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

OK, INVALID_ARGUMENT, CANNOT_READ, INVALID_MODEL, NEWER_FORMAT, RUNTIME, FORKED = range(7)


class Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("runtime_api", ctypes.c_void_p),
        ("runtime_path", ctypes.c_char_p),
        ("telemetry", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    ]


class PixelsStruct(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
        ("row_stride", ctypes.c_ssize_t),
        ("format", ctypes.c_int32),
    ]
    keep: object
    """What owns the memory at `data`."""


class Library:
    """The functions of the shared library at `path`, and the runtime to load models with."""

    def __init__(self, path: Path, runtime: str) -> None:
        self.c: Any = ctypes.CDLL(str(path))
        for name in ("silverprint_last_error", "silverprint_version"):
            getattr(self.c, name).restype = ctypes.c_char_p
        self.c.silverprint_free.restype = None
        self.runtime = runtime.encode()

    def options(self, **values: Any) -> Options:
        return Options(**{"size": ctypes.sizeof(Options), "runtime_path": self.runtime} | values)

    def error(self) -> str:
        return str(self.c.silverprint_last_error().decode())

    def load(self, model: bytes, options: Options | None = None) -> tuple[int, ctypes.c_void_p]:
        """Status, and the classifier, to be freed."""
        made = ctypes.c_void_p(1)
        chosen = ctypes.byref(options or self.options())
        size = ctypes.c_size_t(len(model))
        return self.c.silverprint_load_memory(model, size, chosen, ctypes.byref(made)), made

    @contextmanager
    def loaded(self, model: bytes, **options: Any) -> Iterator[ctypes.c_void_p]:
        status, classifier = self.load(model, self.options(**options))
        assert status == OK, self.error()
        yield classifier
        self.c.silverprint_free(classifier)

    def predict(
        self, classifier: ctypes.c_void_p, pixels: PixelsStruct, count: int
    ) -> tuple[int, npt.NDArray[np.float32]]:
        row = np.full(count, np.nan, np.float32)
        room = ctypes.c_void_p(row.ctypes.data)
        status = self.c.silverprint_predict(
            classifier, ctypes.byref(pixels), room, ctypes.c_size_t(count)
        )
        return status, row


def pixels_struct(pixels: npt.NDArray[np.uint8], form: int = 0, **changes: Any) -> PixelsStruct:
    """A view of an array (height, width, channels) whose rows may be strided, either way."""
    values = {
        "data": pixels.ctypes.data,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "row_stride": pixels.strides[0],
        "format": form,
    }
    made = PixelsStruct(**values | changes)
    made.keep = pixels
    return made
