"""Groups: pictures of one patient, object or folder are never divided."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.data.source import DataSource
from silverprint.data.splits import folds, held_out
from silverprint.errors import InvalidDataError, InvalidParameterError

Pictures = list[tuple[bytes, int, str]]


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def picture(number: int, label: int, group: str) -> tuple[bytes, int, str]:
    return digest(number), label, group


# Few groups and labels, and now and then equal digests: repairs and joined groups are common.
pictures = st.lists(
    st.builds(picture, st.integers(0, 60), st.integers(0, 3), st.sampled_from("abcdefghijkl")),
    max_size=30,
)
counts = st.integers(2, 6)
seeds = st.integers(-3, 3)
ratios = st.floats(0.01, 0.99)


def arrays(found: Pictures) -> tuple[list[bytes], npt.NDArray[np.int64], list[str]]:
    return [d for d, _, _ in found], np.array([y for _, y, _ in found], int), [g for *_, g in found]


def fold_of(found: Pictures, count: int = 5, seed: int = 0) -> npt.NDArray[np.int16]:
    digests, labels, groups = arrays(found)
    return folds(digests, labels, count, seed, groups)


def held_of(found: Pictures, ratio: float, seed: int = 0) -> npt.NDArray[np.bool_]:
    digests, labels, groups = arrays(found)
    return held_out(digests, labels, ratio, seed, groups)


def hashed(group: str, seed: int) -> int:
    """The documented hash, written down a second time."""
    text = f"silverprint group {seed}\0{group}".encode()
    return int(hashlib.sha256(text).hexdigest()[:16], 16)


def units(found: Pictures) -> list[set[int]]:
    """Rows that must stay together, by joining whatever overlaps until nothing does."""
    whole: list[set[int]] = []
    for row, (d, _, g) in enumerate(found):
        same = {i for i, (e, _, h) in enumerate(found[:row]) if e == d or h == g}
        touched = [unit for unit in whole if unit & same]
        whole = [unit for unit in whole if not unit & same]
        whole.append({row}.union(*touched))
    return whole


def labels_with_units(found: Pictures) -> Counter[int]:
    """The number of units of each label."""
    return Counter(y for unit in units(found) for y in {found[row][1] for row in unit})


@settings(deadline=None)
@given(pictures, counts, seeds, ratios)
def test_groups_and_equal_pictures_are_never_divided(
    found: Pictures, count: int, seed: int, ratio: float
) -> None:
    fold, held = fold_of(found, count, seed), held_of(found, ratio, seed)
    for unit in units(found):
        assert len(set(fold[list(unit)])) == 1
        assert len(set(held[list(unit)])) == 1


@settings(deadline=None)
@given(pictures, counts, seeds, ratios)
def test_every_label_is_trained_on_whatever_is_held_out(
    found: Pictures, count: int, seed: int, ratio: float
) -> None:
    fold, held = fold_of(found, count, seed), held_of(found, ratio, seed)
    labels = arrays(found)[1]
    for number in range(count):
        assert set(labels[fold != number]) == set(labels)
    assert set(labels[~held]) == set(labels)


@settings(deadline=None)
@given(pictures, counts, seeds)
def test_folds_are_the_hash_of_the_group_but_for_the_repairs(
    found: Pictures, count: int, seed: int
) -> None:
    fold = fold_of(found, count, seed)
    number = labels_with_units(found)
    for unit in units(found):
        own = {found[row][1] for row in unit}
        plain = min(hashed(found[row][2], seed) for row in unit) % count
        (place,) = set(fold[list(unit)].tolist())
        if any(number[y] == 1 for y in own):
            assert place == -1
        elif place != plain:
            alone = [
                y
                for y in own
                if {
                    min(hashed(found[row][2], seed) for row in other) % count
                    for other in units(found)
                    if y in {found[row][1] for row in other}
                }
                == {plain}
            ]
            assert alone, "moved, though no label of its own lay in one fold"


def test_folds_stay_what_they_are() -> None:
    """Stored sessions depend on these numbers, which were computed with sha256sum in a shell."""
    found = [picture(n, 0, f"g{n}") for n in range(8)]
    assert fold_of(found).tolist() == [1, 1, 2, 2, 0, 3, 2, 4]


@settings(deadline=None)
@given(pictures, seeds, ratios)
def test_held_out_are_the_lowest_hashes_but_for_the_repairs(
    found: Pictures, seed: int, ratio: float
) -> None:
    held = held_of(found, ratio, seed)
    number = labels_with_units(found)
    low = {
        row: min(hashed(found[other][2], seed) for other in unit) < int(ratio * 2**64)
        for unit in units(found)
        for row in unit
    }
    for row, (_, label, _) in enumerate(found):
        if number[label] == 1:
            assert not held[row]
    for unit in units(found):
        own = {found[row][1] for row in unit}
        if low[min(unit)] and not held[min(unit)]:
            assert any(all(low[i] for i, (_, y, _) in enumerate(found) if y == x) for x in own)
    # Where each label has its own groups, a label with enough of them has some held out.
    apart = [(d + bytes([y]), y, f"{g}{y}") for d, y, g in found]
    alone = held_of(apart, ratio, seed)
    number = labels_with_units(apart)
    labels = arrays(apart)[1]
    for label, n in number.items():
        assert alone[labels == label].any() or n == 1 or ratio * n < 0.5
    assert alone.any() == any(n > 1 for n in number.values())


@settings(deadline=None)
@given(pictures, counts, seeds, ratios, st.randoms())
def test_the_order_of_the_pictures_does_not_matter(
    found: Pictures, count: int, seed: int, ratio: float, random: object
) -> None:
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = [found[i] for i in order]
    assert (fold_of(found, count, seed)[order] == fold_of(other, count, seed)).all()
    assert (held_of(found, ratio, seed)[order] == held_of(other, ratio, seed)).all()


@settings(deadline=None)
@given(pictures, counts, seeds, ratios)
def test_pictures_added_to_groups_move_nothing(
    found: Pictures, count: int, seed: int, ratio: float
) -> None:
    more = found + [(d + b"new", y, g) for d, y, g in found]
    size = len(found)
    assert (fold_of(found, count, seed) == fold_of(more, count, seed)[:size]).all()
    assert (held_of(found, ratio, seed) == held_of(more, ratio, seed)[:size]).all()


@settings(deadline=None)
@given(pictures, pictures, counts, seeds)
def test_groups_of_other_labels_move_nothing(
    found: Pictures, added: Pictures, count: int, seed: int
) -> None:
    more = found + [(d + b"new", y + 100, f"new {g}") for d, y, g in added]
    assert (fold_of(found, count, seed) == fold_of(more, count, seed)[: len(found)]).all()


def test_a_label_within_one_group_is_always_trained_on_and_so_is_all_of_that_group() -> None:
    found = [picture(n, n % 2, f"g{n % 20}") for n in range(100)]
    found += [picture(200, 2, "g0"), picture(201, 2, "g0")]
    fold = fold_of(found)
    assert {int(fold[row]) for row, (*_, g) in enumerate(found) if g == "g0"} == {-1}
    assert (fold == -1).sum() == 7
    held = held_of(found, 0.5)
    assert not any(held[row] for row, (*_, g) in enumerate(found) if g == "g0")
    assert held.any()


def test_a_group_moves_to_a_fold_in_which_it_leaves_no_label_alone() -> None:
    """d and j hold label 1 and fell into fold 1; in fold 2, the next, d would join c's label 0."""
    found = [picture(n, y, g) for n, (y, g) in enumerate([(0, "c"), (0, "d"), (1, "d"), (1, "j")])]
    assert [hashed(group, 0) % 3 for group in "cdj"] == [2, 1, 1]
    assert hashed("d", 0) < hashed("j", 0)
    assert fold_of(found, count=3).tolist() == [2, 0, 0, 1]


def test_where_all_is_one_group_nothing_is_held_out() -> None:
    found = [picture(n, n % 3, "one") for n in range(30)]
    assert (fold_of(found) == -1).all()
    assert not held_of(found, 0.5).any()


def test_large_sets_are_divided_evenly() -> None:
    found = [picture(n, n % 3, f"g{n // 4}") for n in range(20_000)]
    sizes = np.bincount(fold_of(found))
    # Binomial over 5,000 groups of 4, standard deviation 28 groups: five of them.
    assert np.abs(sizes - 4000).max() < 5 * 4 * 28
    assert abs(held_of(found, 0.1).sum() - 2000) < 5 * 4 * 21


def test_wrong_groups_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="one for each of the 2 digests"):
        folds([digest(0), digest(1)], np.zeros(2, int), groups=["a"])
    with pytest.raises(InvalidParameterError, match="one for each of the 2 digests"):
        held_out([digest(0), digest(1)], np.zeros(2, int), 0.1, groups="ab")
    with pytest.raises(InvalidParameterError, match="text for each picture"):
        folds([digest(0)], np.zeros(1, int), groups=[3])  # type: ignore[list-item]
    with pytest.raises(InvalidParameterError, match="labels"):
        held_out([digest(0)], np.zeros(1), 0.1, groups=["a"])


# ------------------------------------------------------------------------------ data sources


def visits(*rows: str) -> DataSource:
    """Of rows such as ``"a.jpg cat p1"``."""
    path, label, patient = zip(*map(str.split, rows), strict=True)
    return DataSource.frame({"path": path, "label": label, "patient": patient})


def test_groups_come_from_a_column_the_folder_or_a_function() -> None:
    source = visits("x/a.jpg cat p1", "x/b.jpg cat p2", "y/c.jpg dog p1")
    assert source.groups is None
    assert source.grouped("patient").groups == ("p1", "p2", "p1")
    assert source.grouped("folder").groups == ("x", "x", "y")
    assert source.grouped(lambda path: path.stem).groups == ("a", "b", "c")
    assert source.grouped("patient").items == source.items
    assert "3 pictures, 2 groups, 2 labels" in repr(source.grouped("patient"))


def test_folders_have_one_name_wherever_they_lie(tmp_path: Path) -> None:
    def at(root: Path) -> DataSource:
        paths = {"cat": [root / "cat/1/a.jpg", root / "cat/a.jpg"], "dog": [root / "dog/a.jpg"]}
        return DataSource.files_by_label(paths).grouped("folder")

    assert at(tmp_path).groups == ("cat/1", "cat", "dog")
    assert at(Path("here")).groups == at(tmp_path).groups


def test_wrong_groups_of_a_source_are_refused() -> None:
    source = visits("a.jpg cat p1", "b.jpg dog p2")
    with pytest.raises(InvalidParameterError) as caught:
        source.grouped("patiant")
    assert str(caught.value) == (
        "group_by='patiant': expected one of the columns 'patient', 'folder' or a function of the "
        "path; did you mean 'patient'?"
    )
    plain = DataSource.files_by_label({"cat": ["a.jpg"]})
    with pytest.raises(InvalidParameterError, match="this data has no columns"):
        plain.grouped("patient")
    with pytest.raises(InvalidParameterError, match="gives text, not this for a"):
        source.grouped(lambda path: 3)  # type: ignore[arg-type,return-value]
    with pytest.raises(InvalidParameterError, match="group_by=3"):
        source.grouped(3)  # type: ignore[arg-type]
    gap = DataSource.frame({"path": ["a.jpg"], "label": ["x"], "patient": [None]})
    with pytest.raises(
        InvalidDataError, match=r"^a.jpg: no value, or more than one, in column 'pa"
    ):
        gap.grouped("patient")


def test_a_split_keeps_groups_and_the_proportions_of_every_label() -> None:
    rows = [f"{n}.jpg {'cat' if n % 3 else 'dog'} p{n // 6}" for n in range(600)]
    data = visits(*rows).grouped("patient")
    train, test = data.stratified_split([0.8, 0.2], seed=1)
    assert train.counts == {"cat": 320, "dog": 160}
    assert test.counts == {"cat": 80, "dog": 40}
    assert not set(train.groups or ()) & set(test.groups or ())
    assert dict(test.columns)["patient"] == test.groups


def test_a_split_depends_on_its_seed_and_not_on_the_place_or_the_order() -> None:
    rows = [f"{n}.jpg {'cat' if n % 3 else 'dog'} p{n // 6}" for n in range(120)]
    data = visits(*rows).grouped("patient")
    assert visits(*reversed(rows)).grouped("patient").stratified_split([8, 2]) == (
        data.stratified_split([0.8, 0.2], seed=0)
    )
    tests = {data.stratified_split([8, 2], seed=seed)[1].groups for seed in range(5)}
    assert len(tests) == 5
    moved = DataSource.files_by_label(
        {y: [Path("/other") / p for p in paths] for y, paths in data.labeled_images().items()}
    ).grouped(lambda path: f"p{int(path.stem) // 6}")
    assert moved.stratified_split([8, 2])[1].groups == data.stratified_split([8, 2])[1].groups


def test_a_label_in_few_groups_is_in_every_part() -> None:
    rows = [f"{n}.jpg cat p{n}" for n in range(50)] + ["x.jpg dog q1", "y.jpg dog q2"]
    for seed in range(20):
        train, test = visits(*rows).grouped("patient").stratified_split([0.9, 0.1], seed)
        assert train.counts["dog"] == test.counts["dog"] == 1
    with pytest.raises(InvalidDataError, match="too few groups to divide into 2 parts; add groups"):
        visits("a.jpg cat p", "b.jpg dog p").grouped("patient").stratified_split([1, 1])


grouped_rows = st.lists(
    st.tuples(st.sampled_from("xyz"), st.sampled_from("abcdefgh")), min_size=1, max_size=40
)


@settings(deadline=None)
@given(grouped_rows, st.lists(st.floats(0.05, 5), min_size=1, max_size=4), seeds)
def test_parts_are_disjoint_and_never_share_a_group(
    rows: list[tuple[str, str]], proportions: list[float], seed: int
) -> None:
    data = visits(*(f"{n}.jpg {y} {g}" for n, (y, g) in enumerate(rows))).grouped("patient")
    try:
        parts = data.stratified_split(proportions, seed)
    except InvalidDataError:
        groups_of = Counter(label for label, _ in set(rows))
        labels_of = Counter(group for _, group in set(rows))
        assert max(groups_of.values()) < len(proportions) or max(labels_of.values()) > 1
        return
    assert sorted(item for part in parts for item in part.items) == sorted(data.items)
    seen = Counter(group for part in parts for group in set(part.groups or ()))
    assert set(seen.values()) == {1}
