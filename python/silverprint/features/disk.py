"""Folders and names forced to disk, and what the disk's errors say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from silverprint.errors import SilverprintError

REMEDY = "see that the disk is whole, writable and not full, then go on: what was saved is kept"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Have errors of the operating system name a file and the remedy; kind and `errno` stay."""
    try:
        yield
    except SilverprintError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        new = type(error)(f"{error.filename or path}: {reason}; {REMEDY}")
        new.errno = error.errno
        raise new from error


def make_folder(folder: Path) -> None:
    """Make a private folder, and its parents, durably, where it does not exist.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        with explained(folder):
            folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    with suppress(PermissionError):  # one may write into a folder that one may not open
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk; Windows cannot open a folder for that.

    Raises:
        OSError: the disk fails.
    """
    if os.name == "nt":
        return
    with explained(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
