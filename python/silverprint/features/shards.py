"""Shards: files of feature rows that are written once and never changed."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from silverprint.features.disk import make_folder, sync_folder

ROW_DTYPE = np.dtype("<f4")

_NAME = re.compile(r"([0-9a-f]{16})\.rows")
_ABANDONED = 3600.0
"""Seconds after which a shard without a record is one whose writer was killed."""

Place = tuple[int, int]
"""Where a row stands: number of the shard, offset in bytes."""


def write_shard(folder: Path, rows: npt.NDArray[np.float32]) -> int:
    """Write a new shard, force it and its name to disk, and return its number.

    Raises:
        OSError: the disk is full, or fails; nothing is left behind.
    """
    make_folder(folder)
    # SQLite's integers have 63 bits and a sign.
    number = secrets.randbits(63)
    path = _path(folder, number)
    try:
        with open(path, "xb", buffering=0) as file:
            left = rows.data.cast("B")
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        sync_folder(folder)
    except OSError:
        remove_shards(folder, [number])
        raise
    return number


def read_rows(folder: Path, places: Sequence[Place], rows: npt.NDArray[np.float32]) -> set[int]:
    """Fill `rows` (n, d) with what stands at the n `places`; returns the shards that are gone.

    What cannot be read leaves `rows` as they are: they are to be checked. Rows that follow each
    other on disk are read at once.
    """
    target = rows.data.cast("B")
    size = rows.shape[1] * ROW_DTYPE.itemsize
    gone = set()
    for shard, group in groupby(range(len(places)), key=lambda i: places[i][0]):
        try:
            with open(_path(folder, shard), "rb", buffering=0) as file:
                for first, last in _runs([(i, places[i][1]) for i in group], size):
                    file.seek(places[first][1])
                    file.readinto(target[first * size : last * size])
        except FileNotFoundError:
            gone.add(shard)
        except OSError:
            pass
    return gone


def _runs(offsets: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """(first, end) of numbers whose offsets follow each other."""
    first, expected = offsets[0]
    for i, offset in offsets:
        if offset != expected:
            yield first, i
            first = i
        expected = offset + size
    yield first, offsets[-1][0] + 1


def touch_shards(folder: Path, numbers: Iterable[int]) -> None:
    """Note that the shards are of use: those that were not for the longest time go first."""
    for number in numbers:
        with suppress(OSError):
            os.utime(_path(folder, number))


def last_use(folder: Path, number: int) -> float:
    """When a shard was written or touched, in seconds since 1970; 0 if it is gone."""
    try:
        return _path(folder, number).stat().st_mtime
    except OSError:
        return 0.0


def remove_shards(folder: Path, numbers: Iterable[int]) -> None:
    """Delete shards; one that cannot be deleted is found again by `abandoned_shards`."""
    for number in numbers:
        with suppress(OSError):
            _path(folder, number).unlink()


def shards_in(folder: Path) -> list[int]:
    """The numbers of all shards in a folder."""
    try:
        names = [_NAME.fullmatch(name) for name in os.listdir(folder)]
    except OSError:
        return []
    return [int(name[1], 16) for name in names if name]


def abandoned_shards(folder: Path, recorded: set[int]) -> list[int]:
    """The shards that have no record and that nobody can be writing any more."""
    oldest = time.time() - _ABANDONED
    others = set(shards_in(folder)) - recorded
    return sorted(number for number in others if last_use(folder, number) < oldest)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:016x}.rows"
