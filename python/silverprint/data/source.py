"""Pictures and their labels: where the data of a classifier comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.source import AnnotatedSource
from silverprint.data.frame import read_frame
from silverprint.data.groups import groups_of
from silverprint.data.manifest import is_manifest, locate, read_manifest
from silverprint.data.mapping import StrPath, as_path, paths_by_label
from silverprint.data.reading import display_name, printable
from silverprint.data.scan import entries, is_picture, label_of, scan_label_folders
from silverprint.data.splits import GroupBy
from silverprint.data.stratified import divide
from silverprint.data.table import Choice, Table, labelled_rows
from silverprint.errors import InvalidDataError, InvalidParameterError

if TYPE_CHECKING:
    from silverprint.data.frame import Frame

__all__ = ["DataSource", "StrPath"]
_SHOWN_LABELS = 6


@dataclass(frozen=True, repr=False)
class DataSource:
    """Labelled pictures, as paths; nothing is read before training.

    Made by `labeled_directories`, `labeled_files`, `files_by_label`, `manifest`, `frame` or `of`.
    Immutable and picklable; threads may share it. `silverprint.data.scan` documents which files of
    a folder count as pictures.

    Attributes:
        items: (path, label) of every picture in manifest order: by label, then by path. The
            order does not depend on that in which files were found or given.
        origin: what the source was made of, for messages.
        groups: the group of each item, or None. Pictures of one group are never divided by a
            split or by folds.
        columns: further columns of a manifest or frame: name, and a text for each item.
    """

    items: tuple[tuple[Path, str], ...]
    origin: str
    groups: tuple[str, ...] | None = None
    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def labeled_directories(cls, path: StrPath) -> DataSource:
        """A folder with one sub-folder for each label.

        Pictures in folders further down belong to the label of the topmost one. Folders whose
        names are the same text in another Unicode form are one label. Folders without pictures
        and pictures outside any label folder are left out, with a warning in the log.

        Raises:
            InvalidDataError: no label folder holds a picture, or the folders are ``train``,
                ``test`` and the like with the same labels in each.
        """
        root = as_path(path)
        return cls._made(scan_label_folders(root), printable(root))

    @classmethod
    def labeled_files(cls, path: StrPath) -> DataSource:
        """A flat folder; the label is the file name up to the first period (``cat.2.jpg``).

        Sub-folders are not looked into.

        Raises:
            InvalidDataError: the folder holds no picture.
        """
        root = as_path(path)
        found: dict[str, list[Path]] = {}
        for entry in entries(root, "a folder of pictures named like cat.1.jpg"):
            if is_picture(entry):
                label = label_of(entry.name.split(".", 1)[0])
                found.setdefault(label, []).append(Path(entry.path))
        if not found:
            raise InvalidDataError(
                display_name(root),
                "holds no picture itself; give a folder of pictures named like cat.1.jpg, or use "
                "labeled_directories if its sub-folders are the labels",
            )
        return cls._made(found, printable(root))

    @classmethod
    def files_by_label(cls, mapping: Mapping[str, Iterable[StrPath]]) -> DataSource:
        """``{label: [paths]}``. Any file name will do; whether it exists is seen when it is read.

        A path given twice under one label counts once; a label without paths is left out.

        Raises:
            InvalidDataError: nothing is given, or a path stands under two labels.
            InvalidParameterError: labels are not text, or paths not lists of paths.
        """
        return cls._made(paths_by_label(mapping), "files by label")

    @classmethod
    def manifest(
        cls,
        path: StrPath,
        *,
        part: str | None = None,
        group: str | None = None,
        image: str | None = None,
        label: str | None = None,
    ) -> DataSource:
        """A ``.csv``, ``.tsv`` or ``.jsonl`` file that lists pictures and their labels.

        Columns are known by their usual names, upper or lower case: image, path, file, file_name
        and the like; label, class, category, target; part, split, set, subset, partition.
        Relative paths start at the manifest's folder. Whether a file exists is seen when it is
        read. A picture that is listed twice under one label counts once.

        Args:
            path: the file, in UTF-8; `silverprint.data.manifest` documents the formats.
            part: take the rows of this part alone, such as ``"train"``. It must be given where
                the manifest has several.
            group: the column whose equal values keep pictures together.
            image, label: the columns of the paths and labels, where others than the usual ones.

        Raises:
            InvalidDataError: the file, or a line of it, cannot serve; the reason names the line.
            InvalidParameterError: there is no such part or column.
        """
        file = as_path(path)
        choice = Choice(part, group, image, label)
        return cls._of_table(
            read_manifest(file), choice, partial(locate, file.parent), printable(file)
        )

    @classmethod
    def frame(
        cls,
        frame: Frame,
        *,
        part: str | None = None,
        group: str | None = None,
        image: str | None = None,
        label: str | None = None,
    ) -> DataSource:
        """A pandas DataFrame, or ``{column: values}``, with a picture in each row.

        As `manifest`, but for relative paths, which start at the current folder.

        Raises:
            InvalidDataError: the frame, or a row of it, cannot serve; the reason names the row.
            InvalidParameterError: it is no frame, or there is no such part or column.
        """
        choice = Choice(part, group, image, label)
        return cls._of_table(read_frame(frame), choice, Path, "frame")

    @staticmethod
    def directory_with_images(
        path: StrPath,
        annotation_file: StrPath | None = None,
        annotation_type: BoundingBox | None = None,
    ) -> AnnotatedSource:
        """A folder of pictures, at any depth, with boxes for a detector to learn.

        Args:
            path: the folder.
            annotation_file: Create ML or COCO JSON, a folder of Pascal VOC's XML files or YOLO's
                text files, or YOLO's data.yaml; wherever it lies. None: what lies in `path`, its
                format known by its content. A relative path may start at `path` too.
            annotation_type: what the numbers of a box mean in Create ML's JSON; None: its default.
                The other formats define it.

        Raises:
            InvalidDataError: there are no annotations, or several; or they name pictures that are
                missing, or cannot serve otherwise; the reason names the entry.
            InvalidParameterError: `annotation_type` is given for a format that defines its own.
        """
        return AnnotatedSource.directory_with_images(path, annotation_file, annotation_type)

    @classmethod
    def of(cls, data: DataSource | StrPath | Mapping[str, Iterable[StrPath]]) -> DataSource:
        """`data` itself, or a folder of label folders, a manifest, or ``{label: [paths]}``."""
        if isinstance(data, DataSource):
            return data
        if isinstance(data, Mapping):
            return cls.files_by_label(data)
        if hasattr(data, "columns") and hasattr(data, "iloc"):
            raise InvalidParameterError(
                "data", type(data).__name__, "a folder, a manifest, or DataSource.frame(...)"
            )
        if is_manifest(as_path(data)):
            return cls.manifest(data)
        return cls.labeled_directories(data)

    @classmethod
    def _made(cls, found: Mapping[str, Iterable[Path]], origin: str) -> DataSource:
        items = tuple((path, label) for label, paths in found.items() for path in paths)
        return cls(items, origin)._taken()

    @classmethod
    def _of_table(
        cls, table: Table, choice: Choice, locate: Callable[[str], Path], name: str
    ) -> DataSource:
        rows = labelled_rows(table, choice, locate)
        return cls(
            tuple(rows.items),
            name if choice.part is None else f"part {choice.part!r} of {name}",
            None if choice.group is None else tuple(rows.groups),
            tuple((column, tuple(values)) for column, values in rows.columns.items()),
        )._taken()

    def _taken(self, rows: Iterable[int] | None = None, origin: str | None = None) -> DataSource:
        """The items in `rows` and what belongs to them, in manifest order."""
        order = sorted(
            range(len(self)) if rows is None else rows,
            key=lambda i: (self.items[i][1], self.items[i][0].as_posix()),
        )
        return DataSource(
            tuple(self.items[i] for i in order),
            self.origin if origin is None else origin,
            None if self.groups is None else tuple(self.groups[i] for i in order),
            tuple((name, tuple(values[i] for i in order)) for name, values in self.columns),
        )

    @property
    def counts(self) -> dict[str, int]:
        """Number of pictures of each label, in the order of `labels`."""
        return dict(Counter(label for _, label in self.items))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels, sorted by code point."""
        return tuple(self.counts)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        shown = [f"{label!r}: {count}" for label, count in self.counts.items()]
        if len(shown) > _SHOWN_LABELS:
            shown[_SHOWN_LABELS:] = ["..."]
        groups = "" if self.groups is None else f", {len(set(self.groups))} groups"
        return (
            f"DataSource({len(self)} pictures{groups}, {len(self.labels)} labels "
            f"{{{', '.join(shown)}}} from {self.origin})"
        )

    def labeled_images(self) -> dict[str, list[Path]]:
        """The paths of each label, both in manifest order."""
        images: dict[str, list[Path]] = {}
        for path, label in self.items:
            images.setdefault(label, []).append(path)
        return images

    def require_labels(self, count: int = 2) -> None:
        """Check that there are at least `count` labels, as training needs.

        Raises:
            InvalidDataError: there are fewer.
        """
        if len(self.labels) >= count:
            return
        plural = "" if len(self.labels) == 1 else "s"
        shown = ", ".join(map(repr, self.labels))
        reason = (
            f"only {len(self.labels)} label{plural} ({shown}); "
            f"training needs pictures of at least {count}"
        )
        for label in self.labels:
            folder = Path(self.origin, label)
            if any(folder in path.parent.parents for path, _ in self.items):
                reason += f". If the folders in {folder} are the labels, pass that one"
        raise InvalidDataError(self.origin, reason)

    def grouped(self, group_by: GroupBy) -> DataSource:
        """The same pictures, with groups that no split divides.

        Args:
            group_by: a column of the manifest or frame; ``"folder"``, the folder that a picture
                lies in; or a function from the path to the name of its group. A group may hold
                pictures of several labels.

        Folders are named from the folder that all pictures share, so a split is the same wherever
        they lie.

        Raises:
            InvalidParameterError: there is no such column, or the function gave no text.
            InvalidDataError: a picture has no value in the column.
        """
        paths = [path for path, _ in self.items]
        return replace(self, groups=groups_of(paths, dict(self.columns), group_by))

    def stratified_split(self, proportions: Sequence[float], seed: int = 0) -> list[DataSource]:
        """One source for each proportion, every label divided in those proportions.

        Proportions are relative: ``[8, 2]`` is ``[0.8, 0.2]``. Of each label a part gets its
        share, rounded by largest remainder, and at least one picture where the label has as many
        pictures as there are parts; where it has fewer, the larger parts come first.

        Which pictures, follows from a hash of (seed, label, file name), so it is the same on
        every machine and wherever the folder lies.

        With `groups`, whole groups are given out, roughly the largest first, in an order that a
        hash of (seed, group) shifts, each to the part where it keeps the numbers of all labels
        closest to their shares (least chi-squared). Then a part that lacks a label gets the
        smallest group that holds it and whose labels its own part can all spare.

        Raises:
            InvalidParameterError: no proportions, or one that is not a positive number.
            InvalidDataError: a part would get no picture at all.
        """
        parts = divide(self.items, self.groups, proportions, seed)
        if not all(parts):
            what = "pictures" if self.groups is None else "groups"
            raise InvalidDataError(
                self.origin, f"too few {what} to divide into {len(parts)} parts; add {what}"
            )
        return [
            self._taken(rows, f"part {number} of {len(parts)} of {self.origin}")
            for number, rows in enumerate(parts, start=1)
        ]
