"""Small documents in one SQLite file, each with its own checksum.

SQLite keeps its promises with a rollback journal on shared disks, too, and with several writers.
A checksum over key and body, checked whenever documents are read, finds what it cannot: a flipped
bit inside a value.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from silverprint.errors import CorruptSessionError
from silverprint.features.disk import REMEDY as DISK_REMEDY

_BUSY = 30.0
"""Seconds to wait for another process's transaction."""

_OUTSIDE = tuple(
    f"SQLITE_{name}"
    for name in ("IOERR", "FULL", "CANTOPEN", "READONLY", "BUSY", "LOCKED", "PERM", "NOMEM", "AUTH")
)
"""Errors of SQLite whose cause is not the file's content."""

_SCHEMA = """
CREATE TABLE document (
    run INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (run, kind, name)
)
""".strip()

REMEDY = (
    "bring it back from a copy, or use another folder and train again: pictures that were "
    "extracted are in the cache, and files in models/ are whole classifiers"
)


class Key(NamedTuple):
    """Names a document: of which run (0: of the session), what, and which of several."""

    run: int
    kind: str
    name: str = ""


class Documents:
    """The documents of a session folder; each call opens and closes the file.

    Any number of threads and processes may use one file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether there is a file with the table, so that `read` finds something.

        Raises:
            CorruptSessionError: the file is damaged.
            OSError: it cannot be read.
        """
        if not self.path.is_file():
            return False
        with self._connection() as connection:
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return bool(tables[0])

    def read(self) -> dict[Key, bytes]:
        """All documents, as of one moment.

        Raises:
            CorruptSessionError: the file is damaged.
            OSError: it cannot be read.
        """
        with self._connection() as connection:
            connection.execute("BEGIN")
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise CorruptSessionError(self.path, f"is damaged ({verdict})", REMEDY)
            # One flipped bit there, and what is written from now on is stored as something else.
            schema = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'table'")
            if schema.fetchall() != [(_SCHEMA,)]:
                raise CorruptSessionError(self.path, "has a damaged table", REMEDY)
            return _Transaction(self.path, connection).read()

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """What is put and deleted inside becomes durable at the end, all or nothing.

        Raises:
            CorruptSessionError: the file is damaged.
            OSError: it cannot be written; nothing has changed.
        """
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(self.path, connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None)
            ) as connection:
                # EXTRA: the journal's end is on disk, too, before a commit counts.
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("PRAGMA trusted_schema = OFF")
                yield connection
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(_OUTSIDE):
                raise OSError(f"{self.path}: {error}; {DISK_REMEDY}") from error
            raise CorruptSessionError(self.path, f"is damaged ({error})", REMEDY) from error
        except UnicodeDecodeError as error:  # SQLite's message quotes what is damaged
            raise CorruptSessionError(self.path, "is damaged", REMEDY) from error


class _Transaction:
    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def create(self) -> None:
        """Make the table, unless it is there. A file that was cut off while new is begun anew."""
        if not self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            self._connection.execute(_SCHEMA)

    def read(self) -> dict[Key, bytes]:
        rows = self._connection.execute("SELECT run, kind, name, body, checksum FROM document")
        return dict(self._checked(*row) for row in rows)

    def get(self, key: Key) -> bytes | None:
        """One document, or None."""
        row = self._connection.execute(
            "SELECT run, kind, name, body, checksum FROM document"
            " WHERE run = ? AND kind = ? AND name = ?",
            key,
        ).fetchone()
        return None if row is None else self._checked(*row)[1]

    def put(self, key: Key, body: bytes) -> None:
        """Set a document."""
        self._connection.execute(
            "INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?, ?)",
            (*key, body, _checksum(key, body)),
        )

    def delete(self, key: Key) -> None:
        """Remove a document, if it is there."""
        self._connection.execute(
            "DELETE FROM document WHERE run = ? AND kind = ? AND name = ?", key
        )

    def _checked(
        self, run: object, kind: object, name: object, body: object, checksum: object
    ) -> tuple[Key, bytes]:
        good = isinstance(run, int) and isinstance(kind, str) and isinstance(name, str)
        if good and isinstance(body, bytes):
            key = Key(run, kind, name)  # type: ignore[arg-type]
            if _checksum(key, body) == checksum:
                return key, body
        raise CorruptSessionError(
            self._path, f"holds a damaged record ({kind!r} of run {run!r})", REMEDY
        )


def _checksum(key: Key, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32("\0".join(map(str, key)).encode()))
