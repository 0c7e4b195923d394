"""What differs between the pictures of a session and those that are given now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from silverprint.data.reading import printable

Item = tuple[Path, str]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Changes:
    """What is different, in paths of pictures.

    Immutable: threads may share it.

    Attributes:
        added, removed: pictures that are on one side only.
        changed: paths whose bytes are others.
        relabelled: pictures with the same bytes under another label.
        moved: pictures that have another path only.
        places: of each picture before, its number among those after; -1 where it is gone, changed
            or relabelled.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    moved: int = 0
    places: tuple[int, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        """Whether other pictures, or other labels, are to be learned from."""
        return bool(self.added or self.removed or self.changed or self.relabelled)

    def __str__(self) -> str:
        counts = {
            "added": len(self.added),
            "removed": len(self.removed),
            "changed": len(self.changed),
            "relabelled": len(self.relabelled),
            "moved": self.moved,
        }
        return ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "nothing changed"


def compare(
    before: Sequence[Item],
    digests: Sequence[bytes | None],
    after: Sequence[Item],
    digests_of: Callable[[Sequence[Path]], Sequence[bytes]],
) -> Changes:
    """What happened to the pictures `before`.

    A picture is known by its bytes: under another path it has moved, under another label it is
    relabelled; a path whose bytes are new is changed, and one that cannot be read any more is
    removed. A picture whose bytes are not known is known by its path, or by its path below the
    folder that all share. Equal pictures are told apart by path.

    Args:
        before, after: (path, label) of each picture.
        digests: SHA-256 of each picture before; None where it was not read yet, b"" where it could
            not be.
        digests_of: reads pictures; b"" for one that cannot be read. Not asked for those after that
            are where one was that was not read yet.
    """
    place = [(os.path.abspath(path), label) for path, label in before]
    place_after = [(os.path.abspath(path), label) for path, label in after]
    below, below_after = _below(place), _below(place_after)
    unread = [i for i, digest in enumerate(digests) if digest is None]
    unreadable = [i for i, digest in enumerate(digests) if digest == b""]
    read = [i for i, digest in enumerate(digests) if digest]
    matching = _Matching(len(before), len(after))

    matching.pair(unread, place.__getitem__, place_after.__getitem__)
    moved = matching.pair(unread, below.__getitem__, below_after.__getitem__)
    new = sorted(matching.new)
    found = dict(zip(new, digests_of([after[j][0] for j in new]), strict=True))

    def own(i: int) -> bytes | None:
        return digests[i]

    def label_and(i: int) -> tuple[str, bytes | None]:
        return before[i][1], digests[i]

    matching.pair(
        read + unreadable, lambda i: (place[i], own(i)), lambda j: (place_after[j], found[j])
    )
    moved += matching.pair(read, label_and, lambda j: (after[j][1], found[j]))
    moved += matching.pair(
        unreadable, lambda i: (below[i], own(i)), lambda j: (below_after[j], found[j])
    )
    places = list(matching.places)
    relabelled = matching.pair(read, own, found.__getitem__)
    relabelled += matching.pair(unread, lambda i: place[i][0], lambda j: place_after[j][0])
    changed = matching.pair(read + unreadable, lambda i: place[i][0], lambda j: place_after[j][0])
    gone = [j for j in changed if not found[j]]

    def names(items: Sequence[Item], numbers: Iterable[int]) -> tuple[str, ...]:
        return tuple(printable(items[i][0]) for i in sorted(numbers))

    return Changes(
        names(after, matching.new),
        names(before, matching.old) + names(after, gone),
        names(after, set(changed).difference(gone)),
        names(after, relabelled),
        len(moved),
        tuple(places),
    )


class _Matching:
    """Pairs of numbers before and after, each number in one pair at most."""

    def __init__(self, before: int, after: int) -> None:
        self.old = set(range(before))
        self.new = set(range(after))
        self.places = [-1] * before

    def pair(
        self,
        candidates: Iterable[int],
        key: Callable[[int], Found],
        key_after: Callable[[int], Found],
    ) -> list[int]:
        """Pair the `candidates` that are left with numbers after of the same key, in order.

        Returns:
            The numbers after.
        """
        by_key: dict[Found, list[int]] = {}
        for i in candidates:
            if i in self.old:
                by_key.setdefault(key(i), []).append(i)
        paired = []
        for j in sorted(self.new) if by_key else ():
            same = by_key.get(key_after(j))
            if same:
                i = same.pop(0)
                self.places[i] = j
                self.old.remove(i)
                self.new.remove(j)
                paired.append(j)
        return paired


def _below(places: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each path below the folder that all of them share, and its label."""
    try:
        shared = os.path.commonpath({os.path.dirname(path) for path, _ in places})
    except ValueError:  # none, or on several drives
        return list(places)
    return [(path[len(shared) :].lstrip(os.sep), label) for path, label in places]
