"""The features of all pictures of one data source, block by block."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import InvalidDataError
from silverprint.features.blocks import FeatureBlock, Rows
from silverprint.features.matrix import FLOAT32, FeatureMatrix

ROW_RECORD = np.dtype([("position", "<i8"), ("digest", "V32"), ("checksum", "<u4")])
"""One picture that is done: its place, SHA-256, and CRC-32 of its rows."""


@dataclass(frozen=True)
class Done:
    """Pictures that were finished since the last time somebody asked.

    Attributes:
        rows: `ROW_RECORD` (m,), of those that have features.
        failures: (position, error) of those that cannot be read.
    """

    rows: npt.NDArray[np.void]
    failures: list[tuple[int, InvalidDataError]]


class FeatureSet:
    """Features of the pictures at `paths`, by position; what is missing is known at any time.

    One thread at a time may use it.

    Attributes:
        failures: the error of each position whose picture cannot be read.
        changed: positions that were extracted once more and had other bytes than before.

    Args:
        paths: n pictures.
        views: how many views of each.
        dimension: d.
        file: where the matrix lies; None: in memory.
        dtype: of the rows, `FLOAT32` or `FLOAT16`.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        views: int,
        dimension: int,
        file: Path | None = None,
        dtype: np.dtype[Any] = FLOAT32,
    ) -> None:
        self.paths = paths
        self.failures: dict[int, InvalidDataError] = {}
        self.changed: list[int] = []
        self._matrix = FeatureMatrix((len(paths), 1 + views, dimension), file, dtype)
        self._records = np.zeros(len(paths), ROW_RECORD)
        self._has = np.zeros(len(paths), np.bool_)
        self._new: list[int] = []
        self._new_failures: list[int] = []

    @property
    def done(self) -> int:
        """How many pictures are finished, unreadable ones included."""
        return int(self._has.sum()) + len(self.failures)

    @property
    def missing(self) -> list[int]:
        """The positions that are neither extracted nor known to be unreadable."""
        left = ~self._has
        left[list(self.failures)] = False
        return [int(i) for i in np.flatnonzero(left)]

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """int64 (m,), the pictures that have features, in order."""
        return np.flatnonzero(self._has)

    @property
    def records(self) -> npt.NDArray[np.void]:
        """`ROW_RECORD` (m,) of `positions`."""
        return self._records[self._has]

    @property
    def digests(self) -> list[bytes]:
        """SHA-256 of the pictures at `positions`."""
        return [bytes(value) for value in self.records["digest"]]

    def add(self, block: FeatureBlock) -> None:
        """Take a block of results.

        Raises:
            OSError: the matrix cannot be written.
        """
        positions = block.positions
        rows = np.ascontiguousarray(block.rows, self._matrix.dtype)
        self._matrix.write(positions, rows)
        found = np.zeros(len(positions), ROW_RECORD)
        found["position"] = positions
        found["digest"] = np.asarray(block.digests, "V32")
        found["checksum"] = [zlib.crc32(row.data) for row in rows]
        expected = self._records["digest"][positions]
        differs = (expected != np.zeros((), "V32")) & (expected != found["digest"])
        self.changed += positions[differs].tolist()
        self._records[positions] = found
        self._has[positions] = True
        self._new += positions.tolist()
        for position, error in block.failures:
            self.failures[position] = error
            self._new_failures.append(position)

    def take_new(self) -> Done:
        """What came since the last call, its rows forced to disk.

        Raises:
            OSError: the disk fails.
        """
        new, failed = self._new, self._new_failures
        if new:
            self._matrix.sync()
        self._new, self._new_failures = [], []
        return Done(self._records[sorted(new)], [(i, self.failures[i]) for i in failed])

    def restore(self, done: Done) -> None:
        """Take over what an earlier process finished; its rows stand in the file."""
        positions = done.rows["position"]
        self._records[positions] = done.rows
        self._has[positions] = True
        self.failures |= dict(done.failures)

    def forget(self, positions: Sequence[int]) -> None:
        """These pictures are to be extracted anew."""
        self._has[list(positions)] = False

    def damaged(self) -> list[int]:
        """The pictures whose rows are not those that were recorded."""
        matrix = self._matrix.array()
        return [
            position
            for position in self.positions.tolist()
            if zlib.crc32(matrix[position].data) != self._records["checksum"][position]
        ]

    @property
    def rows(self) -> Rows:
        """(n * (1 + views), d), of all pictures, whether they have features or not."""
        matrix = self._matrix.array()
        return matrix.reshape(-1, matrix.shape[-1])

    def known(self) -> KnownRows:
        """What is here now, to be found by digest."""
        return KnownRows(self._matrix.array(), self.records)

    def close(self) -> None:
        """Let go of the file."""
        self._matrix.close()


class KnownRows:
    """Rows of a matrix by the digest of their picture; threads may share it.

    Args:
        matrix: (pictures, 1 + views, d).
        records: `ROW_RECORD` (m,) of the rows that count.
    """

    def __init__(self, matrix: Rows, records: npt.NDArray[np.void]) -> None:
        self._matrix = matrix
        self._places = {
            bytes(digest): (int(position), int(checksum))
            for position, digest, checksum in zip(
                records["position"], records["digest"], records["checksum"], strict=True
            )
        }

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, Rows]:
        """Rows (1 + views, d) of those of `digests` that are here and whole."""
        found = {}
        for digest in digests:
            place = self._places.get(digest)
            if place is None:
                continue
            row = np.array(self._matrix[place[0]])
            if zlib.crc32(row.data) == place[1]:
                found[digest] = row
        return found
