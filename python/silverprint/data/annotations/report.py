"""What was found in annotations, and what of it was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from silverprint.data.reading import printable

NOT_FINITE = "coordinates that are no finite numbers below 1e9"
NO_AREA = "no area: width and height have to be above 0"
OUTSIDE = "outside the picture"
DUPLICATE = "the same box with the same label stands there twice"
CROWD = "a crowd region, which is no single object"

_SHOWN = 3
_MANY = 0.2


@dataclass(frozen=True)
class DroppedBox:
    """A box that is not trained on.

    Attributes:
        path: its picture.
        index: where it stands, from 0: in the list of its picture; in ``annotations`` of COCO;
            among the objects of a Pascal VOC file; or the line of a YOLO file.
        label: its label.
        reason: why it was dropped.
    """

    path: Path
    index: int
    label: str
    reason: str


@dataclass(frozen=True)
class AnnotationReport:
    """Counts of what annotations hold; ``print(report)`` shows them.

    What pixels of unknown picture sizes reach beyond their picture is not known before
    `AnnotatedSource.measured`, or training.

    Attributes:
        pictures: number of pictures.
        boxes: number of boxes of each label, by label.
        negatives: number of pictures without a box.
        emptied: how many of these are so only because all of their boxes were dropped.
        clipped: number of boxes that reached beyond their picture and end at its edge now. Less
            than a ten-thousandth of the side is rounding, and not counted.
        dropped: the boxes that were left out.
        unlisted: number of pictures in the folder that the annotations do not name. They are not
            trained on, for whether they hold objects is not known.
    """

    pictures: int
    boxes: dict[str, int]
    negatives: int
    emptied: int
    clipped: int
    dropped: tuple[DroppedBox, ...]
    unlisted: int

    def __str__(self) -> str:
        total = sum(self.boxes.values())
        pictures = f"{counted(self.pictures, 'picture')} ({self.negatives} without a box)"
        lines = [f"{pictures}, {counted(total, 'box')}"]
        lines += [f"  {label}: {count}" for label, count in self.boxes.items()]
        if self.emptied:
            lines.append(f"all boxes dropped: {counted(self.emptied, 'picture')}")
        if self.clipped:
            lines.append(f"clipped to the picture: {counted(self.clipped, 'box')}")
        lines += [f"dropped: {line}" for line in dropped_by_reason(self.dropped)]
        if self.unlisted:
            lines.append(f"not named by the annotations: {counted(self.unlisted, 'picture')}")
        beyond = self.clipped + sum(box.reason == OUTSIDE for box in self.dropped)
        if beyond > _MANY * (total + len(self.dropped)):
            lines.append(
                f"{beyond} boxes reach beyond their picture: check origin and anchor of the "
                "annotation type, and that the pictures are those that were annotated"
            )
        return "\n".join(lines)


def dropped_by_reason(dropped: Sequence[DroppedBox]) -> list[str]:
    """A line for each reason, with the first boxes that it applies to."""
    by_reason: dict[str, list[DroppedBox]] = {}
    for box in dropped:
        by_reason.setdefault(box.reason, []).append(box)
    lines = []
    for reason, boxes in by_reason.items():
        shown = ", ".join(f"{printable(box.path.name)} [{box.index}]" for box in boxes[:_SHOWN])
        more = ", ..." if len(boxes) > _SHOWN else ""
        lines.append(f"{counted(len(boxes), 'box')}, {reason}: {shown}{more}")
    return lines


def counted(count: int, what: str) -> str:
    """``1 box``, ``2 boxes``, ``3 pictures``."""
    if count == 1:
        return f"1 {what}"
    return f"{count} {what}{'es' if what.endswith('x') else 's'}"
