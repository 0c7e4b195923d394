"""Annotations that a program holds: dictionaries, Create ML's list, frames of pandas."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.createml import (
    ANNOTATION_KEYS,
    IMAGE_KEYS,
    add_boxes,
    add_entries,
)
from silverprint.data.annotations.listing import Listing
from silverprint.data.table import IMAGE_COLUMNS, LABEL_COLUMNS
from silverprint.errors import InvalidDataError, InvalidParameterError

if TYPE_CHECKING:
    from silverprint.data.frame import Frame

_FLAT = ("x", "y", "width", "height")
_FORMS = (
    "{path: [{'label': ..., 'x': ..., 'y': ..., 'width': ..., 'height': ...}]} or Create ML's list "
    "[{'image': ..., 'annotations': [...]}]"
)


def read(data: Mapping[Any, Any] | Sequence[Any], annotation_type: BoundingBox | None) -> Listing:
    """``{path: boxes}``, or the list that Create ML's JSON holds.

    Raises:
        InvalidParameterError: `data` is neither.
        InvalidDataError: an entry cannot serve; the reason names it.
    """
    listing = _listing("annotations", annotation_type)
    if isinstance(data, Mapping):
        for path, boxes in data.items():
            name = _path(listing, f"key {path!r}", path)
            owner = listing.add_picture(name, [name], repr(name), key=os.path.abspath(name))
            add_boxes(listing, owner, [] if boxes is None else boxes, repr(name))
    elif isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        entries = (_with_text_path(entry) for entry in data)
        add_entries(listing, entries, lambda name: ([name], os.path.abspath(name)))
    else:
        raise InvalidParameterError("annotations", type(data).__name__, _FORMS)
    return listing


def read_frame(
    frame: Frame,
    annotation_type: BoundingBox | None,
    image: str | None,
    annotation: str | None,
) -> Listing:
    """A frame with a picture in each row and its boxes in a column, or with a box in each row.

    Raises:
        InvalidParameterError: it is no frame, or there is no such column.
        InvalidDataError: a column is missing, or a row cannot serve; the reason names it.
    """
    columns = _columns(frame)
    image = _column(columns, "image", image, (*IMAGE_COLUMNS, *IMAGE_KEYS))
    listing = _listing("frame", annotation_type)
    index = getattr(frame, "index", None)
    rows = list(index) if isinstance(index, Iterable) else list(range(len(columns[image])))
    if annotation is not None or any(key in columns for key in ANNOTATION_KEYS):
        annotation = _column(columns, "annotation", annotation, ANNOTATION_KEYS)
        for row, path, boxes in zip(rows, columns[image], columns[annotation], strict=True):
            name = _path(listing, f"row {row}", path)
            owner = listing.add_picture(name, [name], f"row {row}", key=os.path.abspath(name))
            add_boxes(listing, owner, [] if _is_missing(boxes) else _as_list(boxes), f"row {row}")
        return listing
    label = _column(columns, "label", None, LABEL_COLUMNS)
    for key in _FLAT:
        _column(columns, key, None, (key,))
    owners: dict[str, int] = {}
    numbers = zip(*(columns[key] for key in _FLAT), strict=True)
    for row, path, text, values in zip(rows, columns[image], columns[label], numbers, strict=True):
        name = _path(listing, f"row {row}", path)
        key = os.path.abspath(name)
        if key not in owners:
            owners[key] = listing.add_picture(name, [name], f"row {row}", key=key)
        if _is_missing(text) and all(map(_is_missing, values)):
            continue
        before = len(listing.owners)
        add_boxes(
            listing,
            owners[key],
            [dict(zip(("label", *_FLAT), (text, *values), strict=True))],
            f"row {row}",
        )
        listing.indices[before] = len(listing.owners) - 1
    return listing


def _listing(name: str, annotation_type: BoundingBox | None) -> Listing:
    return Listing(name, "annotations in memory", annotation_type or BoundingBox(), fixed=False)


def _columns(frame: Frame) -> dict[str, list[Any]]:
    names = frame if isinstance(frame, Mapping) else getattr(frame, "columns", None)
    if names is None or isinstance(frame, type) or not hasattr(frame, "__getitem__"):
        raise InvalidParameterError(
            "frame", type(frame).__name__, "a pandas DataFrame or {column: values}"
        )
    columns = {str(name): list(frame[name]) for name in names}
    if len({len(values) for values in columns.values()}) > 1:
        raise InvalidDataError("frame", "its columns have several lengths; align them")
    return columns


def _column(
    columns: Mapping[str, list[Any]], role: str, chosen: str | None, usual: Sequence[str]
) -> str:
    names = ", ".join(map(repr, list(columns)[:20])) or "none"
    if chosen is not None:
        if chosen not in columns:
            raise InvalidParameterError(role, chosen, f"a column of the frame, {names}")
        return chosen
    found = [name for name in columns if name.casefold() in usual]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidDataError(
            "frame", f"{' and '.join(map(repr, found))} could be the {role}; rename all but one"
        )
    raise InvalidDataError("frame", f"no column {usual[0]!r} among {names}; name it so")


def _path(listing: Listing, place: str, path: object) -> str:
    if isinstance(path, (str, os.PathLike)):
        text = os.fspath(path)
        if isinstance(text, str) and text.strip() and "\0" not in text:
            return text
    raise listing.refusal(place, f"{path!r} is no path")


def _with_text_path(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in entry.items()}


def _as_list(value: Any) -> Any:
    """Lists come back from some files as arrays."""
    return value.tolist() if hasattr(value, "tolist") else value


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, Iterable):
        return False
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA is neither true nor false
        return True
