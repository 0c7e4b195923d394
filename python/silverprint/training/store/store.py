"""A session on disk: who may write, what is durable, what is swept away.

docs/session-format.md describes the folder.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import silverprint._core as _core
from silverprint.errors import (
    CorruptSessionError,
    InvalidParameterError,
    SessionInUseError,
    SilverprintError,
)
from silverprint.features.disk import explained, make_folder, sync_folder
from silverprint.training.store.documents import REMEDY, Documents, Key
from silverprint.training.store.files import FileReference, write_file
from silverprint.training.store.holder import RENEWAL, Holder, at_work

_log = logging.getLogger("silverprint")

FORMAT_VERSION = 1
DATABASE = "session.sqlite"
STATUS = "status.json"
FOLDERS = ("features", "training", "checkpoints", "models")

_SESSION = Key(0, "session")
_LEASE = Key(0, "lease")


class SessionStore:
    """The folder of a session, for anybody to read; `writer` lets one job write.

    Any number of threads and processes may read.

    Raises:
        InvalidParameterError: there is no session in the folder.
        CorruptSessionError: there is a damaged one.
        SilverprintError: a newer silverprint wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._documents = Documents(folder / DATABASE)
        if not self.is_session(folder):
            raise InvalidParameterError(
                "session_directory", str(folder), "the folder of a session; this holds none"
            )
        self.read()

    @staticmethod
    def is_session(folder: Path) -> bool:
        """Whether the folder holds a session.

        Raises:
            CorruptSessionError: it holds one without its database.
        """
        database = folder / DATABASE
        if Documents(database).exists():
            return True
        if (folder / STATUS).exists() and (folder / FOLDERS[0]).exists():
            raise CorruptSessionError(database, "is missing or empty", REMEDY)
        return False

    @classmethod
    def create(cls, folder: Path) -> SessionStore:
        """A new session in a folder that does not exist, or is empty.

        Raises:
            InvalidParameterError: the folder holds something else.
            OSError: it cannot be made or written.
        """
        if folder.exists() and not folder.is_dir():
            raise InvalidParameterError("session_directory", str(folder), "a folder, not a file")
        make_folder(folder)
        with suppress(PermissionError):  # it was there, in one that may not be listed
            sync_folder(folder.parent)
        with explained(folder):
            if not {DATABASE, DATABASE + "-journal"}.issuperset(os.listdir(folder)):
                raise InvalidParameterError(
                    "session_directory", str(folder), "a new or empty folder, or one with a session"
                )
            folder.chmod(0o700)
        session = {
            "format_version": FORMAT_VERSION,
            "created": datetime.now(UTC).isoformat(),
            "silverprint": _core.build.version,
        }
        with Documents(folder / DATABASE).transaction() as documents:
            documents.create()
            if documents.get(_SESSION) is None:
                documents.put(_SESSION, encoded(session))
        return cls(folder)

    def read(self) -> dict[Key, bytes]:
        """All records, as of one moment.

        Raises:
            CorruptSessionError: the database is damaged.
            SilverprintError: a newer silverprint wrote it.
        """
        found = self._documents.read()
        if _SESSION not in found:
            raise CorruptSessionError(
                self.folder / DATABASE, "lacks the record of its format", REMEDY
            )
        version = decoded(found[_SESSION])["format_version"]
        if version > FORMAT_VERSION:
            raise SilverprintError(
                f"{self.folder}: a session of format {version}, this silverprint reads "
                f"{FORMAT_VERSION}: pip install --upgrade silverprint"
            )
        return found

    @property
    def created(self) -> datetime:
        """When the session was made."""
        return datetime.fromisoformat(decoded(self.read()[_SESSION])["created"])

    @property
    def holder(self) -> Holder | None:
        """Who works on it; None: nobody."""
        body = self.read().get(_LEASE)
        holder = None if body is None else Holder(**decoded(body))
        return holder if holder is not None and holder.is_alive else None

    @property
    def status(self) -> Mapping[str, Any]:
        """Where the job stood lately; empty where none has run, or the file is damaged."""
        try:
            found = json.loads((self.folder / STATUS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def size_on_disk(self) -> int:
        """Bytes of all files; space that a file leaves out does not count."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):
                    status = os.stat(os.path.join(folder, name))
                    total += getattr(status, "st_blocks", status.st_size // 512) * 512
        return total

    def writer(self, *, take_over: bool = False) -> SessionWriter:
        """The right to write, until it is closed.

        Args:
            take_over: take it from a holder that seems alive.

        Raises:
            SessionInUseError: another job has it.
        """
        return SessionWriter(self.folder, self._documents, take_over)


class SessionWriter:
    """The one that may write to a session; a context manager.

    Files are durable before the records that refer to them. One thread may use it; another of its
    own renews the lease.
    """

    def __init__(self, folder: Path, documents: Documents, take_over: bool) -> None:
        self.folder = folder
        self._documents = documents
        self._holder = Holder.of_this_process()
        at_work.add(self._holder.token)
        try:
            with documents.transaction() as transaction:
                body = transaction.get(_LEASE)
                other = None if body is None else Holder(**decoded(body))
                if other is not None and other.is_alive and not take_over:
                    raise SessionInUseError(folder, str(other))
                transaction.put(_LEASE, encoded(self._holder.to_json()))
        except BaseException:
            at_work.discard(self._holder.token)
            raise
        self._closed = threading.Event()
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._renew, name="silverprint-lease", daemon=True)
        self._thread.start()

    def write(self, name: str, data: bytes) -> FileReference:
        """A new file, durable; the next `commit` is to refer to it.

        Its name ends in a mark of this writer's. One that the session was taken from and that does
        not know it yet must not overwrite it, nor may a training that is done once more overwrite
        its checkpoints before the new ones are recorded.
        """
        stem, suffix = os.path.splitext(name)
        return write_file(self.folder, f"{stem}-{self._holder.token[:8]}{suffix}", data)

    def commit(
        self,
        put: Mapping[Key, bytes],
        delete: Iterable[Key] = (),
        status: Mapping[str, Any] | None = None,
    ) -> None:
        """Set and remove records, all or nothing; then `status.json` follows.

        Raises:
            SessionInUseError: somebody took the session over.
            OSError: the disk is full, or fails; nothing has changed.
        """
        self._holder = replace(self._holder, renewed=time.time())
        with self._documents.transaction() as transaction:
            self._check_lease(transaction.get(_LEASE))
            transaction.put(_LEASE, encoded(self._holder.to_json()))
            for key in delete:
                transaction.delete(key)
            for key, body in put.items():
                transaction.put(key, body)
        self._renewed = time.monotonic()
        if status is not None:
            self._write_status(status)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files that no record refers to any more; what is in use elsewhere stays."""
        for name in names:
            with suppress(OSError):
                (self.folder / name).unlink()

    def sweep(self, referred: Iterable[str]) -> None:
        """Delete the files of the session's folders that are not `referred` to."""
        known = {self.folder / name for name in referred}
        for folder in FOLDERS:
            if not (self.folder / folder).is_dir():
                continue
            for entry in (self.folder / folder).iterdir():
                if entry not in known:
                    _log.debug("%s is of no use any more", entry)
                    if entry.is_dir():
                        shutil.rmtree(entry, ignore_errors=True)
                    else:
                        with suppress(OSError):
                            entry.unlink()

    def close(self) -> None:
        """Give the right to write back."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join()
        # A lease that cannot be given back is seen to be stale.
        with suppress(OSError, SilverprintError), self._documents.transaction() as transaction:
            self._check_lease(transaction.get(_LEASE))
            transaction.delete(_LEASE)
        at_work.discard(self._holder.token)

    def __enter__(self) -> SessionWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_lease(self, body: bytes | None) -> None:
        holder = None if body is None else Holder(**decoded(body))
        if holder is None or holder.token != self._holder.token:
            who = "another job, which has ended since" if holder is None else str(holder)
            raise SessionInUseError(self.folder, who)

    def _renew(self) -> None:
        while not self._closed.wait(RENEWAL):
            if time.monotonic() - self._renewed < RENEWAL:
                continue
            # The next commit says so if there is anything to say.
            with suppress(OSError, SilverprintError), self._documents.transaction() as transaction:
                self._check_lease(transaction.get(_LEASE))
                holder = replace(self._holder, renewed=time.time())
                transaction.put(_LEASE, encoded(holder.to_json()))

    def _write_status(self, status: Mapping[str, Any]) -> None:
        """For looks from outside; losing it loses nothing, so it is not forced to disk."""
        temporary = self.folder / (STATUS + ".tmp")
        with suppress(OSError):
            temporary.write_bytes(encoded(status))
            os.replace(temporary, self.folder / STATUS)


def encoded(value: Mapping[str, Any]) -> bytes:
    """JSON, the same bytes for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def decoded(body: bytes) -> Any:
    """The value that `encoded` took."""
    return json.loads(body)
