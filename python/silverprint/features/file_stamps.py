"""Telling without reading it whether a file is still the one that was read."""

from __future__ import annotations

import hashlib
import os

_SETTLED = 2_000_000_000
"""Nanoseconds: the coarsest time stamps in use are FAT's, of two seconds."""


def status_of(path: str | os.PathLike[str]) -> os.stat_result | None:
    """What the system says of a file; None where there is none."""
    try:
        return os.stat(path)
    except (OSError, ValueError):  # a zero byte in the name is a ValueError
        return None


def stamp_of(path: str | os.PathLike[str], status: os.stat_result) -> bytes:
    """16 bytes that are others once the file has moved or changed.

    From its absolute path, size, times of change, inode and device.
    """
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    text = f"{status.st_size} {times} {status.st_ino} {status.st_dev} "
    return hashlib.sha256(text.encode() + os.fsencode(os.path.abspath(path))).digest()[:16]


def is_settled(status: os.stat_result, read: int) -> bool:
    """Whether a file that was read at `read` (nanoseconds since 1970) or later had rested before.

    One changed just before may change once more and keep its coarse time stamps.
    """
    return max(status.st_mtime_ns, status.st_ctime_ns) <= read - _SETTLED
