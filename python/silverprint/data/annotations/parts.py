"""Some of the pictures of an annotated source."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from silverprint.data.annotations.report import counted
from silverprint.data.mapping import StrPath, as_path
from silverprint.data.reading import display_name
from silverprint.errors import InvalidDataError, nearest

if TYPE_CHECKING:
    from silverprint.data.annotations.source import AnnotatedSource

_MOST_COMPARED = 5000


def of_pictures(
    source: AnnotatedSource, rows: Sequence[int], origin: str, unlisted: int = 0
) -> AnnotatedSource:
    """The pictures in `rows`, in that order, and of the labels those that their boxes have."""
    boxes = source.boxes.of_pictures(rows)
    order = sorted(np.unique(boxes.labels).tolist(), key=lambda k: source.labels[k])
    numbers = np.zeros(len(source.labels), np.int32)
    numbers[order] = np.arange(len(order))
    paths = tuple(source.paths[i] for i in rows)
    kept = set(paths)
    return replace(
        source,
        paths=paths,
        labels=tuple(source.labels[k] for k in order),
        origin=origin,
        boxes=boxes.relabelled(numbers),
        sizes=source.sizes[list(rows)],
        clipped=source.clipped[list(rows)],
        dropped=tuple(box for box in source.dropped if box.path in kept),
        unlisted=unlisted,
    )


def rows_of(source: AnnotatedSource, paths: Iterable[StrPath]) -> list[int]:
    """Where `paths` stand in `source`, ascending.

    Raises:
        InvalidDataError: one of them does not, or none is given.
    """
    if isinstance(paths, (str, bytes, os.PathLike)):
        paths = [paths]
    numbers = {os.path.abspath(path): i for i, path in enumerate(source.paths)}
    rows = set()
    for path in map(as_path, paths):
        number = numbers.get(os.path.abspath(path))
        if number is None:
            known = (os.fspath(other) for other in source.paths[:_MOST_COMPARED])
            raise InvalidDataError(
                display_name(path),
                f"is not among the {counted(len(source), 'picture')} of {source.origin}"
                f"{nearest(os.fspath(path), known)}",
            )
        rows.add(number)
    if not rows:
        raise InvalidDataError(source.origin, "no paths are given; name the pictures to keep")
    return sorted(rows)


def rarest_labels(source: AnnotatedSource) -> list[str]:
    """Of each picture the label that the fewest pictures have, the first of equals; "" for none."""
    count = max(1, len(source.labels))
    pairs = np.unique(source.boxes.owners.astype(np.int64) * count + source.boxes.labels)
    pictures_with = Counter((pairs % count).tolist())
    rarest = [count] * len(source)
    for picture, label in zip((pairs // count).tolist(), (pairs % count).tolist(), strict=True):
        other = rarest[picture]
        if other == count or pictures_with[label] < pictures_with[other]:
            rarest[picture] = label
    return ["" if label == count else source.labels[label] for label in rarest]
