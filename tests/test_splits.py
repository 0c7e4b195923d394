"""Folds and held-out shares: stable under change, and never without a label in training."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.splits import Split, folds, held_out
from silverprint.errors import InvalidParameterError

Pictures = list[tuple[bytes, int]]

# Few different digests, so that equal ones and small labels are common.
pictures = st.lists(
    st.tuples(st.integers(0, 30).map(lambda n: digest(n)), st.integers(0, 4)), max_size=40
)
counts = st.integers(2, 7)
seeds = st.integers(-3, 3)
ratios = st.floats(0.01, 0.99)


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def hashed(picture: bytes, seed: int) -> int:
    """The documented hash, written down a second time."""
    text = b"silverprint split " + str(seed).encode() + b"\0" + picture
    return int(hashlib.sha256(text).hexdigest()[:16], 16)


def fold_of(found: Pictures, count: int, seed: int) -> npt.NDArray[np.int16]:
    return folds([d for d, _ in found], np.array([y for _, y in found], int), count, seed)


def held_of(found: Pictures, ratio: float, seed: int) -> npt.NDArray[np.bool_]:
    return held_out([d for d, _ in found], np.array([y for _, y in found], int), ratio, seed)


def distinct(found: Pictures, label: int) -> set[bytes]:
    return {d for d, y in found if y == label}


@given(pictures, counts, seeds)
def test_folds_are_the_hash_but_for_two_repairs(found: Pictures, count: int, seed: int) -> None:
    fold = fold_of(found, count, seed)
    assert fold.dtype == np.int16
    for label in {y for _, y in found}:
        own = distinct(found, label)
        plain = {d: hashed(d, seed) % count for d in own}
        if len(own) == 1:
            plain = dict.fromkeys(own, -1)
        elif len(set(plain.values())) == 1:
            moved = min(own, key=lambda d: hashed(d, seed))
            plain[moved] = (plain[moved] + 1) % count
        assert all(fold[i] == plain[d] for i, (d, y) in enumerate(found) if y == label)


@given(pictures, counts, seeds)
def test_every_label_is_trained_on_whichever_fold_is_held_out(
    found: Pictures, count: int, seed: int
) -> None:
    fold = fold_of(found, count, seed)
    labels = np.array([y for _, y in found], int)
    for held in range(count):
        assert set(labels[fold != held]) == set(labels)


@given(pictures, counts, seeds, ratios, st.randoms())
def test_the_order_of_the_pictures_does_not_matter(
    found: Pictures, count: int, seed: int, ratio: float, random: object
) -> None:
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = [found[i] for i in order]
    assert (fold_of(found, count, seed)[order] == fold_of(other, count, seed)).all()
    assert (held_of(found, ratio, seed)[order] == held_of(other, ratio, seed)).all()


def test_nor_does_that_of_the_labels_where_one_picture_has_several() -> None:
    """With so small a share only the smallest hash of all is held out: under both labels."""
    found = [(digest(0), 0), (digest(0), 1), (digest(1), 0), (digest(1), 1)]
    held = held_of(found, 0.125, 0)
    assert (held[::-1] == held_of(found[::-1], 0.125, 0)).all()
    assert held.sum() == 2


@given(pictures, pictures, counts, seeds)
def test_adding_or_removing_pictures_moves_at_most_one_digest_a_label(
    found: Pictures, added: Pictures, count: int, seed: int
) -> None:
    """The one that a repair had moved or moves now; a label with one picture is another matter."""
    before = fold_of(found, count, seed)
    after = fold_of(found + added, count, seed)[: len(found)]
    for label in {y for _, y in found}:
        moved = {d for i, (d, y) in enumerate(found) if y == label and before[i] != after[i]}
        assert len(moved) <= 1 or len(distinct(found, label)) == 1


@given(pictures, pictures, counts, seeds)
def test_other_labels_do_not_matter(
    found: Pictures, added: Pictures, count: int, seed: int
) -> None:
    elsewhere = [(d, y + 100) for d, y in added]
    before = fold_of(found, count, seed)
    assert (before == fold_of(found + elsewhere, count, seed)[: len(found)]).all()


def test_large_sets_are_divided_evenly() -> None:
    found = [(digest(n), n % 3) for n in range(20_000)]
    sizes = np.bincount(fold_of(found, 5, 0))
    # Binomial, standard deviation 57: five of them.
    assert np.abs(sizes - 4000).max() < 285
    assert abs(held_of(found, 0.1, 0).sum() - 2000) < 5 * 43
    # Another seed divides independently: a fifth stays in its fold by chance.
    same = (fold_of(found, 5, 0) == fold_of(found, 5, 1)).mean()
    assert abs(same - 0.2) < 0.02


def test_folds_stay_what_they_are() -> None:
    """Stored sessions depend on these numbers, which were computed with sha256sum in a shell."""
    assert fold_of([(digest(n), 0) for n in range(8)], 5, 0).tolist() == [2, 4, 3, 4, 4, 0, 2, 2]


@given(pictures, ratios, seeds)
def test_held_out_is_the_lowest_hashes_but_for_the_repairs(
    found: Pictures, ratio: float, seed: int
) -> None:
    held = held_of(found, ratio, seed)
    chosen: set[tuple[bytes, int]] = set()
    divisible = {y for _, y in found if len(distinct(found, y)) > 1}
    for label in divisible:
        own = sorted(distinct(found, label), key=lambda d: hashed(d, seed))
        number = sum(hashed(d, seed) < int(ratio * 2**64) for d in own)
        if number == 0 and ratio * len(own) >= 0.5:
            number = 1
        chosen |= {(d, label) for d in own[: min(number, len(own) - 1)]}
    if divisible and not chosen:
        candidates = [p for p in found if p[1] in divisible]
        lowest = min(hashed(d, seed) for d, _ in candidates)
        assert {hashed(d, seed) for d, _ in {p for p, h in zip(found, held, strict=True) if h}} == {
            lowest
        }
    else:
        assert [p in chosen for p in found] == held.tolist()


@given(pictures, ratios, seeds)
def test_every_label_is_trained_on_and_something_is_held_out(
    found: Pictures, ratio: float, seed: int
) -> None:
    held = held_of(found, ratio, seed)
    labels = np.array([y for _, y in found], int)
    assert set(labels[~held]) == set(labels)
    assert held.any() == any(len(distinct(found, y)) > 1 for y in set(labels.tolist()))


def test_small_labels_keep_their_pictures_when_little_is_held_out() -> None:
    found = [(digest(n), n // 2) for n in range(1000)]
    assert 0.05 < held_of(found, 0.1, 0).mean() < 0.15
    assert held_of(found, 0.25, 0).reshape(-1, 2).any(axis=1).all()


def test_nothing_is_held_out_at_ratio_zero() -> None:
    assert not held_of([(digest(n), 0) for n in range(50)], 0.0, 0).any()


def test_split_names_what_is_wrong() -> None:
    assert repr(Split(0.1, seed=7)) == "Split(ratio=0.1, seed=7, group_by=None)"
    assert Split(0.1, group_by="folder") == Split(0.1, 0, "folder")
    for ratio in (0, 1, -0.5, float("nan"), "0.1", True):
        with pytest.raises(InvalidParameterError, match="ratio"):
            Split(ratio)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="seed"):
        Split(0.1, seed=1.5)  # type: ignore[arg-type]
    for group_by in ("", " ", 3, ["folder"]):
        with pytest.raises(InvalidParameterError, match="'folder', the name of a column, or a fun"):
            Split(0.1, group_by=group_by)  # type: ignore[arg-type]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="count"):
        folds([], np.zeros(0, int), count=1)
    with pytest.raises(InvalidParameterError, match="one for each of the 1 digests"):
        folds([digest(0)], np.zeros(2, int))
    with pytest.raises(InvalidParameterError, match="float64"):
        folds([digest(0)], np.zeros(1))
    with pytest.raises(InvalidParameterError, match="ratio"):
        held_out([digest(0)], np.zeros(1, int), 1.0)
