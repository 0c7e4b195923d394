"""Which pictures are held out, from a hash of their bytes or of their group's name.

A picture's place follows from SHA-256 of the seed and its own digest, so it stays where it is when
pictures are added, removed, renamed or given in another order. Only the few repairs below look at
other pictures of the same label. Where pictures have groups, a group's place follows from the seed
and its name in the same way (`units`).
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from silverprint.checks import real, whole
from silverprint.data.units import Unit, folds_of_units, held_out_units, units_of
from silverprint.errors import InvalidParameterError

GroupBy: TypeAlias = str | Callable[[Path], str]
"""``"folder"``, the name of a column, or a function of the path; see `DataSource.grouped`."""

_HASHES = 2**64


@dataclass(frozen=True)
class Split:
    """Hold out a share of the data for validation.

    Immutable: threads may share it.

    Args:
        ratio: share of the pictures, above 0 and below 1.
        seed: another seed, another choice.
        group_by: what keeps pictures together, as for `DataSource.grouped`: ``"folder"``, the
            name of a column of the manifest or frame, or a function of the path. None: the groups
            that the data source has, if any.

    Raises:
        InvalidParameterError: a field has a value that is not allowed.
    """

    ratio: float
    seed: int = 0
    group_by: GroupBy | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", _checked_ratio(self.ratio, lowest_included=False))
        object.__setattr__(self, "seed", checked_seed(self.seed))
        if self.group_by is not None:
            check_group_by(self.group_by)


def folds(
    digests: Sequence[bytes],
    labels: npt.NDArray[np.integer],
    count: int = 5,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> npt.NDArray[np.int16]:
    """The fold of each picture: int16 of shape (n,), 0 to `count` - 1, or -1 for never held out.

    Args:
        digests: SHA-256 of each picture's bytes (any bytes that tell pictures apart will do).
        labels: integer label of each picture, shape (n,).
        count: number of folds. With few pictures some folds may be empty.
        seed: another seed, other folds.
        groups: the group of each picture; None: none have any.

    The fold is ``hash(seed, digest) mod count``. Equal digests share a fold; under two different
    labels, unless a repair moves one of them. There are two repairs, label by label, so that every
    label remains, whichever fold is held out:

    - all pictures have one digest: -1, they are always trained on;
    - all fell into one fold: the picture with the smallest hash moves to the next fold.

    With `groups` the unit is the group; groups that hold a picture of the same bytes are one. Units
    are never divided, whatever their labels, and every label remains, whichever fold is held out.
    The fold is ``hash(seed, group) mod count`` of the unit's group with the smallest hash. Repairs:

    - a label has one unit: -1 for all of that unit, its pictures of other labels included;
    - all units of a label fell into one fold: the one with the smallest hash moves to the next fold
      in which it leaves no label of its own in one fold only, or to -1 if there is none.

    Raises:
        InvalidParameterError: `labels` or `groups` does not fit `digests`, or `count` or `seed` is
            not allowed.
    """
    if type(count) is not int or not 2 <= count <= np.iinfo(np.int16).max:
        raise InvalidParameterError("count", count, "a whole number of folds from 2 to 32767")
    result = np.full(len(digests), -1, np.int16)
    if groups is not None:
        units = _units(digests, labels, groups, seed)
        for unit, fold in zip(units, folds_of_units(units, count), strict=True):
            result[list(unit.rows)] = fold
        return result
    for hashes in _hashes_by_label(digests, labels, seed):
        if len(hashes) < 2:
            continue
        place = {value: value % count for value in hashes}
        if len(set(place.values())) == 1:
            smallest = min(hashes)
            place[smallest] = (place[smallest] + 1) % count
        for value, rows in hashes.items():
            result[rows] = place[value]
    return result


def held_out(
    digests: Sequence[bytes],
    labels: npt.NDArray[np.integer],
    ratio: float,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> npt.NDArray[np.bool_]:
    """Which pictures are held out: bool of shape (n,).

    Args:
        digests, labels, seed, groups: as for `folds`.
        ratio: share to hold out, 0 to below 1.

    Held out is a picture whose hash lies in the lowest `ratio` of all hashes. Equal digests of a
    label share their fate. Repairs, where n is the number of different digests of a label:

    - n = 1: never held out;
    - all n would be held out: the one with the largest hash is trained on;
    - none would be, though ratio * n >= 1/2: the one with the smallest hash is held out. Labels
      with fewer pictures may have none, so that they are not trained on half of their pictures;
    - nothing at all would be, though ratio > 0: the smallest hash of all labels with n >= 2 is.

    With `groups` the units of `folds` take the place of pictures, in the hash, in n and in these
    repairs. No repair divides a unit, and one is only held out by them where every label of its own
    keeps another unit that is trained on; the share of pictures held out is as uneven as the
    groups' sizes.

    Raises:
        InvalidParameterError: `labels` or `groups` does not fit `digests`, or `ratio` or `seed` is
            not allowed.
    """
    ratio = _checked_ratio(ratio, lowest_included=True)
    result = np.zeros(len(digests), np.bool_)
    if ratio == 0:
        checked_seed(seed)
        return result
    threshold = int(ratio * _HASHES)
    if groups is not None:
        units = _units(digests, labels, groups, seed)
        for position in held_out_units(units, threshold, ratio):
            result[list(units[position].rows)] = True
        return result
    divisible = [hashes for hashes in _hashes_by_label(digests, labels, seed) if len(hashes) > 1]
    for hashes in divisible:
        chosen = {value for value in hashes if value < threshold}
        if len(chosen) == len(hashes):
            chosen.remove(max(hashes))
        if not chosen and ratio * len(hashes) >= 0.5:
            chosen = {min(hashes)}
        for value in chosen:
            result[hashes[value]] = True
    if divisible and not result.any():
        smallest = min(map(min, divisible))
        for hashes in divisible:  # several, where a picture stands under several labels
            result[hashes.get(smallest, [])] = True
    return result


def _hashes_by_label(
    digests: Sequence[bytes], labels: npt.NDArray[np.integer], seed: int
) -> list[dict[int, list[int]]]:
    """For each label the rows of each hash."""
    numbers = _checked_labels(digests, labels, seed)
    start = hashlib.sha256(f"silverprint split {seed}\0".encode())
    found: dict[int, dict[int, list[int]]] = {}
    for row, (digest, label) in enumerate(zip(digests, numbers, strict=True)):
        state = start.copy()
        state.update(digest)
        value = int.from_bytes(state.digest()[:8], "big")
        found.setdefault(label, {}).setdefault(value, []).append(row)
    return list(found.values())


def _units(
    digests: Sequence[bytes], labels: npt.NDArray[np.integer], groups: Sequence[str], seed: int
) -> list[Unit]:
    numbers = _checked_labels(digests, labels, seed)
    if isinstance(groups, str) or len(groups) != len(digests):
        raise InvalidParameterError(
            "groups", f"{len(groups)} of them", f"one for each of the {len(digests)} digests"
        )
    for group in groups:
        if not isinstance(group, str):
            raise InvalidParameterError("groups", group, "text for each picture")
    return units_of(digests, numbers, groups, seed)


def _checked_labels(
    digests: Sequence[bytes], labels: npt.NDArray[np.integer], seed: int
) -> list[int]:
    checked_seed(seed)
    labels = np.asarray(labels)
    if labels.shape != (len(digests),) or labels.dtype.kind not in "iu":
        raise InvalidParameterError(
            "labels",
            f"{labels.dtype} of shape {labels.shape}",
            f"integers, one for each of the {len(digests)} digests",
        )
    numbers: list[int] = labels.tolist()
    return numbers


def _checked_ratio(ratio: float, *, lowest_included: bool) -> float:
    lowest = "0 or above" if lowest_included else "above 0"
    least = 0.0 if lowest_included else sys.float_info.min
    return real("ratio", ratio, f"a number {lowest} and below 1", least, math.nextafter(1, 0))


def checked_seed(seed: object) -> int:
    """`seed` as an int.

    Raises:
        InvalidParameterError: it is no whole number.
    """
    return whole("seed", seed, "a whole number", -(2**64), 2**64)


def check_group_by(group_by: object) -> None:
    """Raise InvalidParameterError unless `group_by` is text or can be called."""
    if not callable(group_by) and not (isinstance(group_by, str) and group_by.strip()):
        raise InvalidParameterError(
            "group_by", group_by, "'folder', the name of a column, or a function of the path"
        )
