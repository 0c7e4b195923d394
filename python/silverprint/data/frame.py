"""Frames of pandas, and columns of any other kind, as tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from silverprint.data.table import Table
from silverprint.errors import InvalidDataError, InvalidParameterError

if TYPE_CHECKING:
    import pandas as pd

    Frame: TypeAlias = pd.DataFrame | Mapping[str, Iterable[object]]


def read_frame(frame: Frame) -> Table:
    """The rows of a DataFrame, or of ``{column: values}``.

    Rows are named as in ``frame.index`` where there is one, else numbered from 0. Numbers become
    text as they are written by Python; None, NaN and what is no single value count as nothing.

    Raises:
        InvalidParameterError: `frame` is neither.
        InvalidDataError: it is empty, or its columns have the same name or several lengths.
    """
    names = frame if isinstance(frame, Mapping) else getattr(frame, "columns", None)
    if names is None or isinstance(frame, type) or not hasattr(frame, "__getitem__"):
        raise InvalidParameterError(
            "frame", type(frame).__name__, "a pandas DataFrame or {column: values}"
        )
    values: dict[str, list[str]] = {}
    for name in names:
        if str(name) in values:
            raise InvalidDataError("frame", f"two columns are named {str(name)!r}; rename one")
        column: Any = frame[name]
        if isinstance(column, (str, bytes)) or not isinstance(column, Iterable):
            raise InvalidParameterError("frame", column, f"a list of values for column {name!r}")
        values[str(name)] = [_as_text(value) for value in column]
    lengths = {len(column) for column in values.values()}
    if len(lengths) > 1:
        shown = ", ".join(f"{name!r} ({len(column)})" for name, column in values.items())
        raise InvalidDataError("frame", f"its columns have several lengths: {shown}; align them")
    if not values or lengths == {0}:
        raise InvalidDataError("frame", "empty; give a picture and its label in each row")
    index = range(max(lengths)) if isinstance(frame, Mapping) else getattr(frame, "index", None)
    rows = zip(*values.values(), strict=True)
    places = index if isinstance(index, Iterable) else range(max(lengths))
    return Table("frame", "row", tuple(values), list(zip(places, rows, strict=True)))


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if value is None or isinstance(value, Iterable):
        return ""
    try:
        # NaN and NaT differ from themselves; of NA that is neither true nor false.
        return "" if value != value else str(value)
    except TypeError:
        return ""
