"""From what annotations say to what can be trained on."""

from __future__ import annotations

import logging
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from silverprint.data.annotations.bounding_box import Origin, upright
from silverprint.data.annotations.boxes import BoxArrays
from silverprint.data.annotations.listing import Listing
from silverprint.data.annotations.parts import of_pictures
from silverprint.data.annotations.report import (
    CROWD,
    DUPLICATE,
    NO_AREA,
    NOT_FINITE,
    OUTSIDE,
    DroppedBox,
    counted,
    dropped_by_reason,
)
from silverprint.data.annotations.resolve import areas_are_empty, clip
from silverprint.data.annotations.source import AnnotatedSource

_log = logging.getLogger("silverprint")
_LARGEST = 1e9
_FAR_BEYOND = 2.0
_REASONS = ("", NOT_FINITE, NO_AREA, CROWD, OUTSIDE, DUPLICATE)


def collected(listing: Listing, origin: str, unlisted: int = 0) -> AnnotatedSource:
    """The pictures of `listing` in order of path, with the boxes that can serve.

    What is left out is logged.

    Raises:
        InvalidDataError: the numbers of the boxes are in other units than `listing.type` says.
    """
    values = np.array(listing.values, np.float64).reshape(-1, 4)
    owners = _int32(listing.owners)
    sizes = _int32(listing.sizes).reshape(-1, 2)
    usable: npt.NDArray[np.bool_] = np.all(np.abs(values) <= _LARGEST, axis=1)
    reason = np.where(usable, 0, _REASONS.index(NOT_FINITE)).astype(np.int8)
    values = np.where(usable[:, None], values, 0)
    _mark(reason, np.any(values[:, 2:] <= 0, axis=1), NO_AREA)
    crowds = np.zeros(len(reason), np.bool_)
    crowds[listing.crowds] = True
    _mark(reason, crowds, CROWD)
    _check_units(listing, values, owners, reason == 0)
    edges, clipped, origin_of_y = _placed(listing, values, sizes[owners], reason)
    edges32 = edges.astype(np.float32) + np.float32(0)  # no -0, so that equal means equal bytes
    _mark(reason, areas_are_empty(edges32), NO_AREA)
    numbers = _int32(listing.numbers)
    _mark(reason, _repeated(owners, numbers, edges32, reason), DUPLICATE)
    keep = reason == 0
    indices = _int32(listing.indices)
    paths = tuple(map(Path, listing.pictures))
    order = sorted(range(len(paths)), key=lambda i: paths[i].as_posix())
    boxes = BoxArrays.made(len(order), owners[keep], edges32[keep], numbers[keep], indices[keep])
    source = AnnotatedSource(
        paths,
        tuple(listing.labels),
        origin,
        boxes,
        sizes,
        listing.type.units,
        origin_of_y,
        np.bincount(owners[keep & clipped], minlength=len(order)).astype(np.int32),
        tuple(
            DroppedBox(
                paths[owners[i]],
                int(indices[i]),
                listing.labels[numbers[i]],
                _REASONS[reason[i]],
            )
            for i in np.flatnonzero(~keep)
        ),
        unlisted,
    )
    source = of_pictures(source, order, origin, unlisted)
    for line in dropped_by_reason(source.dropped):
        _log.warning("%s: dropped %s", origin, line)
    if unlisted:
        pictures = counted(unlisted, "picture")
        _log.warning("%s: %s in the folder left out, for it names none of them", origin, pictures)
    return source


def _mark(reason: npt.NDArray[np.int8], where: npt.NDArray[np.bool_], why: str) -> None:
    reason[where & (reason == 0)] = _REASONS.index(why)


def _int32(numbers: array[int]) -> npt.NDArray[np.int32]:
    return np.array(numbers, np.int32)


def _placed(
    listing: Listing,
    values: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.int32],
    reason: npt.NDArray[np.int8],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], Origin]:
    """Edges, clipped where the size is known; which were clipped; and where y begins now."""
    edges = listing.type.edges(values)
    if listing.type.units == "normalized":
        if listing.type.origin == "bottom_left":
            edges = upright(edges, 1.0)
        edges, clipped, outside = clip(edges, np.ones(2))
        _mark(reason, outside, OUTSIDE)
        return edges, clipped, "top_left"
    known = sizes[:, 0] > 0
    clipped = np.zeros(len(edges), np.bool_)
    outside = np.zeros(len(edges), np.bool_)
    if known.any():
        edges[known], clipped[known], outside[known] = clip(
            edges[known], sizes[known].astype(np.float64)
        )
        _mark(reason, outside, OUTSIDE)
    return edges, clipped, listing.type.origin


def _repeated(
    owners: npt.NDArray[np.int32],
    numbers: npt.NDArray[np.int32],
    edges: npt.NDArray[np.float32],
    reason: npt.NDArray[np.int8],
) -> npt.NDArray[np.bool_]:
    """Which boxes stand before in the same picture with the same label."""
    repeated = np.zeros(len(owners), np.bool_)
    rows = np.flatnonzero(reason == 0)
    whose = owners[rows].astype(np.int64) << 32 | numbers[rows]
    keys = np.stack([*edges[rows].view(np.int64).T, whose])
    # lexsort is stable, so of equal boxes the first remains.
    order = np.lexsort(keys)
    same = np.all(np.diff(keys[:, order], axis=1) == 0, axis=0)
    repeated[rows[order[1:]][same]] = True
    return repeated


def _check_units(
    listing: Listing,
    values: npt.NDArray[np.float64],
    owners: npt.NDArray[np.int32],
    sound: npt.NDArray[np.bool_],
) -> None:
    """Refuse pixels that are called normalised, and the reverse."""
    if not sound.any():
        return
    largest = np.abs(values).max(axis=1)
    if listing.type.units == "normalized":
        wrong = sound & (largest > _FAR_BEYOND)
        if not wrong.any():
            return
        what = "fractions of the picture, from 0 to 1, are expected, but these look like pixels"
        remedy = (
            "divide them by the picture's width and height"
            if listing.fixed
            else "say annotation_type=BoundingBox(units='pixel')"
        )
    else:
        wrong = sound & (largest <= 1)
        if 2 * np.count_nonzero(wrong) <= np.count_nonzero(sound):
            return
        what = "pixels are expected, but these look like fractions of the picture"
        remedy = (
            "multiply them by the picture's width and height"
            if listing.fixed
            else "say annotation_type=BoundingBox(units='normalized')"
        )
    first = int(np.flatnonzero(wrong)[0])
    owner = int(owners[first])
    x, y, width, height = values[first].tolist()
    raise listing.refusal(
        f"{listing.places[owner]}, {listing.pictures[owner]!r}, box [{listing.indices[first]}]",
        f"x {x:g}, y {y:g}, width {width:g}, height {height:g}: {what} "
        f"({np.count_nonzero(wrong)} of {np.count_nonzero(sound)} boxes); {remedy}",
    )
