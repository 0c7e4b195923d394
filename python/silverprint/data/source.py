"""Pictures and their labels: where the data of a classifier comes from."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from silverprint.data.reading import display_name, printable
from silverprint.data.scan import entries, is_picture, label_of, scan_label_folders
from silverprint.data.splits import check_seed
from silverprint.errors import InvalidDataError, InvalidParameterError

StrPath: TypeAlias = str | os.PathLike[str]
_SHOWN_LABELS = 6


@dataclass(frozen=True, repr=False)
class DataSource:
    """Labelled pictures, as paths; nothing is read before training.

    Made by `labeled_directories`, `labeled_files`, `files_by_label` or `of`. Immutable and
    picklable. `silverprint.data.scan` documents which files of a folder count as pictures.

    Attributes:
        items: (path, label) of every picture in manifest order: by label, then by path. The
            order does not depend on that in which files were found or given.
        origin: what the source was made of, for messages.
    """

    items: tuple[tuple[Path, str], ...]
    origin: str

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
        root = _as_path(path)
        return cls._made(scan_label_folders(root), printable(root))

    @classmethod
    def labeled_files(cls, path: StrPath) -> DataSource:
        """A flat folder; the label is the file name up to the first period (``cat.2.jpg``).

        Sub-folders are not looked into.

        Raises:
            InvalidDataError: the folder holds no picture.
        """
        root = _as_path(path)
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
        if not isinstance(mapping, Mapping):
            raise InvalidParameterError("mapping", mapping, "a dictionary {label: [paths]}")
        found: dict[str, dict[str, Path]] = {}
        label_by_file: dict[str, str] = {}
        for name, paths in mapping.items():
            if not isinstance(name, str) or not name.strip():
                raise InvalidParameterError("label", name, "text that is not blank")
            if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
                raise InvalidParameterError(f"mapping[{name!r}]", paths, "a list of paths")
            label = label_of(name)
            for path in map(_as_path, paths):
                file = os.path.abspath(path)
                other = label_by_file.setdefault(file, label)
                if other != label:
                    raise InvalidDataError(
                        display_name(path),
                        f"stands under two labels, {other!r} and {label!r}; keep one of them",
                    )
                found.setdefault(label, {}).setdefault(file, path)
        if not found:
            raise InvalidDataError("files_by_label", "no picture is given; give {label: [paths]}")
        return cls._made({label: found[label].values() for label in found}, "files by label")

    @classmethod
    def of(cls, data: DataSource | StrPath | Mapping[str, Iterable[StrPath]]) -> DataSource:
        """`data` itself, or a folder of label folders, or ``{label: [paths]}``."""
        if isinstance(data, DataSource):
            return data
        if isinstance(data, Mapping):
            return cls.files_by_label(data)
        return cls.labeled_directories(data)

    @classmethod
    def _made(cls, found: Mapping[str, Iterable[Path]], origin: str) -> DataSource:
        items = [(path, label) for label, paths in found.items() for path in paths]
        return cls(tuple(sorted(items, key=lambda item: (item[1], item[0].as_posix()))), origin)

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
        return (
            f"DataSource({len(self)} pictures, {len(self.labels)} labels "
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

    def stratified_split(self, proportions: Sequence[float], seed: int = 0) -> list[DataSource]:
        """One source for each proportion, every label divided in those proportions.

        Proportions are relative: ``[8, 2]`` is ``[0.8, 0.2]``. Of each label a part gets its
        share, rounded by largest remainder, and at least one picture where the label has as many
        pictures as there are parts; where it has fewer, the larger parts come first.

        Which pictures, follows from a hash of (seed, label, file name), so it is the same on
        every machine and wherever the folder lies.

        Raises:
            InvalidParameterError: no proportions, or one that is not a positive number.
            InvalidDataError: a part would get no picture at all.
        """
        shares = _validated_proportions(proportions)
        check_seed(seed)
        parts: list[dict[str, list[Path]]] = [{} for _ in shares]
        for label, paths in self.labeled_images().items():
            shuffled = sorted(paths, key=lambda path: _rank(seed, label, path))
            start = 0
            for part, size in zip(parts, _sizes(len(paths), shares), strict=True):
                if size:
                    part[label] = shuffled[start : start + size]
                start += size
        if not all(parts):
            raise InvalidDataError(
                self.origin, f"too few pictures to divide into {len(parts)} parts; add pictures"
            )
        return [
            DataSource._made(part, f"part {number} of {len(parts)} of {self.origin}")
            for number, part in enumerate(parts, start=1)
        ]


def _as_path(path: StrPath) -> Path:
    if not isinstance(path, (str, os.PathLike)) or "\0" in os.fspath(path):
        raise InvalidParameterError("path", path, "a path")
    return Path(path)


def _validated_proportions(proportions: Sequence[float]) -> list[float]:
    allowed = "a list of positive numbers, such as [0.8, 0.2]"
    if isinstance(proportions, (str, bytes)) or not isinstance(proportions, Sequence):
        raise InvalidParameterError("proportions", proportions, allowed)
    for share in proportions:
        number = isinstance(share, (int, float)) and not isinstance(share, bool)
        if not number or not math.isfinite(share) or share <= 0:
            raise InvalidParameterError("proportions", proportions, allowed)
    total = math.fsum(proportions)
    if not proportions or not math.isfinite(total):
        raise InvalidParameterError("proportions", proportions, allowed)
    return [share / total for share in proportions]


def _sizes(count: int, shares: Sequence[float]) -> list[int]:
    """`count` divided by largest remainder; with enough to go round, no part is left empty."""
    exact = [count * share for share in shares]
    # Rounded, so that 10 * 0.7 / (0.7 + 0.3) counts as the 7 that it is.
    sizes = [math.floor(round(part, 9)) for part in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (sizes[i] - exact[i], i))
    for i in by_remainder[: count - sum(sizes)]:
        sizes[i] += 1
    if count < len(shares):
        largest = sorted(range(len(shares)), key=lambda i: (-shares[i], i))[:count]
        return [int(i in largest) for i in range(len(shares))]
    while 0 in sizes:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(0)] += 1
    return sizes


def _rank(seed: int, label: str, path: Path) -> tuple[bytes, str]:
    key = f"{seed}\0{label}\0{printable(path.name)}".encode()
    return hashlib.sha256(key).digest(), path.as_posix()
