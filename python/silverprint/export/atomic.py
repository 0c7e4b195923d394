"""Replacing a file or an ``.mlpackage`` folder in one step.

The new content is written beside its place, forced to disk and then moved, so that a reader
finds the old one or the new one, whole, whenever it looks and whatever happens meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from silverprint.errors import ExportError, SilverprintError
from silverprint.export.interruption import uninterrupted

MANIFEST = "Manifest.json"
"""The file that makes a folder an ``.mlpackage``."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well, it takes the place of `path`.

    A link is followed and an old file's permissions are kept. If the block raises, `path`
    stays as it was and nothing is left behind.

    Raises ExportError: the folder does not exist or cannot be written, `path` is a folder or
    read-only, or the operating system refused a write (a full disk, for example).
    """
    target = _resolve(path)
    temporary = _sibling(target)
    try:
        with _clear_errors(target):
            check_place(target, folder=False)
            yield temporary
            _sync(temporary)
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            os.replace(temporary, target)
            _sync(target.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replace_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new empty folder; when the block ends well, it takes the place of `path`.

    On Linux the two folders are exchanged in one step; elsewhere the old one is moved aside
    first, and back if its successor cannot be moved in. A link is followed. If the block
    raises, `path` stays as it was and nothing is left behind.

    Raises ExportError as `replace_file` does, and where `path` exists but holds no
    ``Manifest.json``: only a model package is ever replaced.
    """
    target = _resolve(path)
    temporary = _sibling(target)
    try:
        with _clear_errors(target):
            check_place(target, folder=True)
            temporary.mkdir()
            yield temporary
            for folder, _, files in os.walk(temporary):
                for name in files:
                    _sync(Path(folder, name))
                _sync(Path(folder))
            _check_replaceable(target)
            _move_in(temporary, target)
            _sync(target.parent)
    finally:
        uninterrupted(partial(shutil.rmtree, temporary, ignore_errors=True))


def check_place(path: str | os.PathLike[str], *, folder: bool) -> None:
    """Refuse a place that `replace_file` or `replace_folder` could not write to.

    Raises ExportError: as these do.
    """
    target = _resolve(path)
    _check_parent(target)
    if folder:
        _check_replaceable(target)
    elif target.is_dir():
        raise ExportError(f"{target} is a folder: give the name of a file in it")
    elif target.exists() and not os.access(target, os.W_OK):
        raise ExportError(f"{target} is read-only: make it writable or choose another name")


def _move_in(new: Path, target: Path) -> None:
    """Put `new` at `target`; an old folder ends up at `new`, to be deleted by the caller."""
    if not target.exists():
        os.rename(new, target)
    elif not _exchange(new, target):
        aside = _sibling(target)
        os.rename(target, aside)
        try:
            os.rename(new, target)
        except BaseException:
            os.rename(aside, target)
            raise
        os.rename(aside, new)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step; False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    names = (os.fsencode(first), os.fsencode(second))
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


def _resolve(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise ExportError(f"{path!r} is not a path ({error}): choose another name") from error


def _sibling(target: Path) -> Path:
    """A free hidden name in the same folder, short however long the target's name is."""
    return target.with_name(f".silverprint-{secrets.token_hex(8)}.tmp")


def _check_parent(target: Path) -> None:
    parent = target.parent
    if not parent.exists():
        raise ExportError(f"{target}: the folder {parent} does not exist; create it first")
    if not parent.is_dir():
        raise ExportError(f"{target}: {parent} is a file, not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ExportError(f"{target}: the folder {parent} is read-only; choose another one")


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file, a model package is a folder: choose another name")
    if not (target / MANIFEST).is_file():
        raise ExportError(
            f"{target} is a folder but no model package (it has no {MANIFEST}) and is left "
            "alone: choose another name"
        )


@contextmanager
def _clear_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except SilverprintError:
        raise
    except OSError as error:
        raise ExportError(f"{target} could not be written: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    """Force a file or folder to disk; Windows cannot open a folder for that."""
    folder = path.is_dir()
    if folder and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
