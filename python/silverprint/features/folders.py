"""Folders whose names are on disk once they are made."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a private folder, and its parents, durably, where it does not exist.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    with suppress(PermissionError):  # one may write into a folder that one may not open
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk.

    Raises:
        OSError: the disk fails.
    """
    if os.name == "nt":  # Windows cannot open a folder for that
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
