"""Model files through silverprint.h: every format there was, newer ones, damaged ones."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import silverprint as sp
from silverprint.features.runtime import library_path
from support import graphs, native
from support.c_api import (
    CANNOT_READ,
    INVALID_MODEL,
    NEWER_FORMAT,
    OK,
    Library,
    pixels_struct,
)
from support.native import ROOT
from support.sample_picture import sample_picture

FORMATS = ROOT / "tests" / "formats"
SAMPLE = (FORMATS / "classifier-1.onnx").read_bytes()

pytestmark = pytest.mark.skipif(not (ROOT / "cpp").is_dir(), reason="needs the source tree")


@pytest.fixture(scope="module")
def library_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return native.shared_library(native.installed(tmp_path_factory))


@pytest.fixture(scope="module")
def library(library_file: Path) -> Library:
    return Library(library_file, library_path())


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The sample with its record changed."""
    model = onnx.ModelProto.FromString(SAMPLE)
    record = json.loads(model.metadata_props[0].value)
    change(record)
    model.metadata_props[0].value = json.dumps(record)
    return model.SerializeToString()


def with_text(text: str) -> bytes:
    model = onnx.ModelProto.FromString(SAMPLE)
    model.metadata_props[0].value = text
    return model.SerializeToString()


# The stored files of every format


@pytest.mark.parametrize("number", range(1, 2))
def test_every_format_is_read_by_python_and_by_c_alike(library: Library, number: int) -> None:
    path = FORMATS / f"classifier-{number}.onnx"
    expected = json.loads((FORMATS / f"classifier-{number}.json").read_text(encoding="utf-8"))
    classifier = sp.load(path)
    assert list(classifier.labels) == expected["labels"]
    (row,) = classifier.probabilities([sample_picture()])
    # The runtime's sums differ a little between processors.
    np.testing.assert_allclose(row, expected["probabilities"], atol=1e-5)

    with library.loaded(path.read_bytes()) as c_classifier:
        status, values = library.predict(c_classifier, pixels_struct(sample_picture()), 3)
        assert (status, values.tobytes()) == (OK, row.tobytes())
        texts = []
        for i in range(3):
            label = ctypes.c_char_p()
            assert library.c.silverprint_label(c_classifier, i, ctypes.byref(label)) == OK
            texts.append((label.value or b"").decode())
        assert texts == expected["labels"]


# Loading


def test_a_file_that_is_not_there(library: Library, tmp_path: Path) -> None:
    made = ctypes.c_void_p(1)
    for path in (tmp_path / "Nöthing.onnx", tmp_path):
        options = ctypes.byref(library.options())
        status = library.c.silverprint_load_file(str(path).encode(), options, ctypes.byref(made))
        assert (status, made.value) == (CANNOT_READ, None)
        assert library.error().startswith(f"{path}: cannot be read (")


def test_messages_about_a_file_begin_with_its_path(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "Cut.onnx"
    path.write_bytes(SAMPLE[:900])
    made = ctypes.c_void_p(1)
    options = ctypes.byref(library.options())
    status = library.c.silverprint_load_file(str(path).encode(), options, ctypes.byref(made))
    assert status == INVALID_MODEL
    assert library.error() == f"{path}: not an ONNX file, or cut short"


@pytest.mark.parametrize("number", [2, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_newer_format_says_what_to_do_in_both_languages(
    library: Library, tmp_path: Path, number: int
) -> None:
    newer = changed(lambda record: record.update(format_version=number))
    assert library.load(newer)[0] == NEWER_FORMAT
    words = f"written in format {number}, this silverprint reads 1: "
    assert library.error() == f"the model in memory: {words}upgrade silverprint"
    path = tmp_path / "Newer.onnx"
    path.write_bytes(newer)
    with pytest.raises(sp.InvalidDataError) as raised:
        sp.load(path)
    assert str(raised.value) == f"{path}: {words}pip install --upgrade silverprint"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "written in format 0, which there is not; the file is damaged"),
        (-3, "written in format -3, which there is not; the file is damaged"),
        *(
            (value, "format_version is not a whole number; the file is damaged")
            for value in ("1", 1.0, 2.5, True, None, [1])
        ),
    ],
)
def test_a_damaged_format_version_reads_alike_in_both_languages(
    library: Library, tmp_path: Path, value: object, message: str
) -> None:
    model = changed(lambda record: record.update(format_version=value))
    assert library.load(model)[0] == INVALID_MODEL
    assert library.error() == f"the model in memory: {message}"
    path = tmp_path / "Damaged.onnx"
    path.write_bytes(model)
    with pytest.raises(sp.InvalidDataError) as raised:
        sp.load(path)
    assert str(raised.value) == f"{path}: {message}"


def test_a_newer_picture_rule_is_not_guessed_at(library: Library) -> None:
    newer = changed(lambda record: record["picture_rule"].update(version=2))
    assert library.load(newer)[0] == NEWER_FORMAT
    assert "picture rule version 2, this silverprint reads 1: upgrade" in library.error()


def test_keys_that_are_not_known_do_not_matter(library: Library) -> None:
    with library.loaded(changed(lambda record: record.update(later={"a": [1, None]}))):
        pass
    with library.loaded(changed(lambda record: record.update(figure=float("nan")))):
        pass


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"", "the model in memory: "),
        (b"not a model", "in memory: not an ONNX file, or cut short"),
        (graphs.backbone().SerializeToString(), "not written by silverprint"),
        (with_text("{"), "its record is not a JSON object; the file is damaged"),
        (with_text("[" * 100_000), "its record is not a JSON object; the file is damaged"),
        (with_text("{}"), "its record lacks 'format_version'; the file is damaged"),
        (changed(lambda r: r.update(kind="detector")), "holds a detector, not a classifier"),
        (changed(lambda r: r.pop("labels")), "its record lacks 'labels'"),
        (changed(lambda r: r.update(labels="red")), "it has no list of labels"),
        (changed(lambda r: r.update(labels=["a", 2, "c"])), "one of its labels is not a text"),
        (changed(lambda r: r.update(labels=["a", "b", "a"])), "its label 'a' stands there twice"),
        (changed(lambda r: r.update(labels=["a", "b\0", "c"])), "holds a zero character"),
        (changed(lambda r: r.update(labels=["a", "b"])), "do not belong together"),
        (changed(lambda r: r["picture_rule"].update(width=23)), "do not belong together"),
        (changed(lambda r: r["picture_rule"].update(width=0)), "between 1 and 16384 pixels"),
        (changed(lambda r: r["picture_rule"].update(crop_and_scale="x")), "crop_and_scale is 'x'"),
        (changed(lambda r: r.update(picture_rule=[])), "its record lacks 'version'"),
    ],
)
def test_files_that_are_no_classifier(library: Library, model: bytes, message: str) -> None:
    status, made = library.load(model)
    assert (status, made.value) == (INVALID_MODEL, None)
    assert message in library.error()


def test_a_record_on_another_graph_is_refused(library: Library) -> None:
    foreign = graphs.backbone()
    entry = onnx.ModelProto.FromString(SAMPLE).metadata_props[0]
    helper.set_model_props(foreign, {"silverprint": entry.value})
    assert library.load(foreign.SerializeToString())[0] == INVALID_MODEL
    assert "its graph and its record do not belong together" in library.error()


def test_weights_in_other_files_are_not_followed(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.ModelProto.FromString(SAMPLE)
    onnx.save(model, tmp_path / "x.onnx", save_as_external_data=True, size_threshold=0)
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        assert library.load((tmp_path / "x.onnx").read_bytes())[0] == INVALID_MODEL
        assert library.error().endswith("points at weights in other files; a model is one file")
