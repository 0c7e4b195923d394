"""A feature matrix that is filled in any order, in memory or in a file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import CorruptSessionError
from silverprint.features.blocks import Rows
from silverprint.features.disk import explained, sync_folder

FLOAT32 = np.dtype("<f4")
FLOAT16 = np.dtype("<f2")


class FeatureMatrix:
    """(pictures, 1 + views, d): a row for each picture and each of its views.

    In a file it is written with ordinary writes, so that a full disk is an error and not a signal,
    and read through a memory map. One thread at a time may use it.

    Args:
        shape: (pictures, 1 + views, d).
        file: where it lies; None: in memory. One that is there is gone on with; what it lacks
            holds anything.
        dtype: of its numbers, `FLOAT32` or `FLOAT16`.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        file: Path | None = None,
        dtype: np.dtype[Any] = FLOAT32,
    ) -> None:
        self.shape = shape
        self.file = file
        self.dtype = dtype
        self._row_bytes = shape[1] * shape[2] * dtype.itemsize
        self._handle = -1
        self._memory: Rows | None = None
        if file is None:
            self._memory = np.empty(shape, dtype)
            return
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        with explained(file):
            self._handle = os.open(file, flags, 0o600)
            try:
                if os.fstat(self._handle).st_size != shape[0] * self._row_bytes:
                    os.ftruncate(self._handle, shape[0] * self._row_bytes)
                sync_folder(file.parent)
            except BaseException:
                self.close()
                raise

    def write(self, positions: npt.NDArray[np.int64], rows: Rows) -> None:
        """Set the rows (m, 1 + views, d) of the pictures at `positions` (m,).

        Raises:
            OSError: the disk is full, or fails.
        """
        if self._memory is not None:
            self._memory[positions] = rows
            return
        assert self.file is not None
        if not len(positions):
            return
        rows = np.ascontiguousarray(rows, self.dtype)
        gaps = np.flatnonzero(np.diff(positions) != 1) + 1
        for start, end in itertools.pairwise([0, *gaps.tolist(), len(positions)]):
            data = rows[start:end].reshape(-1).view(np.uint8).data
            offset = int(positions[start]) * self._row_bytes
            with explained(self.file):
                os.lseek(self._handle, offset, os.SEEK_SET)
                while data:
                    data = data[os.write(self._handle, data) :]

    def sync(self) -> None:
        """Force what was written to disk.

        Raises:
            OSError: the disk fails.
        """
        if self.file is not None:
            with explained(self.file):
                os.fsync(self._handle)

    def array(self) -> Rows:
        """All of it, (pictures, 1 + views, d); rows never written hold anything.

        Raises:
            CorruptSessionError: the file was cut short meanwhile.
            OSError: it cannot be read.
        """
        if self._memory is not None:
            return self._memory
        assert self.file is not None
        if os.fstat(self._handle).st_size != self.shape[0] * self._row_bytes:
            raise CorruptSessionError(
                self.file, "was cut short", "start again: the rest is extracted anew"
            )
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        with explained(self.file):
            return np.asarray(np.memmap(self.file, self.dtype, "r", shape=self.shape))

    def close(self) -> None:
        """Let go of the file; arrays that were given out stay."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with suppress(OSError):  # what counts was forced to disk before
                os.close(handle)


def map_matrix(file: Path, shape: Sequence[int], dtype: np.dtype[Any] = FLOAT32) -> Rows | None:
    """A matrix on disk, read only; None where its file is missing or has another size.

    Raises:
        OSError: it cannot be read.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    if not size or not file.is_file() or file.stat().st_size != size:
        return None
    with explained(file):
        return np.asarray(np.memmap(file, dtype, "r", shape=tuple(shape)))
