"""Groups of pictures that no split divides, and where each goes.

A unit is a group, joined with every group that holds a picture of the same bytes. Its place
follows from the hash of the seed and its groups' names alone, so pictures that come into a group
move nothing. A picture that joins two groups moves one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True)
class Unit:
    """Pictures that stay together.

    Attributes:
        hash: the smallest of its groups' hashes, 64 bits.
        rows: the positions of its pictures.
        labels: the labels of its pictures.
    """

    hash: int
    rows: tuple[int, ...]
    labels: frozenset[int]


def units_of(
    digests: Sequence[bytes], labels: Sequence[int], groups: Sequence[str], seed: int
) -> list[Unit]:
    """The units of these pictures, in the order of their hashes."""
    # Whichever group of two that are joined has the smaller hash stands for both.
    hashes = {group: (_hash(group, seed), group) for group in groups}
    stands_for = {group: group for group in hashes}

    def find(group: str) -> str:
        while stands_for[group] != group:
            stands_for[group] = stands_for[stands_for[group]]
            group = stands_for[group]
        return group

    first: dict[bytes, str] = {}
    for digest, group in zip(digests, groups, strict=True):
        one, other = find(first.setdefault(digest, group)), find(group)
        low, high = sorted((one, other), key=hashes.__getitem__)
        stands_for[high] = low
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(find(group), []).append(row)
    return [
        Unit(hashes[name][0], tuple(rows[name]), frozenset(labels[row] for row in rows[name]))
        for name in sorted(rows, key=hashes.__getitem__)
    ]


def folds_of_units(units: Sequence[Unit], count: int) -> list[int]:
    """The fold of each unit, -1 for never held out; `splits.folds` states the rule."""
    place = [unit.hash % count for unit in units]
    by_label = _by_label(units)
    for own in by_label.values():
        if len(own) == 1:
            place[own[0]] = -1
    for own in by_label.values():
        fold = place[own[0]]
        if fold == -1 or any(place[i] != fold for i in own):
            continue
        moved = own[0]
        # Where all other units of one of its labels lie, it must not go: nothing moved here may
        # undo what holds for another label.
        others = [{place[i] for i in by_label[y] if i != moved} for y in units[moved].labels]
        closed = set[int]().union(*(where for where in others if len(where) == 1))
        ahead = [(fold + step) % count for step in range(1, count)]
        place[moved] = next((other for other in ahead if other not in closed), -1)
    return place


def held_out_units(units: Sequence[Unit], threshold: int, ratio: float) -> set[int]:
    """Positions of the units that are held out; `splits.held_out` states the rule."""
    held = {i for i, unit in enumerate(units) if unit.hash < threshold}
    by_label = _by_label(units)
    held.difference_update(own[0] for own in by_label.values() if len(own) == 1)
    for own in by_label.values():
        if held.issuperset(own):
            held.remove(own[-1])

    def can_be_spared(unit: int) -> bool:
        return all(
            any(i != unit and i not in held for i in by_label[label])
            for label in units[unit].labels
        )

    for own in by_label.values():
        if held.isdisjoint(own) and ratio * len(own) >= 0.5:
            held.update(islice(filter(can_be_spared, own), 1))
    if not held:
        held.update(islice(filter(can_be_spared, range(len(units))), 1))
    return held


def _by_label(units: Sequence[Unit]) -> dict[int, list[int]]:
    """Positions of the units of each label, both in order."""
    found: dict[int, list[int]] = {}
    for position, unit in enumerate(units):
        for label in unit.labels:
            found.setdefault(label, []).append(position)
    return dict(sorted(found.items()))


def _hash(group: str, seed: int) -> int:
    text = f"silverprint group {seed}\0{group}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
