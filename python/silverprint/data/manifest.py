"""Files that list pictures and their labels: CSV, TSV and JSONL."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from silverprint.data.reading import display_name, read_picture
from silverprint.data.table import Table
from silverprint.errors import InvalidDataError

MANIFESTS = (".csv", ".tsv", ".jsonl")
"""Lower-case endings of files that are taken for manifests."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_manifest(path: Path) -> bool:
    """Whether `path` is named like a manifest and is no folder."""
    return path.suffix.lower() in MANIFESTS and not os.path.isdir(path)


def read_manifest(path: Path) -> Table:
    """The rows of a file in UTF-8, with or without a byte order mark.

    - ``.csv`` and ``.tsv``: RFC 4180. The first line names the columns and tells what divides
      them: a tab, else a semicolon if it holds no comma, else a comma. White space around a value
      does not count. Columns without a name and rows without a value are left out.
    - ``.jsonl``: an object in each line. Numbers become text as they are written by Python, true
      and false as in JSON; null, lists and objects count as nothing.

    Raises:
        InvalidDataError: `path` cannot be read or is no such file; the reason names the line.
    """
    name = display_name(path)
    if path.suffix.lower() not in MANIFESTS:
        raise InvalidDataError(name, "not a manifest; give a .csv, .tsv or .jsonl file")
    if os.path.isdir(path):
        raise InvalidDataError(
            name, "a folder, not a manifest; use labeled_directories if its folders are the labels"
        )
    text = utf8_text(read_picture(path), name)
    if not text.strip():
        raise InvalidDataError(name, "empty; list a picture and its label in each line")
    table = _objects(text, name) if path.suffix.lower() == ".jsonl" else _values(text, name)
    if not table.rows:
        raise InvalidDataError(name, "no row below the names of the columns; list pictures there")
    return table


def locate(folder: Path, text: str) -> Path:
    r"""The path that `text` means in a manifest that lies in `folder`.

    Where a backslash does not divide folders, ``cat\1.jpg`` is ``cat/1.jpg`` unless a file of
    just that name exists.
    """
    if "\\" in text and os.sep == "/" and not os.path.lexists(folder / text):
        text = text.replace("\\", "/")
    return folder / text


def utf8_text(data: bytes, name: object) -> str:
    """The text of a file in UTF-8; `name` is what errors call it.

    Raises:
        InvalidDataError: it is in another encoding, or binary.
    """
    if data.startswith(_UTF16):
        raise InvalidDataError(name, "UTF-16, not UTF-8; save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        at, reason = error.start, f"byte 0x{data[error.start]:02x} is not UTF-8"
    else:
        at, reason = data.find(b"\0"), "a zero byte"
        if at < 0:
            return text
    line = 1 + data[:at].count(b"\n")
    raise InvalidDataError(name, f"line {line}: {reason}; save it as text in UTF-8")


def _values(text: str, name: object) -> Table:
    header, *rows = list(_records(text, name)) or [(1, [""])]
    titles = [title.strip() for title in header[1]]
    kept = [i for i, title in enumerate(titles) if title]
    columns = tuple(titles[i] for i in kept)
    for column in columns:
        if columns.count(column) > 1:
            raise InvalidDataError(
                name, f"line {header[0]}: two columns are named {column!r}; rename one"
            )
    found = []
    for line, values in rows:
        if len(values) != len(titles):
            raise InvalidDataError(
                name,
                f"line {line}: {_values_in(len(values))}, but line {header[0]} names "
                f"{len(titles)} columns; put quotes around values that hold a comma or the like",
            )
        found.append((line, tuple(values[i].strip() for i in kept)))
    return Table(name, "line", columns, found)


def _values_in(count: int) -> str:
    return f"{count} value" if count == 1 else f"{count} values"


def _records(text: str, name: object) -> Iterator[tuple[int, list[str]]]:
    """The line in which each record begins, and its values; blank ones are left out."""
    first = next(line for line in text.splitlines() if line.strip())
    delimiter = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    line = 1
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidDataError(
            name, f"line {line}: {error}; check the quotes of this value"
        ) from error


def _objects(text: str, name: object) -> Table:
    found: list[tuple[int, dict[str, str]]] = []
    # Not splitlines: JSON may hold other characters that end a line of text.
    for line, part in enumerate(text.split("\n"), start=1):
        if not part.strip():
            continue
        try:
            value = json.loads(part, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or str(error)
            raise InvalidDataError(
                name, f"line {line}: not JSON ({reason}); write one object in each line"
            ) from error
        if not isinstance(value, dict):
            raise InvalidDataError(
                name,
                f"line {line}: JSON, but no object; write one in each line, such as "
                '{"file_name": "1.jpg", "label": "cat"}',
            )
        found.append((line, {key: _as_text(value[key]) for key in value}))
    columns = tuple(dict.fromkeys(key for _, values in found for key in values))
    rows = [(line, tuple(values.get(key, "") for key in columns)) for line, values in found]
    return Table(name, "line", columns, rows)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else ""


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
