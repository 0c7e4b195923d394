"""A model file is one ONNX graph with its record: what it computes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import silverprint as sp
from silverprint import _core
from silverprint.errors import InvalidDataError
from silverprint.model.compose import ClassifierRecord, compose, read_classifier
from support.children import run_python
from support.classifier_sets import draw_set, shared_part
from support.graphs import run_stock
from support.heads import random_head


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("secret-folder"), {"red": 4, "green": 4, "blué": 4})


@pytest.fixture(scope="module")
def trained(pictures: Path) -> sp.ImageClassifier:
    return sp.ImageClassifier(pictures, progress=False)


@pytest.fixture(scope="module")
def data(trained: sp.ImageClassifier, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "Model.onnx"
    trained.write(path)
    return path.read_bytes()


def test_stock_onnx_runtime_gives_the_very_bytes(
    trained: sp.ImageClassifier, data: bytes, shared_data: Path
) -> None:
    rule = trained.record.rule
    for path, _ in shared_part(shared_data, "grocery", "test", per_label=1).items[:4]:
        from PIL import Image

        pixels = np.asarray(Image.open(path).convert("RGB"))
        tensor = _core.image.prepare(pixels, rule.height, rule.width, rule.crop_and_scale)
        stock, index = run_stock(data, {"image": tensor[None]})
        ours = trained.probabilities([pixels])
        assert stock.tobytes() == ours.tobytes()
        assert trained.labels[index[0]] == trained.prediction(pixels)


def test_the_graph_is_plain_onnx_that_older_runtimes_read(data: bytes) -> None:
    model = onnx.ModelProto.FromString(data)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10  # ONNX Runtime 1.19
    assert [(entry.domain, entry.version <= 21) for entry in model.opset_import] == [("", True)]
    assert {node.domain for node in model.graph.node} == {""}
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["targetProbability", "target_index"]
    image = model.graph.input[0].type.tensor_type
    assert image.elem_type == onnx.TensorProto.FLOAT
    assert [dim.dim_value for dim in image.shape.dim[1:]] == [3, 224, 224]


def test_the_record_says_what_made_the_model(data: bytes, trained: sp.ImageClassifier) -> None:
    model = onnx.ModelProto.FromString(data)
    (entry,) = model.metadata_props
    assert entry.key == "silverprint"
    record = json.loads(entry.value)
    assert record["format_version"] == 1
    assert record["labels"] == ["blué", "green", "red"]
    assert record["picture_rule"] == {
        "height": 224,
        "width": 224,
        "crop_and_scale": "center_crop",
        "version": 1,
    }
    assert record["extractor"]["name"] == "ScenePrint"
    assert record["extractor"]["revision"] == 0
    assert record["training"]["counts"] == {"blué": 4, "green": 4, "red": 4}
    again = ClassifierRecord.from_json(trained.record.to_json())
    assert again == trained.record
    assert again.to_json() == trained.record.to_json()


def test_no_path_or_file_name_is_in_the_file(data: bytes, pictures: Path) -> None:
    model = onnx.ModelProto.FromString(data)
    del model.graph.initializer[:]  # random numbers could spell anything
    text = model.SerializeToString()
    assert b"red" in text
    for word in ("secret-folder", str(pictures), "0.png", ".png", "scene_print", str(Path.home())):
        assert word.encode() not in text, word


TRAIN = """
import sys, hashlib, silverprint as sp
sp.ImageClassifier(sys.argv[1], progress=False).write(sys.argv[2])
"""


def test_the_same_training_gives_the_same_bytes_for_any_number_of_threads(
    pictures: Path, data: bytes, tmp_path: Path
) -> None:
    for threads in ("1", "2"):
        path = tmp_path / f"{threads}.onnx"
        run_python(TRAIN, pictures, path, env={"SILVERPRINT_THREADS": threads})
        assert path.read_bytes() == data


def test_a_wide_head_has_the_same_bytes_too(tmp_path: Path, shared_data: Path) -> None:
    """Real pictures: many iterations, many rounding errors that an order of sums would show."""
    source = shared_part(shared_data, "animals", "train", per_label=12)
    files = []
    for threads in (1, 2):
        code = f"""
            import sys, json, silverprint as sp
            data = json.loads(sys.argv[1])
            sp.ImageClassifier(data, threads={threads}, progress=False).write(sys.argv[2])
            """
        mapping = {y: [str(p) for p in paths] for y, paths in source.labeled_images().items()}
        path = tmp_path / f"{threads}.onnx"
        run_python(code, json.dumps(mapping), path, env={"SILVERPRINT_THREADS": str(threads)})
        files.append(path.read_bytes())
    assert files[0] == files[1]


def refused(path: Path) -> str:
    with pytest.raises(InvalidDataError) as caught:
        sp.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.reason


def test_reading_gives_graph_and_record_back(
    data: bytes, trained: sp.ImageClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "Model.onnx"
    path.write_bytes(data)
    graph, record = read_classifier(path)
    assert graph == data
    assert record == trained.record


def test_files_that_are_no_model(tmp_path: Path, data: bytes, shared_data: Path) -> None:
    path = tmp_path / "Model.onnx"
    assert refused(path) == "cannot be read (No such file or directory)"
    assert refused(tmp_path) == "cannot be read (Is a directory)"
    path.write_text("This is a letter, not a model.\n" * 9)
    assert refused(path) == "not an ONNX file, or cut short"
    path.write_bytes(b"")
    assert refused(path).startswith("not ")
    backbone = shared_data / "weights" / "squeezenet11.onnx"
    assert refused(backbone) == (
        "not written by silverprint; an ONNX backbone becomes a classifier by training: "
        "CustomFeatureExtractor"
    )


@pytest.mark.parametrize("share", [0.999, 0.9, 0.5, 0.1, 0.001])
def test_a_truncated_file_is_refused(tmp_path: Path, data: bytes, share: float) -> None:
    path = tmp_path / "Model.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    assert refused(path)


@pytest.fixture
def with_record(data: bytes, tmp_path: Path) -> Callable[[Callable[[Any], Any]], Path]:
    """Write the model with its record changed, and give its path."""

    def write(change: Callable[[Any], Any]) -> Path:
        model = onnx.ModelProto.FromString(data)
        record = json.loads(model.metadata_props[0].value)
        changed = change(record)
        model.metadata_props[0].value = json.dumps(record if changed is None else changed)
        path = tmp_path / "Model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def test_a_newer_format_says_to_upgrade(with_record: Any) -> None:
    path = with_record(lambda record: record.update(format_version=2))
    assert refused(path) == (
        "written in format 2, this silverprint reads 1: pip install --upgrade silverprint"
    )


def test_another_kind_of_model_says_which(with_record: Any) -> None:
    path = with_record(lambda record: record.update(kind="detector"))
    assert refused(path) == "holds a detector, not a classifier"


@pytest.mark.parametrize(
    "key",
    [
        *("format_version", "kind", "labels", "picture_rule", "extractor", "head", "training"),
        *("training_metrics", "validation_metrics", "metadata"),
    ],
)
def test_a_record_that_lacks_a_key_says_which(with_record: Any, key: str) -> None:
    def without(record: dict[str, Any]) -> None:
        del record[key]

    assert f"lacks {key!r}" in refused(with_record(without))


@pytest.mark.parametrize(
    "labels",
    [["a"], ["a", "b"], ["a", "b", "c", "d"], [], [1, 2, 3], ["a", "b", "a"], "abc", None, 3],
)
def test_labels_that_do_not_fit_the_graph(with_record: Any, labels: Any) -> None:
    assert refused(with_record(lambda record: record.update(labels=labels)))


def with_confidence(rows: Any) -> dict[str, Any]:
    """Metrics of one right answer, but for its confidence."""
    matrix = [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    return {"confusion_matrix": matrix, "rank_counts": [1, 0, 0], "log_loss": 0, "confidence": rows}


def test_metrics_without_confidence_as_the_first_files_have_them(
    with_record: Any, tmp_path: Path
) -> None:
    metrics = with_confidence(None)
    del metrics["confidence"]
    loaded = sp.load(with_record(lambda record: record.update(validation_metrics=metrics)))
    loaded.write(tmp_path / "Again.onnx", sp.ModelMetadata(author="me"))
    for model in (loaded, sp.load(tmp_path / "Again.onnx")):
        assert model.validation_metrics is not None
        assert model.validation_metrics.accuracy == 1
        assert np.isnan(model.validation_metrics.calibration_error)
        with pytest.raises(sp.InvalidParameterError, match="counted no answers"):
            model.threshold(0.9)


def test_metrics_that_fit_are_no_damage(with_record: Any) -> None:
    metrics = with_confidence([[149, 1, 1, 1.0]])
    loaded = sp.load(with_record(lambda record: record.update(training_metrics=metrics)))
    assert loaded.training_metrics is not None
    assert loaded.training_metrics.calibration_error == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("picture_rule", None),
        ("picture_rule", {"height": 224}),
        ("picture_rule", {"height": -1, "width": 2, "crop_and_scale": "scale_fit", "version": 1}),
        ("picture_rule", {"height": 9, "width": 9, "crop_and_scale": "scale_fit", "version": 2}),
        ("extractor", {}),
        ("extractor", []),
        ("head", {}),
        ("head", {"l2": "much"}),
        ("training", []),
        ("training", {"counts": [1, 2]}),
        ("training_metrics", {"log_loss": 0.1}),
        ("validation_metrics", {"confusion_matrix": [], "rank_counts": [], "log_loss": 0}),
        ("validation_metrics", {"confusion_matrix": [[1]], "rank_counts": [1], "log_loss": None}),
        ("training_metrics", with_confidence([[150, 1, 1, 0.5]])),
        ("training_metrics", with_confidence([[7, 1]])),
        ("training_metrics", with_confidence([[7, 2, 1, 0.5]])),
        ("training_metrics", with_confidence("high")),
        ("validation_metrics", with_confidence([])),
        ("validation_metrics", with_confidence([[7, 10**400, 1, 0.5]])),
        ("validation_metrics", {"confusion_matrix": [[2**70]], "rank_counts": [1], "log_loss": 0}),
        ("metadata", []),
        ("metadata", {"author": 3}),
        ("format_version", None),
    ],
)
def test_a_damaged_record_is_refused_rather_than_met_later(
    with_record: Any, key: str, value: Any
) -> None:
    path = with_record(lambda record: record.update({key: value}))
    with pytest.raises(InvalidDataError):
        repr(sp.load(path))


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '"x"', "{", "[" * 100_000, "NaN"])
def test_metadata_that_is_no_record_is_refused(data: bytes, tmp_path: Path, text: str) -> None:
    model = onnx.ModelProto.FromString(data)
    model.metadata_props[0].value = text
    path = tmp_path / "Model.onnx"
    path.write_bytes(model.SerializeToString())
    assert refused(path)


def test_a_graph_without_its_probabilities_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "Model.onnx"
    for outputs in (
        [],
        [helper.make_tensor_value_info("targetProbability", onnx.TensorProto.FLOAT, [])],
    ):
        model = onnx.ModelProto.FromString(data)
        del model.graph.output[:]
        model.graph.output.extend(outputs)
        path.write_bytes(model.SerializeToString())
        assert "do not belong together" in refused(path)


def test_weights_outside_the_file_are_never_read(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """silverprint writes weights into the file; a reference to another one is an attack."""
    model = onnx.ModelProto.FromString(data)
    bias = next(t for t in model.graph.initializer if t.name == "silverprint/head_bias")
    (tmp_path / "other.bin").write_bytes(np.array([0, 0, 99], np.float32).tobytes())
    bias.ClearField("raw_data")
    bias.data_location = onnx.TensorProto.EXTERNAL
    entry = bias.external_data.add()
    entry.key, entry.value = "location", "other.bin"
    (tmp_path / "Model.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sp.SilverprintError):
        sp.load("Model.onnx").prediction(np.zeros((9, 9, 3), np.uint8))


def test_names_of_a_backbone_that_equal_ours_do_no_harm(
    shared_data: Path, tmp_path: Path, trained: sp.ImageClassifier
) -> None:
    model = onnx.load(shared_data / "weights" / "silverprint_preview.onnx")
    shift = numpy_helper.from_array(np.ones(1, np.float32), "target_index")
    model.graph.initializer.append(shift)
    feature = model.graph.output[0].name
    model.graph.node.append(
        helper.make_node("Add", [feature, "target_index"], ["targetProbability"])
    )
    model.graph.output.append(
        helper.make_tensor_value_info("targetProbability", onnx.TensorProto.FLOAT, None)
    )
    path = tmp_path / "backbone.onnx"
    onnx.save(model, path)
    backbone = sp.CustomFeatureExtractor(path, "targetProbability").backbone
    composed = compose(backbone.graph, random_head([backbone.dimension, 3]), trained.record)
    onnx.checker.check_model(onnx.ModelProto.FromString(composed), full_check=True)
    image = np.full((1, 3, 224, 224), 100, np.float32)
    plus_one = run_stock(sp.ScenePrint().backbone.graph, {"image": image})[0] + 1
    np.testing.assert_allclose(run_stock(backbone.graph, {"image": image})[0], plus_one, rtol=1e-5)
    assert run_stock(composed, {"image": image})[0].shape == (1, 3)
