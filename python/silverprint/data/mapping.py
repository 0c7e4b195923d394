"""Paths by label, as a program gives them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from silverprint.data.reading import display_name
from silverprint.data.scan import label_of
from silverprint.errors import InvalidDataError, InvalidParameterError

StrPath: TypeAlias = str | os.PathLike[str]


def as_path(path: StrPath, name: str = "path") -> Path:
    """`path` as a Path; `name` is what the parameter is called.

    Raises:
        InvalidParameterError: it is no path.
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or "\0" in text:
        raise InvalidParameterError(name, path, "a path")
    return Path(text)


def paths_by_label(mapping: Mapping[str, Iterable[StrPath]]) -> dict[str, list[Path]]:
    """The paths of each label, each once; `DataSource.files_by_label` states the rule."""
    if not isinstance(mapping, Mapping):
        raise InvalidParameterError("mapping", mapping, "a dictionary {label: [paths]}")
    found: dict[str, dict[str, Path]] = {}
    label_by_file: dict[str, str] = {}
    for name, paths in mapping.items():
        if not isinstance(name, str) or not name.strip():
            raise InvalidParameterError("label", name, "text that is not blank")
        if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
            raise InvalidParameterError(f"mapping[{name!r}]", paths, "a list of paths")
        label = label_of(name)
        for path in map(as_path, paths):
            file = os.path.abspath(path)
            other = label_by_file.setdefault(file, label)
            if other != label:
                raise InvalidDataError(
                    display_name(path),
                    f"stands under two labels, {other!r} and {label!r}; keep one of them",
                )
            found.setdefault(label, {}).setdefault(file, path)
    if not found:
        raise InvalidDataError("files_by_label", "no picture is given; give {label: [paths]}")
    return {label: list(found[label].values()) for label in found}
