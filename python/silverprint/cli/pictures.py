"""The pictures that a command is given: files, and all in folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from silverprint.data.scan import pictures_below
from silverprint.errors import InvalidDataError


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given, folders replaced by the pictures in them, sorted.

    Raises:
        InvalidDataError: a path is missing, or no picture is found.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(pictures_below(path)[0]) if path.is_dir() else [path]
    if not found:
        raise InvalidDataError(", ".join(map(str, paths)), "holds no picture")
    return found
