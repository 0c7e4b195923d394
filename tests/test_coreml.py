"""`sp.coreml` and `ImageClassifier.write`: Core ML files that are proven, and answer anywhere."""

from __future__ import annotations

import pickle
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import silverprint as sp
from silverprint.export.coreml import available
from support.classifier_sets import COLOURS, draw_set
from support.graphs import PLAIN, backbone, saved
from support.guests import tiny_extractor

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

BOTH = pytest.mark.parametrize("ending", [".mlpackage", ".mlmodel"])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("photos"), dict.fromkeys(COLOURS, 6))


@pytest.fixture(scope="module")
def model(photos: Path) -> sp.ImageClassifier:
    parameters = sp.ModelParameters(feature_extractor=tiny_extractor(photos.parent))
    return sp.ImageClassifier(photos, parameters, progress=False)


def letters(proof: sp.coreml.Proof) -> set[str]:
    return {check.letter for check in proof.checks}


@BOTH
def test_what_is_written_is_proven_on_pictures_of_the_training(
    model: sp.ImageClassifier, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"Colours{ending}"
    written = model.write(path)
    assert isinstance(written, sp.coreml.PackageSummary)
    assert letters(written.proof) == {"b", "c", "d", "e", "f"}
    assert written.proof.numbers[-1].pictures == 16
    assert written.proof.unproven == ()
    assert written.proof.path == str(path)
    assert "not proven" in str(written.proof)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@BOTH
def test_equal_models_give_equal_bytes(
    model: sp.ImageClassifier, tmp_path: Path, ending: str
) -> None:
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        model.write(path)
    first, second = (
        [file.read_bytes() for file in sorted([path, *path.rglob("*")]) if file.is_file()]
        for path in paths
    )
    assert first == second


def test_a_loaded_model_is_proven_on_drawn_pictures(
    model: sp.ImageClassifier, tmp_path: Path
) -> None:
    model.write(tmp_path / "Colours.onnx")
    again = sp.ImageClassifier.load(tmp_path / "Colours.onnx")
    written = again.write(tmp_path / "Colours.mlmodel")
    assert isinstance(written, sp.coreml.PackageSummary)
    assert written.proof.numbers[-1].pictures == 16


def test_the_names_of_the_outputs_can_be_chosen(model: sp.ImageClassifier, tmp_path: Path) -> None:
    from silverprint.export.coreml.reader import read_model

    options = sp.coreml.ExportOptions(label_name="classLabel", probability_name="classLabelProbs")
    model.write(tmp_path / "Old.mlmodel", options=options)
    description = read_model(tmp_path / "Old.mlmodel").spec.description
    assert {one.name for one in description.output} == {"classLabel", "classLabelProbs"}


def test_a_file_that_fails_its_proof_leaves_the_old_one(
    model: sp.ImageClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from silverprint.export.coreml import proof

    path = tmp_path / "Colours.mlmodel"
    model.write(path)
    before = path.read_bytes()

    def differs(*arguments: object, **options: object) -> None:
        raise sp.ExportError("layer 'conv' differs")

    monkeypatch.setattr(proof, "prove", differs)
    with pytest.raises(sp.ExportError, match="layer 'conv' differs"):
        model.write(path, sp.ModelMetadata(author="someone"))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_interrupt_waits_for_the_translation(
    model: sp.ImageClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped midway, coremltools would fail every later one."""
    from silverprint.export.coreml import package

    translate, ended = package.to_program, []

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        program = translate(*arguments)
        ended.append(program)
        return program

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(package, "to_program", interrupted)
            with pytest.raises(KeyboardInterrupt):
                model.write(tmp_path / "Colours.mlmodel")
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(ended) == 1
    assert list(tmp_path.iterdir()) == []
    model.write(tmp_path / "Colours.mlmodel")


def test_options_are_for_core_ml(model: sp.ImageClassifier, tmp_path: Path) -> None:
    with pytest.raises(sp.ExportError, match="are for"):
        model.write(tmp_path / "Colours.onnx", options=sp.coreml.ExportOptions())
    with pytest.raises(sp.InvalidDataError):
        model.write(tmp_path / "Colours.mlmodel", pictures=[tmp_path / "missing.jpg"])
    for one in ("a.jpg", b"...", 3, np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(sp.InvalidParameterError, match="a list of pictures"):
            model.write(tmp_path / "Colours.mlmodel", pictures=one)  # type: ignore[arg-type]
    with pytest.raises(sp.InvalidParameterError, match="at least one"):
        model.write(tmp_path / "Colours.mlmodel", pictures=[])
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_a_core_ml_file_answers_and_is_evaluated_as_the_model(
    model: sp.ImageClassifier, photos: Path, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"Colours{ending}"
    model.write(path)
    read = sp.load(path)
    assert read.record == model.record
    pictures = sorted(photos.rglob("*.png"))
    assert read.predictions(pictures) == model.predictions(pictures)
    np.testing.assert_allclose(
        read.probabilities(pictures), model.probabilities(pictures), atol=2e-3
    )
    assert read.evaluation(photos).accuracy == model.evaluation(photos).accuracy
    assert read.validation_metrics == model.record.validation_metrics
    again = pickle.loads(pickle.dumps(read))
    assert again.prediction(pictures[0]) == read.prediction(pictures[0])
    assert repr(read).startswith("CoreMLClassifier: 4 labels")


def test_what_cannot_be_loaded(model: sp.ImageClassifier, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(sp.InvalidDataError):
        sp.load(tmp_path / "Missing.mlpackage")
    path = tmp_path / "Colours.mlpackage"
    model.write(path)
    shutil.rmtree(path / "Data")
    with pytest.raises(sp.InvalidDataError):
        sp.load(path)
    (tmp_path / "Text.mlmodel").write_text("Dear model")
    with pytest.raises(sp.InvalidDataError):
        sp.load(tmp_path / "Text.mlmodel")
    sp.coreml.export(photos.parent / "tiny.onnx", tmp_path / "Backbone.mlmodel", **PLAIN)
    with pytest.raises(sp.InvalidDataError, match="not a classifier written by silverprint"):
        sp.load(tmp_path / "Backbone.mlmodel")


class TestExport:
    @BOTH
    def test_a_backbone_becomes_an_extractor(self, tmp_path: Path, ending: str) -> None:
        path = saved(backbone(), tmp_path / "own.onnx")
        written = sp.coreml.export(path, tmp_path / f"Own{ending}", **PLAIN)
        assert letters(written.proof) == {"b", "c", "d", "e"}

    def test_with_labels_it_becomes_a_classifier(self, tmp_path: Path) -> None:
        path = saved(backbone(), tmp_path / "own.onnx")
        flat = onnx.shape_inference.infer_shapes(onnx.load(path)).graph.output[0]
        count = flat.type.tensor_type.shape.dim[-1].dim_value
        labels = [f"label {number}" for number in range(count)]
        written = sp.coreml.export(path, labels=labels, **PLAIN)
        assert written.path == tmp_path / "own.mlpackage"
        assert "f" in letters(written.proof)
        with pytest.raises(sp.ExportError, match="probabilities for"):
            sp.coreml.export(path, labels=labels[1:], **PLAIN)

    def test_what_a_model_of_silverprint_settles_cannot_be_given(
        self, model: sp.ImageClassifier, tmp_path: Path
    ) -> None:
        path = tmp_path / "Colours.onnx"
        model.write(path)
        assert isinstance(sp.coreml.export(path).proof, sp.coreml.Proof)
        for name, value in (("labels", ["a"]), ("size", (8, 8)), ("crop_and_scale", "scale_fit")):
            given: dict[str, Any] = {name: value}
            with pytest.raises(sp.InvalidParameterError, match=name):
                sp.coreml.export(path, **given)

    @pytest.mark.parametrize("labels", ["abc", {"a", "b"}, {"a": 1}, [], [1, 2], 5])
    def test_labels_are_a_list_of_texts(self, tmp_path: Path, labels: Any) -> None:
        path = saved(backbone(), tmp_path / "own.onnx")
        with pytest.raises(sp.InvalidParameterError, match="a list of texts, in order"):
            sp.coreml.export(path, labels=labels, **PLAIN)

    @pytest.mark.parametrize(
        "value", [[1e39] * 3, [1e-46] * 3, [1, 2], 1, ["a"] * 3, [10**400] * 3]
    )
    def test_normalisation_is_three_numbers(self, tmp_path: Path, value: Any) -> None:
        path = saved(backbone(), tmp_path / "own.onnx")
        with pytest.raises(sp.ExportError, match="three positive numbers"):
            sp.coreml.export(path, mean=(0, 0, 0), std=value)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"outputs": "map"}, "a list of names"),
            ({"outputs": [["map"]]}, "a list of names"),
            ({"channel_order": ""}, "channel_order"),
            ({"crop_and_scale": ""}, "crop_and_scale"),
            ({"mean": ("1", "2", "3")}, "three numbers"),
            ({"path": "own.zip"}, "ends in .mlpackage or .mlmodel"),
            ({"path": "own.MLMODEL"}, "ends in .mlpackage or .mlmodel"),
            ({"model": None}, "model=None"),
            ({"model": "Own.mlpackage"}, "not the result of one"),
        ],
    )
    def test_odd_arguments_are_named(
        self, tmp_path: Path, given: dict[str, Any], message: str
    ) -> None:
        path = saved(backbone(), tmp_path / "own.onnx")
        with pytest.raises(sp.SilverprintError, match=message):
            sp.coreml.export(**{"model": path, **PLAIN, **given})

    def test_errors_of_the_runtime_name_the_model(self, tmp_path: Path) -> None:
        graph = backbone()
        graph.ir_version = 99
        path = saved(graph, tmp_path / "own.onnx")
        with pytest.raises(sp.SilverprintError, match=r"own\.onnx: "):
            sp.coreml.export(path, **PLAIN)

    @pytest.mark.parametrize("name", ["options", "metadata"])
    def test_records_are_records(
        self, model: sp.ImageClassifier, tmp_path: Path, name: str
    ) -> None:
        given: dict[str, Any] = {name: {"weights": 8}}
        with pytest.raises(sp.InvalidParameterError, match=name):
            model.write(tmp_path / "Own.mlmodel", **given)
        path = saved(backbone(), tmp_path / "own.onnx")
        with pytest.raises(sp.InvalidParameterError, match=name):
            sp.coreml.export(path, **given, **PLAIN)

    def test_scores_are_those_of_labels(self, tmp_path: Path) -> None:
        path = saved(backbone(), tmp_path / "own.onnx")
        with pytest.raises(sp.InvalidParameterError, match="labels beside it"):
            sp.coreml.export(path, scores="logits", **PLAIN)
        with pytest.raises(sp.ExportError, match="logits or probabilities"):
            sp.coreml.export(path, labels=["a"], scores="logit", **PLAIN)
        with pytest.raises(sp.InvalidParameterError, match="one tensor"):
            sp.coreml.export(path, labels=["a"], outputs=["map", "flat"], **PLAIN)


class TestVerify:
    def test_a_file_against_its_model(
        self, model: sp.ImageClassifier, photos: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "Colours.mlpackage"
        model.write(path)
        proof = sp.coreml.verify(path, model, photos)
        own, *others = proof.rules
        assert own.labels == 1.0
        assert own.accuracy == model.evaluation(photos).accuracy
        assert {rule.rule for rule in others} >= {"scale to fill", "Lanczos resampling"}

    def test_a_file_against_another_model(
        self, model: sp.ImageClassifier, photos: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "Colours.mlpackage"
        model.write(path)
        extractor = tiny_extractor(tmp_path)
        parameters = sp.ModelParameters(
            feature_extractor=extractor, classifier=sp.LogisticRegressor(l2=7.0)
        )
        other = sp.ImageClassifier(photos, parameters, progress=False)
        with pytest.raises(sp.ExportError, match=r"silverprint.head"):
            sp.coreml.verify(path, other, photos)
