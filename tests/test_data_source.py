"""Labelled pictures: what a folder scan takes, leaves out and refuses."""

from __future__ import annotations

import json
import logging
import os
import pickle
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.source import DataSource
from silverprint.errors import InvalidDataError, InvalidParameterError


def make(root: Path, *names: str) -> Path:
    """Empty files of these names: a scan does not open any."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def found(source: DataSource, root: Path) -> dict[str, list[str]]:
    images = source.labeled_images()
    return {y: [p.relative_to(root).as_posix() for p in paths] for y, paths in images.items()}


def refused(path: Path) -> str:
    with pytest.raises(InvalidDataError) as caught:
        DataSource.labeled_directories(path)
    assert str(caught.value).startswith(str(path))
    return caught.value.reason


def test_a_folder_of_label_folders(tmp_path: Path) -> None:
    make(tmp_path, "dog/1.png", "cat/b.jpg", "cat/a.jpg")
    source = DataSource.labeled_directories(tmp_path)
    assert source.labels == ("cat", "dog")
    assert source.counts == {"cat": 2, "dog": 1}
    assert len(source) == 3
    assert source.items == (
        (tmp_path / "cat/a.jpg", "cat"),
        (tmp_path / "cat/b.jpg", "cat"),
        (tmp_path / "dog/1.png", "dog"),
    )
    assert (
        repr(source) == f"DataSource(3 pictures, 2 labels {{'cat': 2, 'dog': 1}} from {tmp_path})"
    )


def test_sources_are_values(tmp_path: Path) -> None:
    source = DataSource.labeled_directories(str(make(tmp_path, "cat/a.jpg", "dog/a.jpg")))
    assert source.labels
    assert pickle.loads(pickle.dumps(source)) == source
    with pytest.raises(AttributeError):
        source.items = ()  # type: ignore[misc]
    source.counts["cat"] = 99
    assert source.counts["cat"] == 1


def test_of_takes_a_folder_a_mapping_or_a_source(tmp_path: Path) -> None:
    make(tmp_path, "cat/a.jpg", "dog/a.jpg")
    source = DataSource.of(tmp_path)
    assert source == DataSource.labeled_directories(tmp_path)
    assert DataSource.of(source) is source
    assert DataSource.of(source.labeled_images()).items == source.items


def test_pictures_are_known_by_extension_and_hidden_names_are_ignored(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("cat/a.JPG", "cat/b.heic", "cat/c.HEIF", "cat/d.avif", "cat/e.tif", "cat/f.webp"),
        *("cat/notes.txt", "cat/a.xml", "cat/no_extension", "cat/Thumbs.db", "cat/desktop.ini"),
        *("cat/._a.JPG", "cat/.thumbnails/a.jpg", "cat/@eaDir/a.jpg"),
        *("__MACOSX/cat/a.jpg", ".git/a.jpg", "labels.csv"),
    )
    assert found(DataSource.labeled_directories(tmp_path), tmp_path) == {
        "cat": ["cat/a.JPG", "cat/b.heic", "cat/c.HEIF", "cat/d.avif", "cat/e.tif", "cat/f.webp"]
    }


def test_nested_folders_belong_to_the_topmost_label(tmp_path: Path) -> None:
    make(tmp_path, "cat/tabby/young/a.jpg", "cat/b.jpg", "dog/a.jpg")
    source = DataSource.labeled_directories(tmp_path)
    assert found(source, tmp_path)["cat"] == ["cat/b.jpg", "cat/tabby/young/a.jpg"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path / "data", "cat/a.jpg", "dog/a.jpg")
    (root / "cat/link.jpg").symlink_to(make(tmp_path, "elsewhere.jpg") / "elsewhere.jpg")
    (root / "cat/loop").symlink_to(root)
    (root / "cat/folder.jpg").symlink_to(root)
    (root / "bird").symlink_to(root / "dog")
    source = DataSource.labeled_directories(root)
    assert found(source, root) == {"cat": ["cat/a.jpg", "cat/link.jpg"], "dog": ["dog/a.jpg"]}
    assert sum("a link to a folder" in r.message for r in caplog.records) == 3


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    make(tmp_path / "real", "cat/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert DataSource.labeled_directories(tmp_path / "link").labels == ("cat",)


def test_what_is_left_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "cat/a.jpg", "dog/a.psd", "loose.jpg")
    with caplog.at_level(logging.WARNING, "silverprint"):
        assert DataSource.labeled_directories(tmp_path).labels == ("cat",)
    assert "dog: left out, for it holds no picture (1 other files)" in caplog.text
    assert "1 pictures outside the label folders left out" in caplog.text


def test_a_folder_without_labels_says_what_is_wrong(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "missing")
    assert "a file, not a folder" in refused(make(tmp_path, "file.jpg") / "file.jpg")
    assert refused(make(tmp_path / "void", ".hidden").resolve()).startswith("empty")
    assert "holds neither" in refused(make(tmp_path / "notes", "readme.txt"))
    assert "holds 2 pictures but no label folders" in refused(
        make(tmp_path / "flat", "a.jpg", "b.jpg")
    )
    assert "none of its 2 folders holds a picture" in refused(
        make(tmp_path / "empty", "cat/a.txt", "dog/b.psd")
    )


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (("train", "val"), "pass {root}/train as data and {root}/val as validation="),
        (("Training", "TEST"), "pass {root}/Training as data and {root}/TEST as validation="),
        (
            ("test", "train", "valid"),
            "{root}/train as data and {root}/valid as validation=, and keep test for evaluation",
        ),
        (("train",), "pass {root}/train as data"),
    ],
)
def test_a_divided_data_set_is_refused(tmp_path: Path, names: tuple[str], advice: str) -> None:
    make(tmp_path, *(f"{name}/{label}/a.jpg" for name in names for label in ("cat", "dog")))
    assert advice.format(root=tmp_path) in refused(tmp_path)


def test_train_may_be_a_label(tmp_path: Path) -> None:
    make(tmp_path, "train/steam/a.jpg", "train/diesel/a.jpg", "car/a.jpg", "test/a.jpg")
    assert DataSource.labeled_directories(tmp_path).labels == ("car", "test", "train")


def test_one_label_is_enough_to_evaluate_but_not_to_train(tmp_path: Path) -> None:
    source = DataSource.labeled_directories(make(tmp_path, "all/cat/a.jpg", "all/dog/a.jpg"))
    assert source.labels == ("all",)
    with pytest.raises(InvalidDataError, match=r"only 1 label \('all'\); training needs") as caught:
        source.require_labels()
    assert f"If the folders in {tmp_path / 'all'} are the labels, pass that one" in str(
        caught.value
    )
    DataSource.files_by_label({"cat": ["a"], "dog": ["b"]}).require_labels()


@pytest.mark.parametrize(
    "label", ["🦊", "two  words", " ", "a∕b", "back\\slash", "%s {0}", "new\nline", "\u202egpj"]
)
def test_labels_are_text_of_any_kind(tmp_path: Path, label: str) -> None:
    make(tmp_path, f"{label}/a.jpg", "other/a.jpg")
    assert label in DataSource.labeled_directories(tmp_path).labels


def test_the_same_text_in_two_unicode_forms_is_one_label(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    make(tmp_path, f"{composed}/a.jpg", f"{decomposed}/b.jpg")
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("this file system takes both names for one")
    assert DataSource.labeled_directories(tmp_path).counts == {composed: 2}
    assert "joined with another folder" in caplog.text
    by_label = DataSource.files_by_label({composed: ["a"], decomposed: ["b"]})
    assert by_label.counts == {composed: 2}


def test_names_that_are_not_utf8_can_be_printed_and_stored(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system refuses such names")
    with open(os.path.join(folder, b"\xff.jpg"), "wb"):
        pass
    source = DataSource.labeled_directories(tmp_path)
    assert source.labels == ("caf\\xe9",)
    assert source.items[0][0].exists()
    json.dumps(source.counts).encode()
    repr(source).encode()
    assert "only 1 label" in refused_text(source).encode().decode()


def refused_text(source: DataSource) -> str:
    with pytest.raises(InvalidDataError) as caught:
        source.require_labels()
    return str(caught.value)


def test_labeled_files_take_the_name_up_to_the_first_period(tmp_path: Path) -> None:
    make(tmp_path, "cat.2.jpg", "cat.1.jpg", "dog.jpg", ".dog.2.jpg", "cat.txt", "sub/bird.1.jpg")
    source = DataSource.labeled_files(tmp_path)
    assert found(source, tmp_path) == {"cat": ["cat.1.jpg", "cat.2.jpg"], "dog": ["dog.jpg"]}
    with pytest.raises(InvalidDataError, match="no such folder"):
        DataSource.labeled_files(tmp_path / "missing")
    with pytest.raises(InvalidDataError, match="use labeled_directories"):
        DataSource.labeled_files(make(tmp_path / "nested", "cat/a.jpg"))


def test_files_by_label(tmp_path: Path) -> None:
    source = DataSource.files_by_label(
        {"dog": ["x/1.jpg"], "cat": [Path("b"), "a", "./a"], "bird": []}
    )
    assert source.items == ((Path("a"), "cat"), (Path("b"), "cat"), (Path("x/1.jpg"), "dog"))


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        ({}, InvalidDataError, "no picture is given"),
        ({"cat": []}, InvalidDataError, "no picture is given"),
        ({"cat": ["a"], "dog": ["./a"]}, InvalidDataError, "two labels, 'cat' and 'dog'"),
        ({"cat": "a.jpg"}, InvalidParameterError, "a list of paths"),
        ({"cat": None}, InvalidParameterError, "a list of paths"),
        ({"cat": [3]}, InvalidParameterError, "a path"),
        ({"cat": ["a\0b"]}, InvalidParameterError, "a path"),
        ({3: ["a"]}, InvalidParameterError, "label=3"),
        ({" ": ["a"]}, InvalidParameterError, "not blank"),
        (["a"], InvalidParameterError, "a dictionary"),
    ],
)
def test_wrong_mappings_are_refused(mapping: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DataSource.files_by_label(mapping)  # type: ignore[arg-type]


def test_same_file_name_under_two_labels_is_fine(tmp_path: Path) -> None:
    make(tmp_path, "cat/1.jpg", "dog/1.jpg")
    assert DataSource.labeled_directories(tmp_path).counts == {"cat": 1, "dog": 1}


def numbered(**counts: int) -> DataSource:
    return DataSource.files_by_label(
        {label: [f"{label}/{i}.jpg" for i in range(n)] for label, n in counts.items()}
    )


def test_a_split_keeps_the_proportions_of_every_label() -> None:
    data = numbered(cat=100, dog=50, bird=5)
    train, test = data.stratified_split([0.8, 0.2], seed=0)
    assert train.counts == {"bird": 4, "cat": 80, "dog": 40}
    assert test.counts == {"bird": 1, "cat": 20, "dog": 10}
    assert sorted(train.items + test.items) == sorted(data.items)


def test_a_split_follows_from_its_seed_alone() -> None:
    data = numbered(cat=100, dog=50)
    assert data.stratified_split([8, 2]) == data.stratified_split([0.8, 0.2], seed=0)
    assert data.stratified_split([8, 2]) != data.stratified_split([8, 2], seed=1)
    elsewhere = DataSource.files_by_label(
        {y: [Path("/other") / p for p in paths] for y, paths in data.labeled_images().items()}
    )
    here, there = (source.stratified_split([1, 1])[0] for source in (data, elsewhere))
    assert [Path("/other") / p for p, _ in here.items] == [p for p, _ in there.items]


def test_small_labels_are_in_every_part_they_can_be_in() -> None:
    train, test = numbered(a=1, b=2, c=3).stratified_split([0.9, 0.1])
    assert train.counts == {"a": 1, "b": 1, "c": 2}
    assert test.counts == {"b": 1, "c": 1}
    with pytest.raises(InvalidDataError, match="too few pictures to divide into 2 parts"):
        numbered(a=1, b=1).stratified_split([0.5, 0.5])


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.lists(st.floats(0.01, 10), min_size=1, max_size=5),
    st.integers(-5, 5),
)
def test_parts_are_disjoint_and_within_one_picture_of_their_share(
    sizes: list[int], proportions: list[float], seed: int
) -> None:
    data = numbered(**{f"label{i}": size for i, size in enumerate(sizes)})
    if max(sizes) < len(proportions):
        with pytest.raises(InvalidDataError):
            data.stratified_split(proportions, seed)
        return
    parts = data.stratified_split(proportions, seed)
    assert sorted(item for part in parts for item in part.items) == sorted(data.items)
    for i, size in enumerate(sizes):
        got = [part.counts.get(f"label{i}", 0) for part in parts]
        assert sum(n > 0 for n in got) == min(size, len(parts))
        exact = [size * share / sum(proportions) for share in proportions]
        if min(exact) >= 1:
            assert all(abs(n - share) < 1 for n, share in zip(got, exact, strict=True))


@pytest.mark.parametrize("proportions", [[], [0], [0.5, -1], [True], ["1"], "12", 0.5, [1e400]])
def test_wrong_proportions_are_refused(proportions: object) -> None:
    with pytest.raises(InvalidParameterError, match="positive numbers"):
        numbered(a=9).stratified_split(proportions)  # type: ignore[arg-type]
