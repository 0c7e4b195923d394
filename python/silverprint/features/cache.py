"""The feature cache: rows of features by what they are of, kept from one training to the next.

docs/cache-format.md describes the folder.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from silverprint.features import cache_queries as queries
from silverprint.features.cache_place import DEFAULT_MAX_BYTES, cache_folder, cache_limit
from silverprint.features.cache_records import DamagedRecordsError, Records
from silverprint.features.file_stamps import is_settled, stamp_of, status_of
from silverprint.features.kind import FeatureKind
from silverprint.features.shards import (
    ROW_DTYPE,
    abandoned_shards,
    last_use,
    read_rows,
    remove_shards,
    shards_in,
    touch_shards,
    write_shard,
)

_log = logging.getLogger("silverprint")

Rows = Mapping[bytes, npt.NDArray[np.float32]]
Value = TypeVar("Value")

_KEPT = 0.9
"""The part of the limit that is left after rows had to go, so that they need not go every time."""

_ELSEWHERE = "(SILVERPRINT_CACHE=PATH names another folder, SILVERPRINT_CACHE=off none)"
_NOT_READ = f"the feature cache cannot be read: %s; going on without it {_ELSEWHERE}"
_NOT_WRITTEN = f"the feature cache cannot be written: %s; what is new is not kept {_ELSEWHERE}"
_DAMAGED = "the feature cache was damaged and is begun anew: %s"


class FeatureCache:
    """A folder of feature rows; any number of threads and processes may use it at once.

    It never stands in the way: what is damaged or missing counts as not there, and a folder that
    cannot be read or written is left alone after a warning.

    Args:
        folder: made when there is something to put in, readable by its owner only.
        max_bytes: when the rows take more, those that were not used for the longest time go.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = Path(folder).absolute()
        self.max_bytes = max_bytes
        self._records = Records(self.folder / "records.sqlite")
        self._shards = self.folder / "rows"
        self._made = time_ns()
        self._warnings: set[str] = set()
        self._lock = threading.Lock()
        self._swept = False

    @classmethod
    def default(cls) -> FeatureCache | None:
        """The user's cache; None if there is to be none. See `cache_place`.

        Raises:
            InvalidParameterError: ``SILVERPRINT_CACHE_SIZE`` is no size.
        """
        folder = cache_folder()
        return None if folder is None else cls(folder, cache_limit())

    def knows(self, kind: FeatureKind) -> bool:
        """Whether there ever were rows of that kind."""
        return bool(self._read(partial(queries.knows, kind=kind)))

    def find(self, kind: FeatureKind, views: Sequence[str], digests: Sequence[bytes]) -> Rows:
        """The rows of those pictures of which all `views` are there.

        Args:
            kind: what the rows are of.
            views: their names, see `view_names`.
            digests: SHA-256 of each picture's bytes.

        Returns:
            By digest, float32 (views, d).
        """
        found: dict[bytes, npt.NDArray[np.float32]] = {}
        for chunk in queries.chunks(digests):
            query = partial(queries.find, kind=kind, views=views, digests=chunk)
            if entries := self._read(query):
                found |= self._rows(kind, views, entries)
        return found

    def _rows(
        self, kind: FeatureKind, views: Sequence[str], entries: Sequence[queries.Entry]
    ) -> Rows:
        """The rows of `entries` that are whole; the others are forgotten."""
        rows = np.zeros((len(entries), len(views), kind.dimension), ROW_DTYPE)
        places = [(row.shard, row.offset) for entry in entries for row in entry.rows]
        gone = read_rows(self._shards, places, rows.reshape(-1, kind.dimension))
        found, damaged, seeds = {}, [], queries.seeds(kind, views)
        for entry, own in zip(entries, rows, strict=True):
            sums = queries.checksums(seeds, entry.digest, own)
            wrong = [row for row, s in zip(entry.rows, sums, strict=True) if row.checksum != s]
            if wrong:
                damaged += [(row.series, entry.digest, row.shard) for row in wrong]
            else:
                found[entry.digest] = own
        touch_shards(self._shards, {shard for shard, _ in places} - gone)
        if damaged or gone:
            self._write(lambda db: queries.forget(db, damaged, gone))
        return found

    def add(
        self,
        kind: FeatureKind,
        views: Sequence[str],
        digests: Sequence[bytes],
        rows: npt.NDArray[np.float32],
    ) -> None:
        """Keep the rows float32 (m, views, d) of m pictures; they are on disk afterwards."""
        if not digests or not self._sweep():
            return
        rows = np.ascontiguousarray(rows, ROW_DTYPE)
        try:
            shard = write_shard(self._shards, rows)
        except OSError as error:
            self._warn(_NOT_WRITTEN, error)
            return
        gone: list[int] = []

        def change(db: sqlite3.Connection) -> None:
            queries.add(db, kind, views, digests, rows, shard)
            gone.extend(self._too_many(db))
            queries.forget(db, [], gone)

        remove_shards(self._shards, gone if self._write(change) else [shard])

    def _sweep(self) -> bool:
        """Once, remove what killed processes left; whether rows can be put in."""
        recorded: set[int] = set()
        if not self._swept and self._write(lambda db: recorded.update(queries.shard_sizes(db))):
            remove_shards(self._shards, abandoned_shards(self._shards, recorded))
            self._swept = True
        return not {_NOT_READ, _NOT_WRITTEN} & self._warnings

    def _too_many(self, db: sqlite3.Connection) -> list[int]:
        """The shards to be given up for the limit, the one not used for the longest time first."""
        sizes = queries.shard_sizes(db)
        total = sum(sizes.values())
        if total <= self.max_bytes:
            return []
        chosen = []
        for number in sorted(sizes, key=lambda n: (last_use(self._shards, n), n)):
            if total <= _KEPT * self.max_bytes:
                break
            chosen.append(number)
            total -= sizes[number]
        return chosen

    def remembered(self, paths: Sequence[str | os.PathLike[str]]) -> list[bytes | None]:
        """The SHA-256 of each file that is as it was when it was remembered, else None."""
        return [digest for digest, _ in self.recall(paths)]

    def recall(
        self, paths: Sequence[str | os.PathLike[str]]
    ) -> list[tuple[bytes | None, os.stat_result | None]]:
        """The same, with the status by which each file was recognised."""
        files = [status_of(path) for path in paths]
        stamps = [
            b"" if status is None else stamp_of(path, status)
            for path, status in zip(paths, files, strict=True)
        ]
        known: dict[bytes, bytes] = {}
        for chunk in queries.chunks(stamps):
            known |= self._read(partial(queries.digests, stamps=chunk)) or {}
        return [(known.get(stamp), status) for stamp, status in zip(stamps, files, strict=True)]

    def remember(
        self, files: Sequence[tuple[str | os.PathLike[str], os.stat_result, bytes]]
    ) -> None:
        """Remember the SHA-256 of files: (path, status before it was read, digest).

        They were read since this object was made. Files that were changed less than two seconds
        before that are left out: they may have changed again without a sign, for time stamps are
        coarse. They are read once more the next time.
        """
        read = min(self._made, time_ns())  # the clock may have been set back
        entries = [
            (stamp_of(path, status), digest)
            for path, status, digest in files
            if is_settled(status, read)
        ]
        if entries:
            self._write(lambda db: queries.remember(db, entries))

    def info(self) -> dict[str, Any]:
        """What is in it, as JSON values.

        ``folder``; ``size`` and ``limit`` in bytes; ``pictures``; ``kinds``, of each its record
        (see `FeatureKind`) and its ``pictures``.
        """
        content = self._read(queries.summary) or {"size": 0, "pictures": 0, "kinds": []}
        return {"folder": str(self.folder), "limit": self.max_bytes, **content}

    def clear(self) -> None:
        """Remove everything.

        Raises:
            OSError: it cannot be removed, or is of a newer silverprint.
        """
        try:
            if self._records.path.exists():
                with self._records.writing() as db:
                    queries.clear(db)
                self._records.shrink()
        except DamagedRecordsError:
            pass  # moved out of the way
        remove_shards(self._shards, shards_in(self._shards))
        self._records.remove_damaged()

    def _read(self, query: Callable[[sqlite3.Connection], Value]) -> Value | None:
        """What `query` gives; None if there are no records or they cannot be read."""
        if _NOT_READ in self._warnings:
            return None
        try:
            with self._records.reading() as db:
                return None if db is None else query(db)
        except DamagedRecordsError as error:
            self._warn(_DAMAGED, error)
        except OSError as error:
            self._warn(_NOT_READ, error)
        return None

    def _write(self, change: Callable[[sqlite3.Connection], None]) -> bool:
        """Whether `change` was made, durably."""
        if {_NOT_READ, _NOT_WRITTEN} & self._warnings:
            return False
        try:
            with self._records.writing() as db:
                change(db)
            return True
        except DamagedRecordsError as error:
            self._warn(_DAMAGED, error)
        except OSError as error:
            self._warn(_NOT_WRITTEN, error)
        return False

    def _warn(self, text: str, error: Exception) -> None:
        """Once of each: what was warned of is not tried again."""
        with self._lock:
            known = text in self._warnings
            self._warnings.add(text)
        if not known:
            _log.warning(text, error)
