"""Rows of text to labelled pictures: what a manifest and a frame have in common."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from silverprint.data.scan import label_of
from silverprint.errors import InvalidDataError, InvalidParameterError, nearest

IMAGE_COLUMNS = (
    *("image", "path", "file", "file_name", "file_path", "image_path", "image_file"),
    *("image_filename", "image_name", "img", "img_path", "picture"),
)
LABEL_COLUMNS = ("label", "class", "category", "target", "label_name", "class_name", "labels")
PART_COLUMNS = ("part", "split", "set", "subset", "partition")


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        name: what errors call it.
        unit: what errors call a row, with its number or name.
        columns: their names, none of them twice.
        rows: number or name of each row, and as many texts as there are columns. Nothing, and
            what is no text, is "".
    """

    name: object
    unit: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, Sequence[str]]]


@dataclass(frozen=True)
class Choice:
    """Which columns and rows of a table are meant; None: found by the usual names."""

    part: str | None
    group: str | None
    image: str | None
    label: str | None


@dataclass(frozen=True)
class LabelledRows:
    """Pictures of a table, each once.

    Attributes:
        items: path and label.
        groups: the group of each item; "" if no column was chosen for it.
        columns: of each other column a text for each item: "" where rows of one picture differ.
    """

    items: list[tuple[Path, str]]
    groups: list[str]
    columns: dict[str, list[str]]


def labelled_rows(table: Table, choice: Choice, locate: Callable[[str], Path]) -> LabelledRows:
    """The pictures of `table`, in its order; `locate` makes a path of a cell.

    Raises:
        InvalidParameterError: `choice` names a column or part that is not there.
        InvalidDataError: a column is missing, or could be two; the part has to be chosen; a cell
            is empty; or one picture stands under two labels or in two groups.
    """
    image = _column(table, "image", choice.image, IMAGE_COLUMNS)
    label = _column(table, "label", choice.label, LABEL_COLUMNS)
    group = None if choice.group is None else _named(table, "group", choice.group)
    others = [i for i in range(len(table.columns)) if i not in (image, label)]
    found = LabelledRows([], [], {table.columns[i]: [] for i in others})
    seen: dict[str, tuple[int, object]] = {}
    for place, cells in _rows_of_part(table, choice.part):
        name = _filled(table, place, cells, image)
        if "\0" in name:
            raise _refusal(table, place, f"{name!r} is no path")
        path = locate(name)
        item = path, label_of(_filled(table, place, cells, label).strip())
        own = "" if group is None else label_of(_filled(table, place, cells, group).strip())
        at, before = seen.setdefault(os.path.abspath(path), (len(seen), place))
        if at == len(found.items):
            found.items.append(item)
            found.groups.append(own)
            for i in others:
                found.columns[table.columns[i]].append(cells[i].strip())
            continue
        for here, there, what in (
            (item[1], found.items[at][1], "under"),
            (own, found.groups[at], "in group"),
        ):
            if here != there:
                raise _refusal(
                    table,
                    place,
                    f"{name!r} stands {what} {here!r} here and {what} {there!r} in {table.unit} "
                    f"{before}; keep one of them",
                )
        for i in others:
            values = found.columns[table.columns[i]]
            if values[at] != cells[i].strip():
                values[at] = ""
    return found


def _filled(table: Table, place: object, cells: Sequence[str], column: int) -> str:
    if cells[column].strip():
        return cells[column]
    reason = f"nothing in column {table.columns[column]!r}; fill it in or remove the {table.unit}"
    raise _refusal(table, place, reason)


def _refusal(table: Table, place: object, reason: str) -> InvalidDataError:
    return InvalidDataError(table.name, f"{table.unit} {place}: {reason}")


def _rows_of_part(table: Table, part: str | None) -> Sequence[tuple[object, Sequence[str]]]:
    by_name = {_plain(name): i for i, name in reversed(list(enumerate(table.columns)))}
    column = next((by_name[name] for name in PART_COLUMNS if name in by_name), None)
    if column is None:
        if part is not None:
            raise InvalidParameterError(
                "part", part, f"None, for {table.name} has no column {_either(PART_COLUMNS)}"
            )
        return table.rows
    name = table.columns[column]
    counts = Counter(cells[column].strip() for _, cells in table.rows)
    if part is None and len(counts) < 2:
        return table.rows
    for place, cells in table.rows:
        if not cells[column].strip():
            reason = f"nothing in column {name!r}; fill in one of the parts, or rename the column"
            raise _refusal(table, place, f"{reason} if it does not hold parts")
    parts = ", ".join(f"{value!r} ({count})" for value, count in sorted(counts.items())[:10])
    if part is None:
        example = "train" if "train" in counts else min(counts)
        raise InvalidDataError(
            table.name,
            f"column {name!r} divides it into parts, {parts}; choose one, such as "
            f"part={example!r}, or rename the column if it does not hold parts",
        )
    if not isinstance(part, str) or part not in counts:
        raise InvalidParameterError(
            "part", part, f"a part of {table.name}, {parts}{nearest(part, counts)}"
        )
    return [row for row in table.rows if row[1][column].strip() == part]


def _column(table: Table, role: str, chosen: str | None, usual: Sequence[str]) -> int:
    if chosen is not None:
        return _named(table, role, chosen)
    plain = {_plain(name) for name in usual}
    found = [i for i, name in enumerate(table.columns) if _plain(name) in plain]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(repr(table.columns[i]) for i in found)
        raise InvalidDataError(
            table.name, f"each of the columns {names} could be the {role}; say {role}= which is"
        )
    names = ", ".join(map(repr, table.columns[:20])) or "none"
    raise InvalidDataError(
        table.name,
        f"no column is named {_either(usual[:4])} or the like among {names}; name it so, or say "
        f"{role}= which it is",
    )


def _named(table: Table, parameter: str, name: object) -> int:
    if isinstance(name, str) and name in table.columns:
        return table.columns.index(name)
    names = ", ".join(map(repr, table.columns[:20]))
    hint = nearest(name, table.columns)
    raise InvalidParameterError(parameter, name, f"a column of {table.name}, {names}{hint}")


def _plain(name: str) -> str:
    """Upper and lower case, spaces and signs between words do not tell usual names apart."""
    return "".join(char for char in name.casefold() if char not in " _-")


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
