"""Boxes of one picture, once its size is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from silverprint.data.annotations.bounding_box import Origin, Units, upright
from silverprint.data.annotations.report import NO_AREA, OUTSIDE, DroppedBox
from silverprint.data.reading import display_name
from silverprint.errors import InvalidDataError

_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class PictureBoxes:
    """The boxes of one picture, as its annotations give them.

    Attributes:
        path: the picture.
        edges: float32 of shape (n, 4): left, top, right, bottom; from the bottom left instead:
            left, low, right, high.
        labels: int32 of shape (n,): positions in `names`.
        names: the labels of the source.
        indices: int32 of shape (n,); see `DroppedBox.index`.
        size: width and height of the picture as the annotations state them, or None.
        units, origin: as for `BoundingBox`.
    """

    path: Path
    edges: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    names: tuple[str, ...]
    indices: npt.NDArray[np.int32]
    size: tuple[int, int] | None
    units: Units
    origin: Origin

    def __len__(self) -> int:
        return len(self.edges)


@dataclass(frozen=True, eq=False)
class ResolvedBoxes:
    """The boxes of one picture as a detector learns them.

    Attributes:
        edges: float32 of shape (n, 4): left, top, right, bottom as fractions of the upright
            picture, from its top left, 0 to 1.
        labels: int32 of shape (n,): positions in the labels of the source.
        clipped: how many boxes reached beyond the picture and end at its edge now.
        dropped: the boxes that are not among these because nothing of them lies in the picture.
    """

    edges: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    clipped: int
    dropped: tuple[DroppedBox, ...]


def resolved(boxes: PictureBoxes, width: int, height: int) -> ResolvedBoxes:
    """`boxes` as fractions of their picture, clipped to it.

    Args:
        boxes: of one picture.
        width, height: of the picture in pixels, upright (`size.picture_size`).

    Where the annotations state a size too, and the picture is a smaller or larger copy of that one,
    the fractions stay the same.

    Raises:
        InvalidDataError: the annotations state a size of another shape.
    """
    if boxes.size is not None:
        check_size(boxes.path, boxes.size, (width, height))
        width, height = boxes.size
    sides = np.array((1, 1) if boxes.units == "normalized" else (width, height), np.float64)
    edges = boxes.edges.astype(np.float64)
    if boxes.origin == "bottom_left":
        edges = upright(edges, sides[1])
    inside, clipped, reasons = clip(edges, sides)
    edges32 = (inside / np.tile(sides, 2)).astype(np.float32)
    empty = reasons | areas_are_empty(edges32)
    return ResolvedBoxes(
        edges32[~empty],
        boxes.labels[~empty],
        int(np.count_nonzero(clipped & ~empty)),
        tuple(
            DroppedBox(
                boxes.path,
                int(boxes.indices[i]),
                boxes.names[boxes.labels[i]],
                OUTSIDE if reasons[i] else NO_AREA,
            )
            for i in np.flatnonzero(empty)
        ),
    )


def clip(
    edges: npt.NDArray[np.float64], sides: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Boxes clipped to their pictures; which were, beyond rounding; and which lie outside.

    Args:
        edges: left, top, right, bottom, shape (n, 4).
        sides: width and height of the picture in the same units, shape (2,) or (n, 2).
    """
    most = np.concatenate([sides, sides], axis=-1)
    inside = np.clip(edges, 0, most)
    clipped: npt.NDArray[np.bool_] = np.any(np.abs(inside - edges) > _ROUNDING * most, axis=1)
    return inside, clipped, areas_are_empty(inside)


def areas_are_empty(edges: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Whether nothing lies between the edges of each box."""
    empty: npt.NDArray[np.bool_] = np.any(edges[:, 2:] <= edges[:, :2], axis=1)
    return empty


def check_size(path: Path, stated: tuple[int, int], actual: tuple[int, int]) -> None:
    """Check that `actual` is the size `stated`, or that of a scaled copy, to within a pixel.

    Raises:
        InvalidDataError: it is not, so boxes would lie elsewhere.
    """
    if stated == actual or _is_copy(stated, actual):
        return
    says = f"its annotations are those of a picture of {stated[0]} x {stated[1]} pixels"
    is_size = f"{actual[0]} x {actual[1]}"
    if _is_copy((stated[1], stated[0]), actual):
        reason = (
            f"{says}, but upright it has {is_size}: it was annotated lying on its side; turn its "
            "pixels as they were annotated, or annotate the upright picture"
        )
    else:
        reason = f"{says}, but it has {is_size}; bring back the picture that was annotated"
    raise InvalidDataError(display_name(path), reason)


def _is_copy(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the sizes have one shape, but for the rounding to whole pixels."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)
