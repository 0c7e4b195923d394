"""What differs between the pictures of a session and those of today."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.changes import Changes, compare

A, B, C, D = (bytes([i]) * 32 for i in range(4))


def compared(
    before: dict[str, tuple[str, bytes | None]], after: dict[str, tuple[str, bytes]]
) -> Changes:
    """{path: (label, digest)} on both sides."""

    def digests_of(paths: Sequence[Path]) -> list[bytes]:
        return [after[path.as_posix()][1] for path in paths]

    return compare(
        [(Path(path), label) for path, (label, _) in before.items()],
        [digest for _, digest in before.values()],
        [(Path(path), label) for path, (label, _) in after.items()],
        digests_of,
    )


def test_nothing_changed() -> None:
    pictures: dict[str, tuple[str, bytes | None]]
    pictures = {"cat/1.jpg": ("cat", A), "dog/1.jpg": ("dog", B)}
    changes = compared(pictures, {k: (label, d or b"") for k, (label, d) in pictures.items()})
    assert not changes
    assert changes.places == (0, 1)
    assert str(changes) == "nothing changed"


def test_each_kind_of_change_is_told_apart() -> None:
    changes = compared(
        {
            "cat/kept.jpg": ("cat", A),
            "cat/edited.jpg": ("cat", B),
            "cat/wrong.jpg": ("cat", C),
            "cat/gone.jpg": ("cat", D),
        },
        {
            "cat/kept.jpg": ("cat", A),
            "cat/edited.jpg": ("cat", b"edited"),
            "dog/wrong.jpg": ("dog", C),
            "dog/new.jpg": ("dog", b"new"),
        },
    )
    assert changes.changed == ("cat/edited.jpg",)
    assert changes.relabelled == ("dog/wrong.jpg",)
    assert changes.removed == ("cat/gone.jpg",)
    assert changes.added == ("dog/new.jpg",)
    assert str(changes) == "1 added, 1 removed, 1 changed, 1 relabelled"


def test_a_renamed_picture_has_moved_and_that_is_no_change() -> None:
    changes = compared({"cat/1.jpg": ("cat", A)}, {"elsewhere/x.jpg": ("cat", A)})
    assert not changes
    assert changes.moved == 1
    assert changes.places == (0,)
    assert str(changes) == "1 moved"


def test_pictures_that_were_not_read_yet_are_known_by_their_place() -> None:
    changes = compared(
        {"old/cat/1.jpg": ("cat", None), "old/dog/2.jpg": ("dog", None)},
        {"new/dog/2.jpg": ("dog", B), "new/cat/1.jpg": ("cat", A)},
    )
    assert not changes
    assert changes.places == (1, 0)


def test_a_picture_at_its_place_that_was_not_read_yet_is_not_read_now() -> None:
    def digests_of(paths: Sequence[Path]) -> list[bytes]:
        assert not paths
        return []

    item = (Path("cat/1.jpg"), "cat")
    assert not compare([item], [None], [item], digests_of)


def test_of_equal_pictures_as_many_are_matched_as_there_are() -> None:
    changes = compared(
        {"a": ("cat", A), "b": ("cat", A)}, {"a": ("cat", A), "c": ("cat", A), "d": ("cat", A)}
    )
    assert changes.added == ("d",)
    assert changes.moved == 1
    assert not changes.removed


def test_another_spelling_of_a_path_is_the_same_place() -> None:
    changes = compared({"cat/1.jpg": ("cat", A)}, {str(Path.cwd() / "cat/1.jpg"): ("cat", A)})
    assert str(changes) == "nothing changed"


def test_a_picture_that_cannot_be_read_any_more_is_removed() -> None:
    changes = compared({"1.jpg": ("cat", A), "2.jpg": ("cat", B)}, {"1.jpg": ("cat", b"")})
    assert changes.removed == ("2.jpg", "1.jpg")
    assert not changes.changed


def test_a_picture_that_could_never_be_read_is_known_by_its_place() -> None:
    before = {"old/1.jpg": ("cat", b""), "old/2.jpg": ("dog", b""), "old/3.jpg": ("dog", b"")}
    after = {"new/1.jpg": ("cat", b""), "new/2.jpg": ("dog", b""), "new/3.jpg": ("dog", b"")}
    assert str(compared(dict(before), after)) == "3 moved"
    assert str(compared(dict(before), dict(before))) == "nothing changed"
    mended = before | {"old/2.jpg": ("dog", A)}
    assert compared(dict(before), mended).changed == ("old/2.jpg",)
    relabelled = {"old/1.jpg": ("cat", b""), "old/2.jpg": ("cat", b""), "old/3.jpg": ("dog", b"")}
    assert not compared(dict(before), relabelled).relabelled  # nobody knows


def test_another_label_of_a_picture_that_was_not_read_yet_is_seen_by_its_path() -> None:
    changes = compared(
        {"1.jpg": ("cat", None), "2.jpg": ("dog", A)}, {"1.jpg": ("dog", B), "2.jpg": ("dog", A)}
    )
    assert changes.relabelled == ("1.jpg",)
    assert str(changes) == "1 relabelled"


SIDE = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.sampled_from("xy"), st.sampled_from([A, B, C]))
)


@given(SIDE, SIDE)
def test_every_picture_is_accounted_for_once(
    before: dict[str, tuple[str, bytes]], after: dict[str, tuple[str, bytes]]
) -> None:
    changes = compared(dict(before), after)
    kept = sum(place >= 0 for place in changes.places)
    altered = len(changes.changed) + len(changes.relabelled)
    assert kept + altered + len(changes.removed) == len(before)
    assert kept + altered + len(changes.added) == len(after)
    assert len({place for place in changes.places if place >= 0}) == kept
    assert bool(changes) == (sorted(before.values()) != sorted(after.values()))
