"""Errors that name the file they come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from silverprint.errors import BackboneError, ExportError, SilverprintError


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let the error of an export or a backbone begin with `path`, unless it has it already."""
    try:
        yield
    except (BackboneError, ExportError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


@contextmanager
def told(path: Path) -> Iterator[None]:
    """One ExportError naming `path` for whatever a damaged file makes of its reader."""
    try:
        with named(path):
            yield
    except SilverprintError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ExportError(
            f"{path} is damaged, or made of parts that cannot be executed here: "
            f"{type(error).__name__}: {error!s:.300}"
        ) from error
