"""The choices of `silverprint train classifier`: manifests, groups, views, and the perceptron."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import silverprint as sp
from silverprint.cli.main import main
from support.classifier_sets import draw_set

OK, USAGE, BAD_DATA = 0, 2, 3
Train = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def manifest(photos: Path) -> Path:
    """The pictures of `photos`: the last two of a label in part val, pairs of one patient."""
    path = photos / "all.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "part", "patient"])
        for label, paths in sp.DataSource.labeled_directories(photos).labeled_images().items():
            for i, picture in enumerate(paths):
                part = "val" if i >= 6 else "train"
                writer.writerow([picture.relative_to(photos), label, part, f"{label} {i // 2}"])
    return path


@pytest.fixture
def train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Train:
    """Train with --json; exit status, the record, and standard error."""

    def call(data: Path, *arguments: object) -> tuple[int, dict[str, Any], str]:
        command = ["train", "classifier", data, "-o", tmp_path / "M.onnx", "--json", *arguments]
        status = main([str(argument) for argument in command])
        out, err = capsys.readouterr()
        assert "Traceback" not in err, err
        return status, json.loads(out) if out else {}, err

    return call


@pytest.fixture
def record(tmp_path: Path) -> Callable[[], Any]:
    return lambda: sp.ImageClassifier.load(tmp_path / "M.onnx").record


def test_a_part_of_a_manifest_is_trained_on_and_another_validates(
    train: Train, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, result, _ = train(manifest, "--part", "train", "--validation-part", "val")
    assert status == OK
    assert result["labels"] == {"blue": 6, "green": 6, "red": 6, "yellow": 6}
    assert result["validation"]["count"] == 8
    status = main(["evaluate", str(tmp_path / "M.onnx"), str(manifest), "--part", "val", "--json"])
    assert status == OK
    assert json.loads(capsys.readouterr().out)["count"] == 8


def test_a_manifest_with_parts_needs_one(train: Train, manifest: Path) -> None:
    status, _, err = train(manifest)
    assert status == BAD_DATA
    assert "'train'" in err
    assert "'val'" in err


def test_a_part_of_a_folder_is_a_usage_error(train: Train, photos: Path) -> None:
    status, _, err = train(photos, "--part", "train")
    assert status == USAGE
    assert "manifest" in err


def test_validation_is_said_once(train: Train, manifest: Path) -> None:
    arguments = ("--part", "train", "--validation-part", "val", "--validation", "0.2")
    status, _, err = train(manifest, *arguments)
    assert status == USAGE
    assert "--validation-part" in err


def test_groups_keep_together(train: Train, manifest: Path) -> None:
    arguments = ("--part", "train", "--group-by", "patient", "--validation", "0.3")
    status, result, _ = train(manifest, *arguments)
    assert status == OK
    # Whole patients are held out: of each label none, two or four of its six pictures.
    assert {row["support"] % 2 for row in result["validation"]["labels"]} == {0}


def test_an_unknown_column_is_a_usage_error_with_the_nearest_name(
    train: Train, manifest: Path
) -> None:
    status, _, err = train(manifest, "--part", "train", "--group-by", "patients")
    assert status == USAGE
    assert "did you mean 'patient'?" in err


def test_views_and_a_perceptron(train: Train, photos: Path, record: Callable[[], Any]) -> None:
    status, _, _ = train(photos, "--augmentation", "flip, crop", "--layer-sizes", "16,8")
    assert status == OK
    assert record().training["augmentation"] == ["crop", "flip"]
    assert record().head["kind"] == "multilayer_perceptron"
    assert record().head["layer_sizes"] == [16, 8]
    assert record().head["l2"] == 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--augmentation", "crop,flop"), "did you mean 'flip'?"),
        (("--layer-sizes", "many"), "layer_sizes"),
        (("--layer-sizes", "0"), "layer_sizes"),
        (("--l2", "strong"), "l2='strong'"),
    ],
)
def test_a_bad_choice_is_a_usage_error_that_names_it(
    train: Train, photos: Path, arguments: tuple[str, ...], message: str
) -> None:
    status, _, err = train(photos, *arguments)
    assert status == USAGE
    assert message in err
