"""Which pictures belong together: by folder, by a column, or by a function of the path."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from silverprint.data.reading import display_name
from silverprint.data.scan import label_of
from silverprint.data.splits import GroupBy, check_group_by
from silverprint.errors import InvalidDataError, InvalidParameterError, nearest


def groups_of(
    paths: Sequence[Path], columns: Mapping[str, Sequence[str]], group_by: GroupBy
) -> tuple[str, ...]:
    """The group of each path; `DataSource.grouped` states the rule.

    Raises:
        InvalidParameterError: `group_by` is no column, or a function that gave no text.
        InvalidDataError: a picture has no value in the column.
    """
    check_group_by(group_by)
    if not isinstance(group_by, str):
        return tuple(_called(group_by, path) for path in paths)
    if group_by in columns:
        for path, value in zip(paths, columns[group_by], strict=True):
            if not value:
                raise InvalidDataError(
                    display_name(path),
                    f"no value, or more than one, in column {group_by!r}; pictures that are to be "
                    "kept together need one each",
                )
        return tuple(map(label_of, columns[group_by]))
    if group_by == "folder":
        return _folders(paths)
    shown = f"one of the columns {', '.join(map(repr, columns))}, " if columns else ""
    hint = nearest(group_by, [*columns, "folder"])
    none = "" if columns else " (this data has no columns)"
    raise InvalidParameterError(
        "group_by", group_by, f"{shown}'folder' or a function of the path{none}{hint}"
    )


def _called(group_by: object, path: Path) -> str:
    group = group_by(path)  # type: ignore[operator]
    if not isinstance(group, str) or not group.strip():
        raise InvalidParameterError(
            "group_by", group, f"a function that gives text, not this for {path}"
        )
    return label_of(group)


def _folders(paths: Sequence[Path]) -> tuple[str, ...]:
    """Each path's folder, named from the folder that all share, wherever that lies."""
    parents = {path.parent: os.path.abspath(path.parent) for path in paths}
    try:
        shared = os.path.commonpath(parents.values())
    except ValueError:  # several drives
        names = dict(parents)
    else:
        names = {parent: os.path.relpath(full, shared) for parent, full in parents.items()}
    labels = {parent: label_of(Path(name).as_posix()) for parent, name in names.items()}
    return tuple(labels[path.parent] for path in paths)
