"""weight.bin is written without coremltools' native parts, and is the same file."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.errors import ExportError
from silverprint.export.coreml import (
    ExportOptions,
    available,
    write_classifier,
)
from silverprint.export.coreml.translate import mlprogram
from silverprint.export.coreml.translate.blob import BlobWriter
from support.children import run_python
from support.coreml_graphs import METADATA, RULE, compose, files, small_backbone

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))

METHODS = {
    "write_float_data": "<f4",
    "write_fp16_data": "<u2",
    "write_int8_data": "i1",
    "write_uint8_data": "u1",
    "write_int16_data": "<i2",
    "write_uint16_data": "<u2",
    "write_int32_data": "<i4",
    "write_uint32_data": "<u4",
}


@pytest.fixture(scope="module")
def native_writer() -> Any:
    """coremltools' own writer, the source of what is right here."""
    try:
        found = import_module("coremltools.libmilstoragepython")
    except ImportError as error:
        pytest.skip(f"coremltools has no native writer here: {error}")
    return found._BlobStorageWriter


def write(path: Path, options: ExportOptions) -> None:
    write_classifier(
        compose(small_backbone()),
        path,
        labels=list("abcd"),
        picture_rule=RULE,
        metadata=METADATA,
        options=options,
    )


def write_blobs(writer: Any, blobs: list[tuple[str, int]]) -> list[int]:
    rng = np.random.default_rng(3)
    return [
        getattr(writer, method)(np.frombuffer(rng.bytes(4 * count), METHODS[method])[:count])
        for method, count in blobs
    ]


@needs_coreml
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(METHODS)), st.integers(1, 200)), max_size=8))
def test_any_sequence_of_weights_gives_the_bytes_of_the_native_writer(
    native_writer: Any, tmp_path_factory: pytest.TempPathFactory, blobs: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("blobs")
    places = write_blobs(BlobWriter(folder / "ours.bin"), blobs)
    # The native writer is done with its file when it is gone.
    assert places == write_blobs(native_writer(str(folder / "native.bin")), blobs)
    if blobs:
        assert (folder / "ours.bin").read_bytes() == (folder / "native.bin").read_bytes()


def test_the_file_is_complete_after_each_weight(tmp_path: Path) -> None:
    """Header, mark and alignment as in coremltools' StorageFormat.hpp."""
    writer = BlobWriter(tmp_path / "weight.bin")
    assert writer.write_float_data(np.arange(3, dtype=np.float32)) == 64
    assert (tmp_path / "weight.bin").stat().st_size == 64 + 64 + 12
    assert writer.write_int8_data(np.array([-1], np.int8)) == 192
    content = (tmp_path / "weight.bin").read_bytes()
    assert content[:8] == bytes([2, 0, 0, 0, 2, 0, 0, 0])
    assert content[64:72] == bytes.fromhex("efbeadde02000000")
    assert content[128:140] == np.arange(3, dtype="<f4").tobytes()
    assert (content[192:200], content[-1]) == (bytes.fromhex("efbeadde04000000"), 255)


@needs_coreml
@pytest.mark.parametrize("weights", [None, 8])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_package_is_the_same_with_the_native_writer(
    native_writer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: Any,
    weights: Any,
) -> None:
    options = ExportOptions(precision=precision, weights=weights)
    write(tmp_path / "ours.mlpackage", options)
    monkeypatch.setattr(mlprogram, "BlobWriter", native_writer)
    write(tmp_path / "native.mlpackage", options)
    ours, native = files(tmp_path / "ours.mlpackage"), files(tmp_path / "native.mlpackage")
    assert ours == native
    assert len(ours["Data/com.apple.CoreML/weights/weight.bin"]) > 1000


@needs_coreml
def test_the_native_writer_is_back_in_its_place(tmp_path: Path) -> None:
    from coremltools.converters.mil.backend.mil import load

    native = load.BlobWriter
    write(tmp_path / "P.mlpackage", ExportOptions())
    assert load.BlobWriter is native


WITHOUT_NATIVE_PARTS = """
import sys
from importlib.abc import MetaPathFinder

class Hide(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("coremltools.libmilstoragepython", "coremltools.libmodelpackage"):
            raise ImportError(name + " is hidden")

sys.meta_path.insert(0, Hide())
import onnx
from silverprint.export.coreml import ExportOptions, available, write_classifier
assert available() is None
write_classifier(
    onnx.load(sys.argv[1]), sys.argv[2], labels=list("abcd"), metadata=eval(sys.argv[3]),
    picture_rule={"height": 32, "width": 24, "crop_and_scale": "center_crop", "version": 1},
    options=ExportOptions(precision="float32"),
)
from coremltools.models import utils
from coremltools.converters.mil.backend.mil import load
assert utils._ModelPackage is None and load.BlobWriter is None
"""


@needs_coreml
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_without_the_native_parts_the_same_bytes_are_written(tmp_path: Path, suffix: str) -> None:
    graph = compose(small_backbone())
    onnx.save(graph, tmp_path / "graph.onnx")
    path, other = tmp_path / f"without{suffix}", tmp_path / f"with{suffix}"
    done = run_python(WITHOUT_NATIVE_PARTS, tmp_path / "graph.onnx", path, repr(METADATA))
    assert (done.stdout, done.stderr) == ("", "")
    write(other, ExportOptions(precision="float32"))
    if suffix == ".mlmodel":
        assert path.read_bytes() == other.read_bytes()
    else:
        assert files(path) == files(other)


@needs_coreml
def test_a_full_disk_is_an_export_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, kind: int, data: Any) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(BlobWriter, "_append", fail)
    with pytest.raises(ExportError, match=r"P\.mlpackage could not be written: No space left"):
        write(tmp_path / "P.mlpackage", ExportOptions())
    assert os.listdir(tmp_path) == []
