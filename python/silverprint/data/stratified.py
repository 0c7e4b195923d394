"""Dividing pictures into parts so that every label is divided in the same proportions."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from silverprint.checks import real
from silverprint.data.reading import printable
from silverprint.data.splits import checked_seed
from silverprint.errors import InvalidParameterError


def divide(
    items: Sequence[tuple[Path, str]],
    groups: Sequence[str] | None,
    proportions: Sequence[float],
    seed: int,
) -> list[list[int]]:
    """The positions of the items of each part, ascending; some parts may be empty.

    `DataSource.stratified_split` states the rule.

    Raises:
        InvalidParameterError: `seed` is no whole number, or a proportion not a positive one.
    """
    shares = _checked(proportions)
    seed = checked_seed(seed)
    if groups is None:
        part_of = _pictures(items, shares, seed)
    else:
        part_of = _groups([label for _, label in items], groups, shares, seed)
    parts: list[list[int]] = [[] for _ in shares]
    for position, part in enumerate(part_of):
        parts[part].append(position)
    return parts


def _pictures(items: Sequence[tuple[Path, str]], shares: Sequence[float], seed: int) -> list[int]:
    """The part of each of `items`."""
    by_label: dict[str, list[int]] = {}
    for position, (_, label) in enumerate(items):
        by_label.setdefault(label, []).append(position)
    part_of = [0] * len(items)
    for label, own in by_label.items():
        shuffled = sorted(own, key=lambda position: _rank(seed, label, items[position][0]))
        start = 0
        for part, size in enumerate(_sizes(len(own), shares)):
            for position in shuffled[start : start + size]:
                part_of[position] = part
            start += size
    return part_of


def _groups(
    labels: Sequence[str], groups: Sequence[str], shares: Sequence[float], seed: int
) -> list[int]:
    """The part of each picture, groups undivided."""
    counts: dict[str, Counter[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        counts.setdefault(group, Counter())[label] += 1
    totals = Counter(labels)
    excess = [{label: -count * share for label, count in totals.items()} for share in shares]
    part_of: dict[str, int] = {}
    for group in sorted(counts, key=lambda group: _turn(seed, group, counts[group].total())):
        # What chi-squared, (count - expected)^2 / expected over parts and labels, would grow by.
        growth = [
            math.fsum(
                n * (n + 2 * over[label]) / (share * totals[label])
                for label, n in sorted(counts[group].items())
            )
            for over, share in zip(excess, shares, strict=True)
        ]
        part = part_of[group] = growth.index(min(growth))
        for label, n in counts[group].items():
            excess[part][label] += n
    _put_labels_into_every_part(part_of, counts, len(shares), seed)
    return [part_of[group] for group in groups]


def _put_labels_into_every_part(
    part_of: dict[str, int], counts: dict[str, Counter[str]], parts: int, seed: int
) -> None:
    """Where a part lacks a label that has a group to spare elsewhere, move the smallest such."""
    by_label: dict[str, list[str]] = {}
    for group in sorted(counts, key=lambda group: (counts[group].total(), _hash(seed, group))):
        for label in counts[group]:
            by_label.setdefault(label, []).append(group)
    groups_in = Counter((label, part_of[group]) for group in counts for label in counts[group])
    for label, own in sorted(by_label.items()):
        for part in range(parts):
            if groups_in[label, part]:
                continue
            for group in own:
                old = part_of[group]
                if all(groups_in[other, old] > 1 for other in counts[group]):
                    groups_in.update((other, part) for other in counts[group])
                    groups_in.subtract((other, old) for other in counts[group])
                    part_of[group] = part
                    break


def _checked(proportions: Sequence[float]) -> list[float]:
    """`proportions`, scaled so that they add up to 1."""
    allowed = "a list of positive numbers, such as [0.8, 0.2]"
    if isinstance(proportions, (str, bytes)) or not isinstance(proportions, Sequence):
        raise InvalidParameterError("proportions", proportions, allowed)
    if not proportions:
        raise InvalidParameterError("proportions", proportions, allowed)
    shares = [real("proportions", share, allowed, 1e-9, 1e9) for share in proportions]
    total = math.fsum(shares)
    return [share / total for share in shares]


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


def _turn(seed: int, group: str, size: int) -> tuple[float, bytes]:
    """Large groups first, for they fit in fewer places; the hash shifts each by up to a half."""
    digest = _hash(seed, group)
    return -size * (1 + int.from_bytes(digest[:4], "big") / 2**32), digest


def _hash(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{group}".encode()).digest()
