"""Reading the bytes of a picture file, without ever waiting for a pipe or a device."""

from __future__ import annotations

import errno
import os
import stat

from silverprint.errors import InvalidDataError

LARGEST_FILE = 2**30
_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.ELOOP: "links in a circle",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EISDIR: "a folder, not a file",
}


def printable(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    r"""`path` as text that can be printed and written as JSON.

    Bytes of a file name that are not UTF-8 are shown as ``\xe9``; different names stay different
    as long as none holds that sequence itself.
    """
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a UTF-16 pair, which no file name holds
        return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def display_name(path: str | os.PathLike[str]) -> object:
    """`path` itself where its message can be printed, else a printable form of it."""
    shown = printable(path)
    return path if shown == os.fspath(path) else shown


def read_picture(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a picture file; see `read_picture_and_status`."""
    return read_picture_and_status(path)[0]


def read_picture_and_status(path: str | os.PathLike[str]) -> tuple[bytes, os.stat_result]:
    """The bytes of a regular file of at most 1 GiB; links to one are followed.

    The status is that of the file that was opened, before its bytes were read: a file that is
    written meanwhile has another one afterwards.

    Raises:
        InvalidDataError: `path` is missing, too large, unreadable, or a folder, pipe, socket
            or device. None of these is waited for.
    """
    try:
        if b"\0" in os.fsencode(path):
            raise InvalidDataError(repr(path), "not a file name")
    except (TypeError, UnicodeError) as error:
        raise InvalidDataError(repr(path), "not a file name") from error
    try:
        _check(path, os.stat(path))
        # O_NONBLOCK: should the file be swapped for a pipe just now, opening still returns.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            _check(path, status)
            return file.read() or b"", status
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"cannot be read ({error.strerror})")
        raise InvalidDataError(display_name(path), reason) from error


def _check(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InvalidDataError(display_name(path), "a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidDataError(display_name(path), "not a regular file")
    if status.st_size > LARGEST_FILE:
        raise InvalidDataError(display_name(path), "larger than 1 GiB")
