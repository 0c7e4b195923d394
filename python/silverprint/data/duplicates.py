"""Files that hold the same bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from silverprint.data.reading import printable
from silverprint.data.records import Records
from silverprint.errors import InvalidParameterError


@dataclass(frozen=True)
class Duplicate:
    """One picture that stands in several files.

    Attributes:
        paths: the files, two or more.
        labels: the label of each file.
    """

    paths: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def is_contradictory(self) -> bool:
        """Whether the files stand under different labels."""
        return len(set(self.labels)) > 1


def find_duplicates(
    items: Sequence[tuple[str | os.PathLike[str], str]], digests: Sequence[bytes]
) -> Records[Duplicate]:
    """The pictures that stand in several files, those under different labels first.

    Then by the number of files, largest first, and by the first path. Within one, files are
    ordered by label and path.

    Args:
        items: (path, label) of each file.
        digests: SHA-256 of each file's bytes.

    Raises:
        InvalidParameterError: `digests` does not fit `items`.
    """
    if len(digests) != len(items):
        raise InvalidParameterError("digests", len(digests), f"one for each of {len(items)} items")
    files: dict[bytes, list[tuple[str, str]]] = {}
    for (path, label), digest in zip(items, digests, strict=True):
        files.setdefault(digest, []).append((label, printable(path)))
    found = [
        Duplicate(tuple(path for _, path in same), tuple(label for label, _ in same))
        for same in map(sorted, files.values())
        if len(same) > 1
    ]
    found.sort(key=lambda one: (not one.is_contradictory, -len(one.paths), one.paths, one.labels))
    return Records(found)


def duplicates_summary(duplicates: Sequence[Duplicate]) -> str:
    """What `find_duplicates` found, in a line for a log; empty where it found nothing."""
    wrong = [one for one in duplicates if one.is_contradictory]
    copies = [one for one in duplicates if not one.is_contradictory]
    parts = []
    if wrong:
        files = dict(zip(wrong[0].labels, wrong[0].paths, strict=True))
        example = ", ".join(f"{path} = {label!r}" for label, path in list(files.items())[:2])
        subject = "1 picture stands" if len(wrong) == 1 else f"{len(wrong)} pictures stand"
        parts.append(f"{subject} under more than one label (such as {example})")
    if copies:
        count = sum(len(one.paths) - 1 for one in copies)
        more = " more" if wrong else ""
        what = "file is a copy of another" if count == 1 else "files are copies of others"
        parts.append(f"{count}{more} {what} (such as {copies[0].paths[1]})")
    return "; ".join(parts)
