"""Files of equal bytes: those under two labels first, and one line for a log."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.duplicates import Duplicate, duplicates_summary, find_duplicates
from silverprint.errors import InvalidParameterError

Files = list[tuple[str, str, int]]


def found(files: Files) -> tuple[Duplicate, ...]:
    items = [(Path(path), label) for path, label, _ in files]
    return find_duplicates(items, [hashlib.sha256(bytes([n])).digest() for _, _, n in files])


PETS: Files = [
    ("cat/1.jpg", "cat", 1),
    ("cat/1 copy.jpg", "cat", 1),
    ("cat/1 copy 2.jpg", "cat", 1),
    ("cat/2.jpg", "cat", 2),
    ("dog/3.jpg", "dog", 3),
    ("cat/3.jpg", "cat", 3),
    ("dog/4.jpg", "dog", 4),
    ("dog/5.jpg", "dog", 4),
]


def test_contradictions_come_first_and_then_what_has_most_copies() -> None:
    assert found(PETS) == (
        Duplicate(("cat/3.jpg", "dog/3.jpg"), ("cat", "dog")),
        Duplicate(("cat/1 copy 2.jpg", "cat/1 copy.jpg", "cat/1.jpg"), ("cat", "cat", "cat")),
        Duplicate(("dog/4.jpg", "dog/5.jpg"), ("dog", "dog")),
    )
    assert [one.is_contradictory for one in found(PETS)] == [True, False, False]


def test_the_summary_is_one_line() -> None:
    assert duplicates_summary(found(PETS)) == (
        "1 picture stands under more than one label (such as cat/3.jpg = 'cat', dog/3.jpg = "
        "'dog'); 3 more files are copies of others (such as cat/1 copy.jpg)"
    )
    assert duplicates_summary(found(PETS[6:])) == "1 file is a copy of another (such as dog/5.jpg)"
    two = [(f"{y}/{n}.jpg", y, n) for n in (1, 2) for y in ("a", "b", "c")]
    assert duplicates_summary(found(two)) == (
        "2 pictures stand under more than one label (such as a/1.jpg = 'a', b/1.jpg = 'b')"
    )
    assert duplicates_summary(found(PETS[3:5])) == ""


def test_duplicates_make_a_frame() -> None:
    pytest.importorskip("pandas")
    records = find_duplicates([("a", "x"), ("b", "y")], [b"1", b"1"])
    assert records.to_pandas().to_dict("list") == {"paths": [("a", "b")], "labels": [("x", "y")]}


def test_each_file_needs_a_digest() -> None:
    with pytest.raises(InvalidParameterError, match="one for each of 1 items"):
        find_duplicates([("a", "x")], [])


files = st.lists(
    st.tuples(st.integers(0, 99).map(str), st.sampled_from("abc"), st.integers(0, 9)),
    max_size=30,
    unique_by=lambda file: file[0],
)


@given(files, st.randoms())
def test_every_copy_is_found_in_whatever_order(files: Files, random: object) -> None:
    records = found(files)
    named = [path for one in records for path in one.paths]
    assert len(named) == len(set(named))
    numbers = [n for _, _, n in files]
    assert set(named) == {path for path, _, n in files if numbers.count(n) > 1}
    random.shuffle(files)  # type: ignore[attr-defined]
    assert found(files) == records
