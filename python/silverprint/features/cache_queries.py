"""What is asked of the records of the feature cache, and what is put there."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from silverprint.features.kind import FeatureKind

_MOST_FILES = 1_000_000
"""Files whose digests are remembered; those recorded first go first."""


_AT_ONCE = 500
"""Values in one query; SQLite may allow no more than 999."""


def chunks(values: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The different values, as many at a time as `find` and `digests` take."""
    different = list(dict.fromkeys(values))
    for start in range(0, len(different), _AT_ONCE):
        yield different[start : start + _AT_ONCE]


class Row(NamedTuple):
    """Where one row stands, and CRC-32 of what it is of and of its bytes."""

    series: int
    shard: int
    offset: int
    checksum: int


class Entry(NamedTuple):
    """A picture and its row for each view."""

    digest: bytes
    rows: tuple[Row, ...]


def seeds(kind: FeatureKind, views: Sequence[str]) -> list[int]:
    """What the checksums of the rows of each view begin with."""
    return [zlib.crc32(f"{kind.key} {view}".encode()) for view in views]


def checksums(seeds: Sequence[int], digest: bytes, rows: npt.NDArray[np.float32]) -> list[int]:
    """CRC-32 of each of a picture's rows (views, d).

    Kind, view and digest are part of it, so that a row found under a damaged record is not taken.
    """
    return [
        zlib.crc32(row.data, zlib.crc32(digest, seed))
        for seed, row in zip(seeds, rows, strict=True)
    ]


def knows(db: sqlite3.Connection, kind: FeatureKind) -> bool:
    """Whether there are series of rows of that kind."""
    found = db.execute("SELECT EXISTS (SELECT 1 FROM series WHERE kind = ?)", (kind.key,))
    return bool(found.fetchone()[0])


def find(
    db: sqlite3.Connection, kind: FeatureKind, views: Sequence[str], digests: Sequence[bytes]
) -> list[Entry]:
    """The pictures that have a row for each view, in the order in which they lie on disk."""
    by_view: list[dict[bytes, Row]] = []
    left = list(digests)
    for view in views:
        if left:
            by_view.append(_places(db, kind, view, left))
            left = [digest for digest in left if digest in by_view[-1]]
    entries = [Entry(digest, tuple(rows[digest] for rows in by_view)) for digest in left]
    return sorted(entries, key=lambda entry: entry.rows[0][1:3])


def add(
    db: sqlite3.Connection,
    kind: FeatureKind,
    views: Sequence[str],
    digests: Sequence[bytes],
    rows: npt.NDArray[np.float32],
    shard: int,
) -> None:
    """Record the rows (m, views, d) that were written to `shard`."""
    known = _series(db, kind)
    db.executemany(
        "INSERT INTO series (kind, view, record) VALUES (?, ?, ?)",
        [(kind.key, view, kind.record) for view in views if view not in known],
    )
    known = _series(db, kind)
    series = [known.get(view, 0) for view in views]
    starts = seeds(kind, views)
    offsets = iter(range(0, rows.nbytes, rows.itemsize * kind.dimension))
    written = {
        digest: tuple(
            Row(number, shard, next(offsets), checksum)
            for number, checksum in zip(series, checksums(starts, digest, own), strict=True)
        )
        for digest, own in zip(digests, rows, strict=True)
    }
    db.execute("INSERT INTO shard VALUES (?, ?)", (shard, rows.nbytes))
    db.executemany(
        "INSERT OR REPLACE INTO feature (digest, series, shard, offset, checksum)"
        " VALUES (?, ?, ?, ?, ?)",
        [(digest, *row) for digest, of_views in written.items() for row in of_views],
    )
    # A flipped bit can leave a tree that SQLite reads without complaint and gets lost in.
    found = {
        entry.digest: entry.rows
        for chunk in chunks(digests)
        for entry in find(db, kind, views, chunk)
    }
    if found != written:
        raise sqlite3.DatabaseError("what was just written is not found")


def forget(
    db: sqlite3.Connection, rows: Iterable[tuple[int, bytes, int]], shards: Iterable[int]
) -> None:
    """Remove records: of rows (series, digest, shard), and of all rows of some shards."""
    db.executemany("DELETE FROM feature WHERE series = ? AND digest = ? AND shard = ?", rows)
    numbers = [(number,) for number in shards]
    if numbers:
        db.executemany("DELETE FROM shard WHERE id = ?", numbers)
        db.execute("DELETE FROM feature WHERE shard NOT IN (SELECT id FROM shard)")


def shard_sizes(db: sqlite3.Connection) -> dict[int, int]:
    """Bytes of each shard."""
    # Damaged records may hold values of any type.
    return dict(db.execute("SELECT id, size FROM shard WHERE typeof(size) = 'integer'"))


def digests(db: sqlite3.Connection, stamps: Sequence[bytes]) -> dict[bytes, bytes]:
    """The digests of the files that have these stamps, by stamp."""
    found = db.execute(
        f"SELECT stamp, digest, checksum FROM file WHERE stamp IN ({_marks(stamps)})"
        " AND typeof(stamp) = 'blob' AND typeof(digest) = 'blob'",
        stamps,
    )
    return {stamp: digest for stamp, digest, sum_ in found if sum_ == _file_checksum(stamp, digest)}


def remember(db: sqlite3.Connection, files: Sequence[tuple[bytes, bytes]]) -> None:
    """Record (stamp, digest) of files."""
    db.executemany(
        "INSERT OR REPLACE INTO file (stamp, digest, checksum) VALUES (?, ?, ?)",
        [(stamp, digest, _file_checksum(stamp, digest)) for stamp, digest in files],
    )
    # What is recorded or replaced gets a number above all others.
    db.execute("DELETE FROM file WHERE id <= (SELECT max(id) FROM file) - ?", (_MOST_FILES,))


def summary(db: sqlite3.Connection) -> dict[str, Any]:
    """``size``, ``pictures`` and ``kinds``, see `FeatureCache.info`."""
    rows = db.execute(
        "SELECT kind, record, count(*) FROM series JOIN feature ON feature.series = series.id"
        " WHERE view = '' AND typeof(record) = 'text' GROUP BY series.id ORDER BY series.id"
    )
    (pictures,) = db.execute("SELECT count(DISTINCT digest) FROM feature").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page,) = db.execute("PRAGMA page_size").fetchone()
    return {
        "size": sum(shard_sizes(db).values()) + pages * page,
        "pictures": pictures,
        "kinds": [
            json.loads(record) | {"pictures": count}
            for kind, record, count in rows
            if hashlib.sha256(record.encode()).hexdigest() == kind
        ],
    }


def clear(db: sqlite3.Connection) -> None:
    """Remove all records."""
    for table in ("feature", "series", "shard", "file"):
        db.execute(f"DELETE FROM {table}")


def _series(db: sqlite3.Connection, kind: FeatureKind) -> Mapping[str, int]:
    """The numbers under which rows of `kind` are recorded, by view."""
    return dict(db.execute("SELECT view, id FROM series WHERE kind = ?", (kind.key,)))


def _places(
    db: sqlite3.Connection, kind: FeatureKind, view: str, digests: Sequence[bytes]
) -> dict[bytes, Row]:
    # Damaged records may hold values of any type.
    found = db.execute(
        "SELECT digest, series, shard, offset, checksum FROM feature"
        " WHERE series = (SELECT id FROM series WHERE kind = ? AND view = ?)"
        f" AND digest IN ({_marks(digests)})"
        " AND typeof(shard) = 'integer' AND typeof(offset) = 'integer'",
        (kind.key, view, *digests),
    )
    return {digest: Row(*row) for digest, *row in found}


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _file_checksum(stamp: bytes, digest: bytes) -> int:
    return zlib.crc32(stamp + digest)
