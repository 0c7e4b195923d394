"""One error for whatever a damaged file makes of its reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from silverprint.errors import ExportError, SilverprintError


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Raise ExportError naming `path` where its numbers and names lead nowhere."""
    try:
        yield
    except SilverprintError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ExportError(
            f"{path} is damaged, or made of parts that cannot be executed here: "
            f"{type(error).__name__}: {error!s:.300}"
        ) from error
