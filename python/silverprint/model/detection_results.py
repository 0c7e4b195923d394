"""Boxes in pictures, those there and those found, and how they match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from silverprint.data.records import Records


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """The boxes of a picture.

    Attributes:
        boxes: left, top, right, bottom, float (b, 4), in any unit that found boxes have too.
        labels: index of each box's label, int (b,).
        crowd: whether a box stands for many objects, bool (b,): it need not be found, and what is
            found in it is not wrong. None: no box does.
    """

    boxes: npt.NDArray[np.floating]
    labels: npt.NDArray[np.integer]
    crowd: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """What a detector found in a picture: `boxes` and `labels` as in TrueBoxes, `scores` (b,)."""

    boxes: npt.NDArray[np.floating]
    labels: npt.NDArray[np.integer]
    scores: npt.NDArray[np.floating]


@dataclass(frozen=True)
class ResultBox:
    """A box by left, top, right, bottom; `confidence` of a found one, None of one not found."""

    label: str
    box: tuple[float, float, float, float]
    confidence: float | None


@dataclass(frozen=True)
class PictureResult:
    """One picture's boxes: found and right, there but not found, found but wrong."""

    path: str
    matched: tuple[ResultBox, ...]
    missed: tuple[ResultBox, ...]
    false: tuple[ResultBox, ...]


@dataclass(frozen=True, eq=False)
class BoxColumns:
    """The boxes of several pictures, one after the other, as the core takes them.

    Attributes:
        first: where each picture's boxes begin, and the end, int64 (n + 1,).
        boxes: float64 (b, 4).
        labels: int32 (b,).
        values: float64 (b,), scores of found boxes; 1 for crowds and 0 for single objects.
    """

    first: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int32]
    values: npt.NDArray[np.float64]

    @classmethod
    def of(cls, pictures: Sequence[TrueBoxes] | Sequence[FoundBoxes]) -> BoxColumns:
        return cls(
            np.cumsum([0, *(len(picture.boxes) for picture in pictures)], dtype=np.int64),
            np.concatenate([np.zeros((0, 4)), *(picture.boxes for picture in pictures)]),
            np.concatenate([[], *(picture.labels for picture in pictures)]).astype(np.int32),
            np.concatenate([[], *map(_values, pictures)]).astype(np.float64),
        )

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Boxes of each picture, (n,)."""
        return np.diff(self.first)

    def marked(
        self, labels: Sequence[str], picture: int, wanted: npt.NDArray[np.bool_], scored: bool
    ) -> tuple[ResultBox, ...]:
        """Those of one picture that `wanted`, (b,), names."""
        begin, end = self.first[picture : picture + 2]
        rows = begin + np.flatnonzero(wanted[begin:end])
        return tuple(
            ResultBox(
                labels[self.labels[row]],
                (float(x0), float(y0), float(x1), float(y1)),
                float(self.values[row]) if scored else None,
            )
            for row, (x0, y0, x1, y1) in zip(rows, self.boxes[rows], strict=True)
        )


def _values(picture: TrueBoxes | FoundBoxes) -> npt.NDArray[np.float64]:
    if isinstance(picture, FoundBoxes):
        return picture.scores.astype(np.float64)
    if picture.crowd is None:
        return np.zeros(len(picture.boxes))
    return picture.crowd.astype(np.float64)


def picture_results(
    labels: Sequence[str],
    truth: BoxColumns,
    found: BoxColumns,
    matches: npt.NDArray[np.int64],
    paths: Iterable[object],
    threshold: float,
) -> Records[PictureResult]:
    """The results of found boxes with scores of `threshold` and more.

    `matches` (b,) is each found box's true one, -1 for none, -2 where it does not count. That of a
    box depends on boxes of higher scores alone, so those below can be left out afterwards.
    """
    sure = found.values >= threshold
    right, wrong = sure & (matches >= 0), sure & (matches == -1)
    missed = truth.values == 0
    missed[matches[right]] = False
    return Records(
        PictureResult(
            str(path),
            found.marked(labels, picture, right, scored=True),
            truth.marked(labels, picture, missed, scored=False),
            found.marked(labels, picture, wrong, scored=True),
        )
        for picture, path in enumerate(paths)
    )
