"""Pictures and the boxes in them: where the data of a detector comes from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint.data.annotations.bounding_box import BoundingBox, Origin, Units
from silverprint.data.annotations.boxes import BoxArrays
from silverprint.data.annotations.gathered import AnnotatedFile, gathered
from silverprint.data.annotations.measure import measured
from silverprint.data.annotations.parts import of_pictures, rarest_labels, rows_of
from silverprint.data.annotations.report import (
    AnnotationReport,
    DroppedBox,
    counted,
    dropped_by_reason,
)
from silverprint.data.annotations.resolve import PictureBoxes
from silverprint.data.mapping import StrPath, as_path
from silverprint.data.reading import display_name, printable
from silverprint.data.records import Records
from silverprint.data.stratified import divide
from silverprint.errors import InvalidDataError, InvalidParameterError

if TYPE_CHECKING:
    from silverprint.data.frame import Frame

_SHOWN_LABELS = 6


@dataclass(frozen=True, repr=False, eq=False)
class AnnotatedSource:
    """Pictures with labelled boxes; the pictures are not read before training.

    Made by `DataSource.directory_with_images`, `annotated_images`, `frame` or `of`. Immutable and
    picklable; threads may share it.

    Attributes:
        paths: the pictures, sorted. Those without a box are there too, as examples of nothing.
        labels: the labels that boxes have, sorted by code point.
        origin: what the source was made of, for messages.
        boxes: the boxes of all pictures; their labels are positions in `labels`.
        sizes: int32 of shape (p, 2): width and height of each picture where the annotations state
            them or `measured` has read them, else 0.
        units: ``"pixel"`` or ``"normalized"``.
        y_origin: what y is measured from: ``"bottom_left"`` only for pixels of unknown sizes.
        clipped: int32 of shape (p,): number of boxes of each picture that were clipped.
        dropped: the boxes that are left out.
        unlisted: number of pictures in the folder that the annotations do not name.
    """

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    origin: str
    boxes: BoxArrays
    sizes: npt.NDArray[np.int32]
    units: Units
    y_origin: Origin
    clipped: npt.NDArray[np.int32]
    dropped: tuple[DroppedBox, ...]
    unlisted: int

    def __post_init__(self) -> None:
        for array in (self.sizes, self.clipped):
            array.flags.writeable = False

    @classmethod
    def directory_with_images(
        cls,
        path: StrPath,
        annotation_file: StrPath | None = None,
        annotation_type: BoundingBox | None = None,
    ) -> AnnotatedSource:
        """As `DataSource.directory_with_images`."""
        from silverprint.data.annotations.collect import collected
        from silverprint.data.annotations.detect import annotations_at, annotations_in, read_listing
        from silverprint.data.annotations.folder import Folder

        _check_type(annotation_type)
        root = as_path(path)
        folder = Folder(root)
        if annotation_file is None:
            found = annotations_in(folder)
        else:
            found = annotations_at(as_path(annotation_file, "annotation_file"), folder)
        listing = read_listing(folder, found, annotation_type)
        hint = folder.hint(listing.unknown[0][0]) if listing.unknown else ""
        listing.require_known(display_name(root), hint)
        unlisted = len(folder.pictures) - len(listing.pictures)
        return collected(listing, printable(found.path), unlisted)

    @classmethod
    def annotated_images(
        cls,
        annotations: Mapping[StrPath, Iterable[Mapping[str, Any]]] | Sequence[Mapping[str, Any]],
        annotation_type: BoundingBox | None = None,
    ) -> AnnotatedSource:
        """``{path: [{"label", "x", "y", "width", "height"}, ...]}``, or Create ML's list.

        Relative paths start at the current folder; whether a file exists is seen when it is read.

        Raises:
            InvalidDataError: an entry cannot serve; the reason names it.
            InvalidParameterError: it is neither.
        """
        from silverprint.data.annotations import memory
        from silverprint.data.annotations.collect import collected

        _check_type(annotation_type)
        return collected(memory.read(annotations, annotation_type), "annotations")

    @classmethod
    def frame(
        cls,
        frame: Frame,
        annotation_type: BoundingBox | None = None,
        *,
        image: str | None = None,
        annotation: str | None = None,
    ) -> AnnotatedSource:
        """A pandas DataFrame, or ``{column: values}``.

        Each row holds a picture and, in the column ``annotation`` or ``annotations``, the list of
        its boxes; or each row holds one box in columns image, label, x, y, width and height, with
        nothing but the image where it has no boxes.

        Args:
            image, annotation: the columns, where others than the usual ones.

        Raises:
            InvalidDataError: the frame, or a row of it, cannot serve; the reason names the row.
            InvalidParameterError: it is no frame, or there is no such column.
        """
        from silverprint.data.annotations import memory
        from silverprint.data.annotations.collect import collected

        _check_type(annotation_type)
        listing = memory.read_frame(frame, annotation_type, image, annotation)
        return collected(listing, "frame")

    @classmethod
    def of(cls, data: Any, annotation_type: BoundingBox | None = None) -> AnnotatedSource:
        """`data` itself; a folder; ``{path: boxes}`` or Create ML's list; or a DataFrame.

        Raises:
            InvalidParameterError: `annotation_type` is given with a source, which has its own.
            InvalidDataError: as for the method that each is given to.
        """
        if isinstance(data, AnnotatedSource):
            if annotation_type is not None:
                raise InvalidParameterError(
                    "annotation_type", annotation_type, "None, for the source has been read already"
                )
            return data
        if hasattr(data, "columns") and hasattr(data, "iloc"):
            return cls.frame(data, annotation_type)
        if isinstance(data, (str, os.PathLike)):
            return cls.directory_with_images(data, annotation_type=annotation_type)
        return cls.annotated_images(data, annotation_type)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        shown = [f"{label!r}: {count}" for label, count in self.counts.items()]
        if len(shown) > _SHOWN_LABELS:
            shown[_SHOWN_LABELS:] = ["..."]
        return (
            f"AnnotatedSource({counted(len(self), 'picture')}, "
            f"{counted(len(self.boxes.labels), 'box')} {{{', '.join(shown)}}} from {self.origin})"
        )

    @property
    def counts(self) -> dict[str, int]:
        """Number of boxes of each label, in the order of `labels`."""
        counts = np.bincount(self.boxes.labels, minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=True))

    @property
    def annotation_type(self) -> BoundingBox:
        """What the numbers of `gather_annotated_file_names` mean."""
        return BoundingBox(self.units, self.y_origin, "center")

    @cached_property
    def items(self) -> tuple[tuple[Path, PictureBoxes], ...]:
        """Each picture and its boxes, which `resolve.resolved` makes fractions of the picture."""
        return tuple((path, self.boxes_of(i)) for i, path in enumerate(self.paths))

    def boxes_of(self, number: int) -> PictureBoxes:
        """The boxes of picture `number`."""
        rows = slice(*self.boxes.offsets[number : number + 2].tolist())
        width, height = self.sizes[number].tolist()
        return PictureBoxes(
            self.paths[number],
            self.boxes.edges[rows],
            self.boxes.labels[rows],
            self.labels,
            self.boxes.indices[rows],
            (width, height) if width else None,
            self.units,
            self.y_origin,
        )

    @property
    def report(self) -> AnnotationReport:
        """Counts of what is there, and what was left out and why."""
        negatives = self.boxes.counts == 0
        emptied = {box.path for box in self.dropped}
        return AnnotationReport(
            len(self),
            self.counts,
            int(np.count_nonzero(negatives)),
            sum(self.paths[i] in emptied for i in np.flatnonzero(negatives)),
            int(self.clipped.sum()),
            self.dropped,
            self.unlisted,
        )

    def gather_annotated_file_names(self) -> Records[AnnotatedFile]:
        """The pictures and their boxes in Create ML's form, those without a box included.

        `annotated_images` makes the same source of such rows, given `annotation_type`.
        """
        return gathered(self)

    def subset(self, paths: Iterable[StrPath]) -> AnnotatedSource:
        """The pictures in `paths`, such as those of one part of a published split.

        Raises:
            InvalidDataError: one of them is not in this source, or none is given.
        """
        rows = rows_of(self, paths)
        return of_pictures(self, rows, f"{counted(len(rows), 'picture')} of {self.origin}")

    def stratified_split(
        self, proportions: Sequence[float], seed: int = 0
    ) -> list[AnnotatedSource]:
        """One source for each proportion, the pictures of each label divided alike.

        A picture counts under the label of its boxes that the fewest pictures have, of equally rare
        ones the first; those without a box are divided among themselves. Else as
        `DataSource.stratified_split`: proportions are relative, and which pictures go where follows
        from a hash of (seed, label, file name).

        Raises:
            InvalidParameterError: no proportions, or one that is not a positive number.
            InvalidDataError: a part would get no picture at all.
        """
        items = list(zip(self.paths, rarest_labels(self), strict=True))
        parts = divide(items, None, proportions, seed)
        if not all(parts):
            raise InvalidDataError(
                self.origin, f"too few pictures to divide into {len(parts)} parts; add pictures"
            )
        return [
            of_pictures(self, rows, f"part {number} of {len(parts)} of {self.origin}")
            for number, rows in enumerate(parts, start=1)
        ]

    def require_boxes(self) -> None:
        """Check that there is a box, as training needs.

        Raises:
            InvalidDataError: there is none.
        """
        if not self.labels:
            lines = "; ".join(dropped_by_reason(self.dropped))
            raise InvalidDataError(
                self.origin,
                f"none of its {counted(len(self), 'picture')} has a box"
                + (f" (dropped: {lines})" if lines else "; annotate the objects in some of them"),
            )

    def measured(self) -> AnnotatedSource:
        """The same, with the sizes of all pictures read from their headers, so that `report` tells
        of boxes outside their pictures, whatever the format.

        Raises:
            InvalidDataError: a picture cannot be read, or is not the one that was annotated.
        """
        return measured(self)


def _check_type(annotation_type: object) -> None:
    if annotation_type is not None and not isinstance(annotation_type, BoundingBox):
        raise InvalidParameterError(
            "annotation_type", annotation_type, "a BoundingBox, or None for the format's own"
        )
