"""Boxes in pixels, checked against the sizes in the headers of their pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from silverprint.data.annotations.bounding_box import upright
from silverprint.data.annotations.parts import of_pictures
from silverprint.data.annotations.report import NO_AREA, OUTSIDE, DroppedBox
from silverprint.data.annotations.resolve import areas_are_empty, check_size, clip
from silverprint.data.annotations.size import picture_size

if TYPE_CHECKING:
    from silverprint.data.annotations.source import AnnotatedSource


def measured(source: AnnotatedSource) -> AnnotatedSource:
    """`source` with the sizes of all pictures; see `AnnotatedSource.measured`."""
    sizes = source.sizes.copy()
    for number, path in enumerate(source.paths):
        actual = picture_size(path)
        if sizes[number, 0]:
            check_size(path, (int(sizes[number, 0]), int(sizes[number, 1])), actual)
        else:
            sizes[number] = actual
    if source.units == "normalized":
        return replace(source, sizes=sizes)
    owners = source.boxes.owners
    sides = sizes[owners].astype(np.float64)
    edges = source.boxes.edges.astype(np.float64)
    if source.y_origin == "bottom_left":
        edges = upright(edges, sides[:, 1])
    inside, clipped, outside = clip(edges, sides)
    placed = replace(source.boxes, edges=inside.astype(np.float32))
    empty = areas_are_empty(placed.edges)
    dropped = tuple(
        DroppedBox(
            source.paths[owners[i]],
            int(source.boxes.indices[i]),
            source.labels[source.boxes.labels[i]],
            OUTSIDE if outside[i] else NO_AREA,
        )
        for i in np.flatnonzero(empty)
    )
    more = np.bincount(owners[clipped & ~empty], minlength=len(source)).astype(np.int32)
    result = replace(
        source,
        boxes=placed.kept(~empty),
        sizes=sizes,
        y_origin="top_left",
        clipped=source.clipped + more,
        dropped=source.dropped + dropped,
    )
    return of_pictures(result, range(len(source)), source.origin, source.unlisted)
