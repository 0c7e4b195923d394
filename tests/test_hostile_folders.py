"""Folders as people have them: each is trained on, or the error says exactly what is wrong."""

from __future__ import annotations

import importlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import silverprint as sp
from silverprint.data import formats
from silverprint.data.rule import CROP_AND_SCALE
from support.classifier_sets import COLOURS, draw, draw_set

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
"""The first box of an iPhone photo: ISO/IEC 14496-12, 4.3, and 23008-12, B.4.1."""


def train(folder: Any, **parameters: Any) -> sp.ImageClassifier:
    parameters.setdefault("classifier", sp.LogisticRegressor(l2=0.1))
    return sp.ImageClassifier(folder, sp.ModelParameters(**parameters), progress=False)


def refused(folder: Any, **parameters: Any) -> str:
    with pytest.raises(sp.InvalidDataError) as caught:
        train(folder, **parameters)
    return str(caught.value)


@pytest.fixture
def no_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where the extra `heif` is not installed."""
    import_module = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pi_heif"):
            raise ImportError(name)
        return import_module(name, *rest)

    monkeypatch.setattr(formats, "import_module", without)
    formats._opener.cache_clear()
    yield
    formats._opener.cache_clear()


def test_one_label(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 4})
    assert refused(tmp_path) == (
        f"{tmp_path}: only 1 label ('red'); training needs pictures of at least 2"
    )


def test_one_folder_too_high(tmp_path: Path) -> None:
    draw_set(tmp_path / "photos", {"red": 2, "blue": 2})
    assert refused(tmp_path).endswith(
        f"If the folders in {tmp_path / 'photos'} are the labels, pass that one"
    )


def test_an_empty_folder(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        f"{tmp_path}: empty; give a folder that holds one sub-folder of pictures for each label"
    )


def test_a_missing_folder(tmp_path: Path) -> None:
    missing = tmp_path / "photos"
    assert refused(missing).startswith(f"{missing}: no such folder; give a folder that holds")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    path = draw(tmp_path / "photo.png")
    assert refused(path).startswith(f"{path}: a file, not a folder")


def test_folders_without_a_picture(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "notes.txt").write_text("no pictures yet")
    assert "none of its 2 folders holds a picture" in refused(tmp_path)


def test_one_label_folder_without_a_picture_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw_set(tmp_path, {"red": 3, "green": 3})
    (tmp_path / "blue").mkdir()
    with caplog.at_level(logging.WARNING, "silverprint"):
        assert train(tmp_path).labels == ("green", "red")
    assert f"{tmp_path / 'blue'}: left out, for it holds no picture" in caplog.text


def test_pictures_that_lie_in_the_folder_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(3):
        draw(tmp_path / f"{i}.png")
    assert "holds 3 pictures but no label folders; put the pictures" in refused(tmp_path)
    draw_set(tmp_path, {"red": 3, "green": 3})
    with caplog.at_level(logging.WARNING, "silverprint"):
        assert train(tmp_path).labels == ("green", "red")
    assert f"{tmp_path}: 3 pictures outside the label folders left out" in caplog.text


@pytest.mark.parametrize(
    ("content", "reason"), [(b"Dear picture,\n", "not a picture"), (b"", "empty file")]
)
def test_a_file_that_is_only_named_like_a_picture(
    tmp_path: Path, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    draw_set(tmp_path, {"red": 10, "green": 10})
    path = tmp_path / "red" / "letter.jpg"
    path.write_bytes(content)
    model = train(tmp_path)
    assert model.record.training["counts"] == {"green": 10, "red": 10}
    assert f"1 pictures left out: 1 {reason} (such as {path})" in caplog.text
    for name in ("letter2.jpg", "letter3.jpg"):
        (tmp_path / "red" / name).write_bytes(content)
    assert refused(tmp_path) == (
        f"{tmp_path}: 3 of 23 pictures cannot be read, more than max_unreadable=0.05 allows: "
        f"3 {reason} (such as {path})"
    )


def test_pictures_of_one_pixel(tmp_path: Path) -> None:
    for label in ("red", "blue"):
        for i in range(4):
            colour = np.add(COLOURS[label], i).astype(np.uint8)
            (tmp_path / label).mkdir(exist_ok=True)
            Image.fromarray(colour[None, None]).save(tmp_path / label / f"{i}.png")
    model = train(tmp_path)
    assert model.validation_metrics is not None
    assert model.validation_metrics.accuracy == 1.0


def test_pictures_of_extreme_shapes(tmp_path: Path) -> None:
    for i, size in enumerate([(1, 700), (700, 1), (3000, 2), (2, 3000)]):
        for label in ("red", "blue"):
            (tmp_path / label).mkdir(exist_ok=True)
            Image.new("RGB", size, COLOURS[label]).save(tmp_path / label / f"{i}.png")
    for rule in CROP_AND_SCALE:
        assert train(tmp_path, crop_and_scale=rule).labels == ("blue", "red")


LABELS = (
    "🐈 cat",
    "and∕or",
    "back\\slash",
    "a／b",
    "näive",
    "..two dots",
    "tab\there",
    "日本",
    "'\"",
)


def test_labels_with_emoji_slashes_and_quotes(tmp_path: Path) -> None:
    labels = tuple(sorted(LABELS[:5] + LABELS[6:]))
    colours = list(COLOURS.values()) * 3
    for label, colour in zip(labels, colours, strict=False):
        for i in range(3):
            draw(tmp_path / "set" / label / f"{i}.png", colour)
    model = train(tmp_path / "set")
    assert model.labels == labels
    path = tmp_path / "Odd 🐈.onnx"
    model.write(path)
    again = sp.load(path)
    assert again.labels == labels
    assert again.evaluation(tmp_path / "set").labels == labels
    assert "🐈 cat" in repr(again) + str(again.labels)


def test_labels_with_emoji_go_to_core_ml(tmp_path: Path) -> None:
    pytest.importorskip("coremltools")
    for label, colour in zip(LABELS[:2], COLOURS.values(), strict=False):
        for i in range(3):
            draw(tmp_path / "set" / label / f"{i}.png", colour)
    model = train(tmp_path / "set")
    model.write(tmp_path / "Odd.mlpackage")
    assert (tmp_path / "Odd.mlpackage" / "Manifest.json").is_file()


def test_a_label_that_starts_with_a_dot_is_hidden(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 3, "green": 3, LABELS[5]: 3})
    assert train(tmp_path).labels == ("green", "red")


def test_a_label_in_bytes_that_are_no_text(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 3, "green": 3})
    try:
        (tmp_path / "red").rename(tmp_path / "r\udce9d")  # Latin-1 é
    except OSError:
        pytest.skip("this file system takes text only")
    model = train(tmp_path)
    assert model.labels == ("green", "r\\xe9d")
    model.write(tmp_path / "Model.onnx")
    assert sp.load(tmp_path / "Model.onnx").labels == model.labels


def test_500_labels_of_2_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in range(500):
        colour = rng.integers(0, 256, 3)
        for i in range(2):
            draw(tmp_path / f"label {label:03}" / f"{i}.png", colour, size=8)
    model = train(tmp_path)
    assert len(model.labels) == 500
    assert model.training_metrics is not None
    assert model.training_metrics.count == 1000
    assert model.validation_metrics is not None
    assert model.validation_metrics.count == 1000
    assert model.validation_metrics.top_k(50) > 0.3  # by chance 0.1
    assert len(repr(model).splitlines()) == 3


def test_files_of_the_same_name_under_two_labels(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 4, "green": 4})
    names = [sorted(p.name for p in (tmp_path / y).iterdir()) for y in ("red", "green")]
    assert names[0] == names[1]
    model = train(tmp_path)
    assert model.record.training["counts"] == {"green": 4, "red": 4}
    assert model.prediction(tmp_path / "red" / "0.png") == "red"
    assert model.prediction(tmp_path / "green" / "0.png") == "green"


@pytest.mark.usefixtures("no_heif")
def test_a_folder_of_heic_without_the_extra_names_it(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 2, "green": 2})
    for label in ("red", "green"):
        for i in range(14):
            # Many phones' files are renamed: the name plays no part.
            name = f"IMG_{i:04}.{'HEIC' if i % 2 else 'jpg'}"
            (tmp_path / label / name).write_bytes(HEIC)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}: 28 of 32 pictures cannot be read")
    assert "28 HEIC needs silverprint[heif] (such as " in message
    with pytest.raises(sp.InvalidDataError, match=r"HEIC needs silverprint\[heif\]"):
        sp.ScenePrint().extract([HEIC])


@pytest.mark.parametrize("held_out", ["test", "val", "Validation"])
def test_a_set_divided_into_train_and_test(tmp_path: Path, held_out: str) -> None:
    for part in ("train", held_out):
        draw_set(tmp_path / part, {"red": 3, "green": 3})
    message = refused(tmp_path)
    assert f"its folders train, {held_out} hold the same labels" in message
    assert f"pass {tmp_path / 'train'} as data" in message
    assert f"{tmp_path / held_out} as validation=" in message
    model = train(tmp_path / "train", validation=tmp_path / held_out)
    assert model.validation_metrics is not None
    assert model.validation_metrics.count == 6


def test_labels_may_be_called_train_and_test(tmp_path: Path) -> None:
    """Folders of pictures, not of label folders: railways and exams."""
    for label, colour in (("train", COLOURS["red"]), ("test", COLOURS["blue"])):
        for i in range(4):
            draw(tmp_path / label / f"{i}.png", colour)
    assert train(tmp_path).labels == ("test", "train")


def same_pictures(root: Path, counts: dict[str, int], colour: str = "red") -> Path:
    """Every file a copy of one picture."""
    one = draw(root / "one.png", COLOURS[colour])
    for label, count in counts.items():
        (root / "set" / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            shutil.copy(one, root / "set" / label / f"{colour} {i}.png")
    return root / "set"


def test_all_pictures_identical(tmp_path: Path) -> None:
    """Nothing can be learned but how frequent the labels are."""
    model = train(same_pictures(tmp_path, {"one": 3, "other": 6}))
    (row,) = model.probabilities([tmp_path / "one.png"])
    np.testing.assert_allclose(row, [1 / 3, 2 / 3], atol=1e-3)
    assert model.validation_metrics is None
    assert model.training_metrics is not None
    assert model.training_metrics.accuracy == pytest.approx(2 / 3)


def test_a_label_of_copies_of_one_picture_is_always_trained_on(tmp_path: Path) -> None:
    root = same_pictures(tmp_path, {"copies": 5})
    draw_set(root, {"green": 6, "blue": 6})
    model = train(root)
    assert model.record.training["counts"] == {"blue": 6, "copies": 5, "green": 6}
    assert model.validation_metrics is not None
    assert model.validation_metrics.count == 12
    assert model.prediction(tmp_path / "one.png") == "copies"


def test_a_picture_under_two_labels_is_never_in_training_and_validation_at_once(
    tmp_path: Path,
) -> None:
    """All pictures are under both labels: what validation measures is chance, not memory."""
    draw_set(tmp_path, {"red": 20})
    shutil.copytree(tmp_path / "red", tmp_path / "again")
    model = train(tmp_path, classifier=sp.LogisticRegressor(l2=1e-3))
    assert model.validation_metrics is not None
    assert model.validation_metrics.count == 40
    assert model.validation_metrics.accuracy == 0.5
    assert model.validation_metrics.log_loss == pytest.approx(np.log(2), abs=0.1)


def test_one_file_given_under_two_labels_is_refused(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    assert "stands under two labels, 'cat' and 'dog'" in refused({"cat": [path], "dog": [path]})


def test_one_picture_for_each_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw_set(tmp_path, dict.fromkeys(COLOURS, 1))
    model = train(tmp_path)
    assert model.validation_metrics is None
    assert "every label has a single picture" in caplog.text
    assert model.prediction(tmp_path / "red" / "0.png") == "red"
    assert train(tmp_path, validation=sp.Split(0.5)).validation_metrics is None


def test_one_picture_of_one_label(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 1, "green": 8})
    model = train(tmp_path)
    assert model.validation_metrics is not None
    assert model.validation_metrics.count == 8
    assert model.record.training["counts"] == {"green": 8, "red": 1}


def test_a_link_in_a_circle_and_a_dangling_one(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 24, "green": 24})
    (tmp_path / "red" / "round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "red" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    model = train(tmp_path)
    assert model.record.training["counts"] == {"green": 24, "red": 24}


def test_a_folder_named_like_a_picture(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 3, "green": 3})
    draw(tmp_path / "red" / "holiday.jpg" / "inside.png", COLOURS["red"])
    assert train(tmp_path).record.training["counts"] == {"green": 3, "red": 4}


def test_a_picture_that_disappears_after_the_folder_was_looked_at(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 12, "green": 12})
    source = sp.DataSource.labeled_directories(tmp_path)
    (tmp_path / "red" / "3.png").unlink()
    model = train(source)
    assert model.record.training["counts"] == {"green": 12, "red": 11}
