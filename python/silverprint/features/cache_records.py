"""The records of the feature cache: one SQLite file.

It is opened anew for each transaction. Only connections to read from are kept and used again: a
picture may be looked up every millisecond. They hold no lock while they are idle.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from weakref import finalize

from silverprint.features.disk import make_folder

FORMAT = 1

_File = tuple[int, int, int]
"""Process, device and inode: which file was opened, and by whom."""

_BUSY = 60.0
"""Seconds to wait for another process's transaction."""

_OUTSIDE = re.compile("SQLITE_(IOERR|FULL|CANTOPEN|READONLY|BUSY|LOCKED|PROTOCOL|PERM|NOMEM|AUTH)")
"""Errors of SQLite whose cause is not the file's content."""

_SCHEMA = (
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        view TEXT NOT NULL,
        record TEXT NOT NULL,
        UNIQUE (kind, view)
    )""",
    """CREATE TABLE feature (
        series INTEGER NOT NULL,
        digest BLOB NOT NULL,
        shard INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (series, digest)
    ) WITHOUT ROWID""",
    "CREATE TABLE shard (id INTEGER PRIMARY KEY, size INTEGER NOT NULL)",
    """CREATE TABLE file (
        id INTEGER PRIMARY KEY,
        stamp BLOB NOT NULL UNIQUE,
        digest BLOB NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    f"PRAGMA user_version = {FORMAT}",
)


class DamagedRecordsError(Exception):
    """SQLite could not make sense of the file, which was moved out of the way."""


class Records:
    """The file at `path`; any number of threads and processes may use it.

    Each method raises:
        DamagedRecordsError: see there.
        OSError: the file cannot be read or written, or its format is of a newer silverprint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._aside = f"{path}.damaged"
        self._idle = _IdleConnections()
        finalize(self, self._idle.close)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection to read from; None where there are no records."""
        opened = self._file()
        if opened is None:
            yield None
            return
        with self._errors(opened), ExitStack() as close:
            connection = self._idle.take(opened) or self._connect("rw")
            close.callback(connection.close)
            yield connection if self._has_tables(connection) else None
            close.pop_all()
            self._idle.put(opened, connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is durable at the end, all or nothing; the file is made if needed."""
        make_folder(self.path.parent)
        with self._errors(self._file()), closing(self._connect("rwc")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if not self._has_tables(connection):
                    for statement in _SCHEMA:
                        connection.execute(statement)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def remove_damaged(self) -> None:
        """Delete what was moved out of the way.

        Raises:
            OSError: it cannot be deleted.
        """
        for name in (self._aside, f"{self._aside}-journal"):
            with suppress(FileNotFoundError):
                os.unlink(name)

    def shrink(self) -> None:
        """Give the space of deleted records back."""
        with self._errors(self._file()), closing(self._connect("rw")) as connection:
            connection.execute("VACUUM")

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.as_uri()}?mode={mode}"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        with ExitStack() as close:
            close.callback(connection.close)
            # EXTRA: the journal's end is on disk, too, before a commit counts.
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA trusted_schema = OFF")
            close.pop_all()
        return connection

    @contextmanager
    def _errors(self, opened: _File | None) -> Iterator[None]:
        """What goes wrong with the file `opened`, as the errors that are promised."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # of a message with damaged text
            if _OUTSIDE.match(getattr(error, "sqlite_errorname", "")):
                raise OSError(f"{self.path}: {error}") from error
            self._put_aside(opened)
            raise DamagedRecordsError(f"{self.path}: {error}") from error

    def _put_aside(self, opened: _File | None) -> None:
        """Move the file away, in place of one that was moved earlier."""
        if self._file() != opened:
            return  # another process has done it
        self._idle.close()
        # The journal first: it must not be played back into the file that takes this one's place.
        with suppress(FileNotFoundError):
            os.replace(f"{self.path}-journal", f"{self._aside}-journal")
        with suppress(FileNotFoundError):
            os.replace(self.path, self._aside)

    def _file(self) -> _File | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return os.getpid(), status.st_dev, status.st_ino

    def _has_tables(self, connection: sqlite3.Connection) -> bool:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == FORMAT:
            return True
        if version > FORMAT:
            raise OSError(f"{self.path}: its format {version} is of a newer silverprint than this")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            raise sqlite3.DatabaseError(f"format {version}, which never was")
        return False


class _IdleConnections:
    """Connections that nobody uses just now; threads may share it."""

    def __init__(self) -> None:
        self._kept: list[tuple[_File, sqlite3.Connection]] = []

    def take(self, file: _File) -> sqlite3.Connection | None:
        """A connection to that very file; what a parent process opened is not for its child."""
        with suppress(IndexError):
            while True:
                opened, connection = self._kept.pop()
                if opened == file:
                    return connection
                connection.close()
        return None

    def put(self, file: _File, connection: sqlite3.Connection) -> None:
        """Keep a connection for the next one who needs it."""
        self._kept.append((file, connection))

    def close(self) -> None:
        """Close all of them."""
        with suppress(IndexError):
            while True:
                self._kept.pop()[1].close()
