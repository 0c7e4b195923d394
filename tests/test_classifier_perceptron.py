"""A classifier whose head is a multilayer perceptron, from end to end."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from support.children import run_python
from support.classifier_sets import COLOURS, draw_set, shared_part
from support.graphs import run_stock


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = draw_set(tmp_path_factory.mktemp("others"), dict.fromkeys(COLOURS, 3), first=100)
    return sorted(root.rglob("*.png"))


def train(data: Any, classifier: Any = None, **parameters: Any) -> sp.ImageClassifier:
    classifier = classifier or sp.MultilayerPerceptron([16])
    return sp.ImageClassifier(
        data, sp.ModelParameters(classifier=classifier, **parameters), progress=False
    )


@pytest.fixture(scope="module")
def model(pictures: Path) -> sp.ImageClassifier:
    return train(pictures)


def test_it_learns_and_is_validated_on_pictures_it_never_saw(
    model: sp.ImageClassifier, others: list[Path]
) -> None:
    assert model.validation_metrics is not None
    assert model.training_metrics is not None
    assert model.validation_metrics.count == model.training_metrics.count == 32
    assert model.validation_metrics.accuracy == 1.0
    assert model.predictions(others) == [path.parent.name for path in others]


def test_the_record_says_so(model: sp.ImageClassifier) -> None:
    head = model.record.head
    assert head["kind"] == "multilayer_perceptron"
    assert head["layer_sizes"] == [16]
    assert head["l2"] == 0.02
    assert head["iterations"] >= 1
    assert head["temperature"] > 0
    assert "l2 0.02" in repr(model)


def test_logistic_regression_has_no_layers(pictures: Path) -> None:
    head = train(pictures, sp.LogisticRegressor(l2=0.1)).record.head
    assert head["kind"] == "logistic_regression"
    assert "layer_sizes" not in head


def test_l2_can_be_searched_for(pictures: Path) -> None:
    from silverprint.classifier.parameters import PERCEPTRON_L2_GRID

    model = train(pictures, sp.MultilayerPerceptron([16], l2="auto"), validation=None)
    assert model.record.head["l2"] in PERCEPTRON_L2_GRID
    assert model.validation_metrics is None


@pytest.mark.parametrize("validation", [None, sp.Split(0.25)], ids=["none", "split"])
def test_other_ways_of_validation(pictures: Path, validation: Any) -> None:
    model = train(pictures, validation=validation)
    assert (model.validation_metrics is None) == (validation is None)
    assert model.training_metrics is not None
    assert model.training_metrics.accuracy == 1.0


def test_a_written_one_is_read_again_with_all_it_knows(
    model: sp.ImageClassifier, others: list[Path], tmp_path: Path
) -> None:
    model.write(tmp_path / "Model.onnx")
    again = sp.load(tmp_path / "Model.onnx")
    assert again.record == model.record
    assert again.training_metrics == model.training_metrics
    assert again.validation_metrics == model.validation_metrics
    assert repr(again) == repr(model)
    assert again.probabilities(others).tobytes() == model.probabilities(others).tobytes()
    again.write(tmp_path / "Again.onnx")
    assert (tmp_path / "Again.onnx").read_bytes() == (tmp_path / "Model.onnx").read_bytes()


def test_stock_onnx_runtime_gives_the_very_bytes(model: sp.ImageClassifier, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    model.write(tmp_path / "Model.onnx")
    found, index = run_stock((tmp_path / "Model.onnx").read_bytes(), {"image": tensor})
    assert found.tobytes() == model.probabilities([pixels]).tobytes()
    assert model.labels[index[0]] == model.prediction(pixels)


def test_it_survives_pickling(model: sp.ImageClassifier, others: list[Path]) -> None:
    golden = model.probabilities(others)
    again = pickle.loads(pickle.dumps(model))
    assert again.probabilities(others).tobytes() == golden.tobytes()
    assert again.record == model.record
    assert again.duplicates == model.duplicates


TRAIN = """
import sys, silverprint as sp
parameters = sp.ModelParameters(classifier=sp.MultilayerPerceptron([40, 9]), seed=3)
threads = int(sys.argv[3])
sp.ImageClassifier(sys.argv[1], parameters, progress=False, threads=threads).write(sys.argv[2])
"""


def test_any_number_of_threads_gives_the_same_bytes(pictures: Path, tmp_path: Path) -> None:
    files = []
    for threads in ("1", "3"):
        path = tmp_path / f"{threads}.onnx"
        run_python(TRAIN, pictures, path, threads, env={"SILVERPRINT_THREADS": threads})
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_another_seed_another_perceptron(pictures: Path, others: list[Path]) -> None:
    found = [
        train(pictures, validation=None, seed=seed).probabilities(others) for seed in (0, 0, 1)
    ]
    assert found[0].tobytes() == found[1].tobytes() != found[2].tobytes()


def test_a_limit_that_came_first_is_told(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = train(pictures, max_iterations=1, validation=None)
    assert model.record.head["converged"] is False
    assert model.record.head["iterations"] == 1
    assert "max_iterations=1" in caplog.text


def test_on_photos_it_is_about_as_good_as_logistic_regression(shared_data: Path) -> None:
    """`animals`, 10 labels of 24 photos to train on: within 4 points of 120 test photos."""
    data = shared_part(shared_data, "animals", "train", per_label=24)
    test = shared_part(shared_data, "animals", "test")
    accuracy = [
        train(data, classifier, validation=None).evaluation(test).accuracy
        for classifier in (sp.MultilayerPerceptron(), sp.LogisticRegressor())
    ]
    assert accuracy[0] > 0.7
    assert accuracy[0] > accuracy[1] - 0.04
