"""`sp.coreml.verify`: any Core ML file against the model that it was written from."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import silverprint as sp
from silverprint.coreml import Proof, verify
from silverprint.errors import BackboneError, ExportError, InvalidDataError, InvalidParameterError
from silverprint.export.coreml import available
from silverprint.export.coreml.names import PICTURE_RULE, PREVIEW_TYPE
from silverprint.export.coreml.reader import read_model
from silverprint.model.metadata import RECORD_KEY
from support.coreml_networks import HEIGHT, LABELS, WIDTH, convolutional
from support.graphs import PLAIN, backbone, saved

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

FORMATS = Path(__file__).resolve().parent / "formats"


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of silverprint as Pets.onnx and Pets.mlpackage."""
    folder = tmp_path_factory.mktemp("pets")
    model = sp.ImageClassifier.load(FORMATS / "classifier-1.onnx")
    model.write(folder / "Pets.onnx")
    model.write(folder / "Pets.mlpackage", pictures=wide(2))
    return folder


def wide(count: int) -> list[np.ndarray[Any, Any]]:
    """Pictures twice as wide as high, sharp in detail."""
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (60, 120, 3)).astype(np.uint8) for _ in range(count)]


def check(pets: Path, *given: Any, **more: Any) -> Proof:
    return verify(pets / "Pets.mlpackage", pets / "Pets.onnx", *given, **more)


def test_verify_needs_nothing_but_the_two_files(pets: Path) -> None:
    proof = check(pets)
    assert proof.numbers[-1].pictures == 16, "drawn ones"
    assert proof.rules == ()
    assert proof.path == str(pets / "Pets.mlpackage")


def test_verify_says_what_other_picture_rules_would_change(pets: Path) -> None:
    labels = sp.ImageClassifier.load(pets / "Pets.onnx").predictions(wide(3))
    own, *others = check(pets, wide(3), labels=labels).rules
    assert (own.labels, own.accuracy) == (1.0, 1.0)
    assert "the model's own rule" in own.rule
    names = [rule.rule for rule in others]
    assert {"no antialiasing", "Lanczos resampling"} < set(names)
    swift = [rule.swift for rule in (own, *others) if rule.swift]
    assert sorted(line.rpartition(".")[2] for line in swift) == [
        "centerCrop",
        "scaleFill",
        "scaleFit",
    ]
    assert check(pets, wide(3)).rules[0].accuracy is None


def test_verify_takes_folders(pets: Path, tmp_path: Path) -> None:
    labels = sp.ImageClassifier.load(pets / "Pets.onnx").labels
    for number, pixels in enumerate(wide(4)):
        for folder in (tmp_path / "flat", tmp_path / "labelled" / labels[number % 2]):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    flat, labelled = (check(pets, tmp_path / name) for name in ("flat", "labelled"))
    assert flat.rules[0].accuracy is None
    assert labelled.rules[0].accuracy is not None
    assert labelled.numbers[-1].pictures == 4
    data = sp.DataSource.labeled_directories(tmp_path / "labelled")
    assert check(pets, data).rules == labelled.rules


def test_verify_finds_a_model_of_other_labels(pets: Path, tmp_path: Path) -> None:
    model = onnx.load(pets / "Pets.onnx")
    record = json.loads(model.metadata_props[0].value)
    swapped = dict(zip(record["labels"], record["labels"][::-1], strict=True))
    record["labels"] = list(swapped.values())
    model.metadata_props[0].value = json.dumps(record)
    onnx.save(model, tmp_path / "Other.onnx")
    with pytest.raises(ExportError, match="the labels"):
        verify(pets / "Pets.mlpackage", tmp_path / "Other.onnx")


def test_verify_takes_any_onnx_model_and_its_normalisation(tmp_path: Path) -> None:
    graph = convolutional()
    path = tmp_path / "Any.onnx"
    plain = {"mean": (0, 0, 0), "std": (1, 1, 1)}
    onnx.save(graph, path)
    sp.coreml.export(path, tmp_path / "Any.mlpackage", labels=LABELS, size=(HEIGHT, WIDTH), **plain)
    assert verify(tmp_path / "Any.mlpackage", path, **plain).unproven == ()
    with pytest.raises(ExportError, match=r"check \(d\): layer 'image'"):
        verify(tmp_path / "Any.mlpackage", path, mean=(1, 2, 3), std=(1, 1, 1))
    with pytest.raises(ExportError, match="has no mean"):
        verify(tmp_path / "Any.mlpackage", path)


def test_verify_takes_the_same_outputs_and_scores_as_the_export(tmp_path: Path) -> None:
    path = saved(backbone(), tmp_path / "own.onnx")
    inner, flat = tmp_path / "Inner.mlpackage", tmp_path / "Flat.mlpackage"
    sp.coreml.export(path, inner, outputs=["map"], **PLAIN)
    assert verify(inner, path, **PLAIN).unproven == ()
    labels = [f"label {number}" for number in range(5)]
    sp.coreml.export(path, flat, labels=labels, outputs=["flat"], scores="logits", **PLAIN)
    assert verify(flat, path, outputs=["flat"], scores="logits", **PLAIN).unproven == ()


def test_an_extractor_is_no_classifier(pets: Path, tmp_path: Path) -> None:
    path = saved(backbone(), tmp_path / "own.onnx")
    sp.coreml.export(path, **PLAIN)
    with pytest.raises(ExportError, match="is no classifier"):
        verify(tmp_path / "own.mlpackage", pets / "Pets.onnx")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"pictures": []}, InvalidParameterError, "at least one picture"),
        ({"pictures": wide(2), "labels": ["a"]}, InvalidParameterError, "one for each of 2"),
        ({"pictures": "no such folder"}, InvalidDataError, "no such folder"),
        ({"pictures": 3}, InvalidParameterError, "a list of pictures"),
        ({"pictures": wide(1)[0]}, InvalidParameterError, "a list of pictures"),
        ({"pictures": wide(1), "labels": 3}, InvalidParameterError, "a list of texts"),
        ({"pictures": wide(1), "labels": ["unheard of"]}, InvalidParameterError, "of the model"),
        ({"labels": ["a"]}, InvalidParameterError, "pictures beside them"),
        ({"mean": (0, 0, 0)}, InvalidParameterError, "silverprint's model says it"),
        ({"channel_order": "BGR"}, InvalidParameterError, "silverprint's model says it"),
        ({"reference": "none.onnx"}, BackboneError, "cannot be read"),
        ({"reference": None}, InvalidParameterError, "an ImageClassifier or an .onnx file"),
        ({"path": None}, InvalidParameterError, "a path"),
        ({"path": "none.mlpackage"}, ExportError, "none.mlpackage"),
    ],
)
def test_verify_names_what_is_wrong(
    pets: Path, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"path": pets / "Pets.mlpackage", "reference": pets / "Pets.onnx", **given}
    with pytest.raises(error, match=message):
        verify(**arguments)


def changed(pets: Path, tmp_path: Path, change: Callable[[Any], None]) -> Path:
    """A copy of the package whose Model protobuf went through `change`."""
    copy = shutil.copytree(pets / "Pets.mlpackage", tmp_path / "Pets.mlpackage")
    file = copy / "Data/com.apple.CoreML/model.mlmodel"
    spec = read_model(copy).spec
    change(spec)
    file.write_bytes(spec.SerializeToString(deterministic=True))
    return copy


def with_json(key: str, change: Callable[[Any], None]) -> Callable[[Any], None]:
    """A change of the JSON under `key` in the metadata."""

    def apply(spec: Any) -> None:
        texts = spec.description.metadata.userDefined
        record = json.loads(texts[key])
        change(record)
        texts[key] = json.dumps(record)

    return apply


def with_text(key: str, text: str) -> Callable[[Any], None]:
    def apply(spec: Any) -> None:
        spec.description.metadata.userDefined[key] = text

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_json(RECORD_KEY, lambda one: one["labels"].reverse()), "labels"),
        (with_json(RECORD_KEY, lambda one: one["picture_rule"].update(width=97)), "rule"),
        (with_json(RECORD_KEY, lambda one: one["head"].update(l2=7.0)), "the record .* head"),
        (with_json(RECORD_KEY, lambda one: one.pop("head")), "its record cannot be read"),
        (with_text(RECORD_KEY, "{"), "its record cannot be read"),
        (with_json(PICTURE_RULE, lambda one: one.update(crop_and_scale="center_crop")), "rule"),
        (with_text(PICTURE_RULE, "{"), "rule"),
        (with_text(PREVIEW_TYPE, "poseEstimation"), "preview"),
        (with_text("extra", "words"), "metadata"),
        (lambda spec: setattr(spec.description.metadata, "author", "Mallory"), "author"),
        (lambda spec: spec.description.input.pop(), "takes 0 images|the inputs"),
    ],
)
def test_verify_finds_what_a_file_says_otherwise(
    pets: Path, tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    path = changed(pets, tmp_path, change)
    with pytest.raises(ExportError, match=message):
        verify(path, pets / "Pets.onnx")


def test_the_words_of_the_author_may_be_others(pets: Path, tmp_path: Path) -> None:
    model = sp.ImageClassifier.load(pets / "Pets.onnx")
    path = tmp_path / "Pets.mlmodel"
    model.write(path, sp.ModelMetadata(author="Somebody"))
    assert verify(path, model).unproven == ()


def test_what_another_tool_wrote_needs_no_record(pets: Path, tmp_path: Path) -> None:
    def forget(spec: Any) -> None:
        spec.description.metadata.userDefined.clear()

    assert verify(changed(pets, tmp_path, forget), pets / "Pets.onnx").unproven == ()


def test_a_damaged_file_is_one_error(pets: Path, tmp_path: Path) -> None:
    """A flipped bit in each of 200 places of the model, near names and numbers alike."""
    whole = (pets / "Pets.mlpackage/Data/com.apple.CoreML/model.mlmodel").read_bytes()
    copy = shutil.copytree(pets / "Pets.mlpackage", tmp_path / "Pets.mlpackage")
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 200).tolist():
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(random.integers(0, 8))
        (copy / "Data/com.apple.CoreML/model.mlmodel").write_bytes(flipped)
        with contextlib.suppress(ExportError):
            verify(copy, pets / "Pets.onnx")
        with contextlib.suppress(ExportError, InvalidDataError):
            sp.load(copy).predictions(wide(1))
