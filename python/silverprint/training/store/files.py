"""Immutable files of a session: durable before anything refers to them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silverprint.errors import CorruptSessionError
from silverprint.features.disk import explained, make_folder, sync_folder

REMEDY = "bring it back from a copy; what else the session holds is not lost"


@dataclass(frozen=True)
class FileReference:
    """A file that a record refers to.

    Attributes:
        name: relative to the session's folder, with ``/``.
        size: in bytes.
        sha256: of its bytes, in hexadecimal.
    """

    name: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256}


def write_file(folder: Path, name: str, data: bytes) -> FileReference:
    """Write a new file and force it and its folder to disk.

    A file of that name is one that no record refers to, left by a process that was killed.

    Raises:
        OSError: the disk is full, or fails.
    """
    path = folder / name
    make_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    with explained(path):
        handle = os.open(path, flags, 0o600)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    sync_folder(path.parent)
    return FileReference(name, len(data), hashlib.sha256(data).hexdigest())


def read_file(folder: Path, reference: FileReference) -> bytes:
    """The bytes of a file, checked.

    Raises:
        CorruptSessionError: it is missing, or not what was recorded.
        OSError: it cannot be read.
    """
    path = folder / reference.name
    try:
        with explained(path):
            data = path.read_bytes()
    except FileNotFoundError as error:
        raise CorruptSessionError(path, "is missing", REMEDY) from error
    if len(data) != reference.size:
        what = f"has {len(data)} bytes, not the {reference.size} that were recorded"
        raise CorruptSessionError(path, what, REMEDY)
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        raise CorruptSessionError(path, "is damaged", REMEDY)
    return data


def sync_file(path: Path) -> None:
    """Force what was written to a file, and its name, to disk.

    Raises:
        OSError: the disk fails.
    """
    with explained(path):
        handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    sync_folder(path.parent)
