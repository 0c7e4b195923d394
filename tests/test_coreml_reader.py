"""Reading a saved Core ML model back, against coremltools' own writers.

Values are written by coremltools' Python code and by its native writer of weight.bin.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.errors import ExportError
from silverprint.export.coreml import available
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.reader import (
    ELEMENT_TYPES,
    SavedModel,
    constants,
    main_block,
    read_blob,
    read_model,
    tensor_shape,
    value_of,
)
from support.mil import Array, random, save_program

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))

PACKED = {"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}
WHOLE = {
    "bool": np.array([[True, False, True], [False, False, True]]),
    "float16": np.array([[1, -2.5, 65504], [np.inf, 6e-8, 0]], np.float16),
    "float32": np.array([[1, -2.5, 1e30], [np.inf, 1e-40, 0]], np.float32),
    "float64": np.array([[1, -2.5, 1e300], [np.inf, 1e-300, 0]]),
    "int8": np.array([[-128, 127, 0], [1, 2, 3]], np.int8),
    "int16": np.array([[-32768, 32767, 0], [1, 2, 3]], np.int16),
    "int32": np.array([[-(2**31), 2**31 - 1, 0], [1, 2, 3]], np.int32),
    "int64": np.array([[-(2**63), 2**63 - 1, 0], [1, 2, 3]], np.int64),
    "uint8": np.array([[255, 0, 128], [1, 2, 3]], np.uint8),
    "uint16": np.array([[65535, 0, 128], [1, 2, 3]], np.uint16),
    "uint32": np.array([[2**32 - 1, 0, 128], [1, 2, 3]], np.uint32),
}
NUMBERS = {element.name: number for number, element in ELEMENT_TYPES.items()}


def every_number(name: str, count: int = 13) -> Array:
    """Numbers of less than a byte, more than fill the last byte."""
    bits = PACKED[name]
    low = -(1 << (bits - 1)) if name == "int4" else 0
    values = np.arange(count) % (1 << bits) + low
    return values.astype(np.int8 if name == "int4" else np.uint8)


def coreml_types() -> Any:
    with quiet():
        from coremltools.converters.mil.mil import types

        return types


def empty(weights: bytes = b"") -> SavedModel:
    return SavedModel(Path("model"), None, weights)


def value_in_file(name: str, offset: int, *shape: int) -> Any:
    with quiet():
        from coremltools.converters.mil.backend.mil.helper import create_file_value_tensor

        place = "@model_path/weights/weight.bin"
        return create_file_value_tensor(place, offset, shape, NUMBERS[name])


# Values that stand in the model


@needs_coreml
@pytest.mark.parametrize("name", WHOLE)
def test_values_in_the_model_keep_type_shape_and_bits(name: str) -> None:
    coreml_types()
    from coremltools.converters.mil.backend.mil.helper import create_tensor_value

    found = value_of(empty(), create_tensor_value(WHOLE[name]))
    assert found.dtype == WHOLE[name].dtype
    assert found.shape == (2, 3)
    assert found.tobytes() == WHOLE[name].tobytes()


@needs_coreml
@pytest.mark.parametrize("name", PACKED)
def test_numbers_of_less_than_a_byte(name: str) -> None:
    types = coreml_types()
    from coremltools.converters.mil.backend.mil.helper import create_tensor_value
    from coremltools.converters.mil.mil.types.type_mapping import nptype_from_builtin

    expected = every_number(name)
    theirs = expected.astype(nptype_from_builtin(getattr(types, name)))
    found = value_of(empty(), create_tensor_value(theirs))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@needs_coreml
def test_texts_lists_and_scalars() -> None:
    coreml_types()
    from coremltools.converters.mil.backend.mil import helper

    assert value_of(empty(), helper.create_scalar_value("Ärger 🐈")) == "Ärger 🐈"
    labels = ["hund", "🐈 Katze", ""]
    assert value_of(empty(), helper.create_list_scalarvalue(labels, str)) == labels
    numbers = [np.int64(3), np.int64(-(2**40))]
    assert value_of(empty(), helper.create_list_scalarvalue(numbers, np.int64)) == [3, -(2**40)]
    found = value_of(empty(), helper.create_scalar_value(np.float16(0.5)))
    assert (found.shape, found.dtype, found.item()) == ((), np.float16, 0.5)


def no_bytes(value: Any) -> None:
    value.immediateValue.tensor.bytes.values = b""


def half_a_number(value: Any) -> None:
    value.immediateValue.tensor.bytes.values = value.immediateValue.tensor.bytes.values[:-1]


def as_floats(value: Any) -> None:
    value.immediateValue.tensor.floats.values.extend([1.0] * 6)


def another_shape(value: Any) -> None:
    value.type.tensorType.dimensions[0].constant.size = 3


def another_type(value: Any) -> None:
    value.type.tensorType.dataType = 13  # bfloat16


def a_tuple(value: Any) -> None:
    value.immediateValue.tuple.values.add()
    value.type.tupleType.types.add()


def nothing(value: Any) -> None:
    value.ClearField("immediateValue")


@needs_coreml
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_bytes, "'w' holds 0 bytes for 6 numbers"),
        (half_a_number, "'w' holds 11 bytes for 6 numbers"),
        (as_floats, "'w' is not stored as float16"),
        (another_shape, "'w' holds 12 bytes for 9 numbers"),
        (another_type, "unknown type 13"),
        (a_tuple, "'w' is no tensor"),
        (nothing, "'w' is not stored as float16"),
    ],
)
def test_values_that_contradict_themselves(spoil: Callable[[Any], None], message: str) -> None:
    coreml_types()
    from coremltools.converters.mil.backend.mil.helper import create_tensor_value

    value = create_tensor_value(WHOLE["float16"])
    spoil(value)
    with pytest.raises(ExportError, match=message):
        value_of(empty(), value, "w")


@needs_coreml
def test_numbers_beyond_their_type_are_refused() -> None:
    coreml_types()
    from coremltools.converters.mil.backend.mil.helper import create_tensor_value

    value = create_tensor_value(WHOLE["int16"])
    value.immediateValue.tensor.ints.values[0] = 40_000
    with pytest.raises(ExportError, match="'pad' has numbers beyond int16"):
        value_of(empty(), value, "pad")


# weight.bin


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, int]]:
    """A weight.bin by coremltools' native writer and the place of one blob of each type."""
    if available() is not None:
        pytest.skip(str(available()))
    types = coreml_types()
    from coremltools.converters.mil.mil.types.type_mapping import nptype_from_builtin
    from coremltools.libmilstoragepython import _BlobStorageWriter

    path = tmp_path_factory.mktemp("blobs") / "weight.bin"
    writer = _BlobStorageWriter(str(path))
    offsets = {
        "float32": writer.write_float_data(WHOLE["float32"].ravel()),
        "float16": writer.write_fp16_data(WHOLE["float16"].ravel().view(np.uint16)),
    }
    for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32"):
        offsets[name] = getattr(writer, f"write_{name}_data")(WHOLE[name].ravel())
    for name in PACKED:
        dtype = nptype_from_builtin(getattr(types, name))
        offsets[name] = getattr(writer, f"write_{name}_data")(every_number(name).astype(dtype))
    del writer
    return path.read_bytes(), offsets


@pytest.mark.parametrize(
    "name", ["float16", "float32", "int8", "int16", "int32", "uint8", "uint16", "uint32"]
)
def test_weights_of_the_native_writer(blobs: tuple[bytes, dict[str, int]], name: str) -> None:
    weights, offsets = blobs
    found = value_of(empty(weights), value_in_file(name, offsets[name], 2, 3))
    assert found.dtype == WHOLE[name].dtype
    assert found.tobytes() == WHOLE[name].tobytes()


@pytest.mark.parametrize("name", PACKED)
def test_packed_weights_of_the_native_writer(
    blobs: tuple[bytes, dict[str, int]], name: str
) -> None:
    weights, offsets = blobs
    found = value_of(empty(weights), value_in_file(name, offsets[name], 13))
    np.testing.assert_array_equal(found, every_number(name))


def test_weights_that_are_not_what_they_are_said_to_be(
    blobs: tuple[bytes, dict[str, int]],
) -> None:
    weights, offsets = blobs
    place = offsets["int16"]
    with pytest.raises(ExportError, match="'w' is declared as uint16 and stored as int16"):
        value_of(empty(weights), value_in_file("uint16", place, 2, 3), "w")
    with pytest.raises(ExportError, match=r"'w' holds 6 values, its shape is \[2, 2\]"):
        value_of(empty(weights), value_in_file("int16", place, 2, 2), "w")
    other = value_in_file("int16", place, 2, 3)
    other.blobFileValue.fileName = "@model_path/weights/../other.bin"
    with pytest.raises(ExportError, match="in an unknown file"):
        value_of(empty(weights), other, "w")
    with pytest.raises(ExportError, match="no weight of a known type"):
        read_blob(weights, place + 64)
    with pytest.raises(ExportError, match="beyond the end"):
        read_blob(weights[: place + 66], place)
    with pytest.raises(ExportError, match=f"has {place} bytes"):
        read_blob(weights[:place], place)
    padded = bytearray(weights)
    struct.pack_into("<Q", padded, place + 24, 99)
    with pytest.raises(ExportError, match="beyond the end"):
        read_blob(bytes(padded), place)


@given(weights=st.binary(max_size=300), offset=st.integers(0, 400))
def test_any_bytes_are_a_weight_or_an_export_error(weights: bytes, offset: int) -> None:
    with suppress(ExportError):
        assert read_blob(weights, offset).ndim == 1


@given(
    kind=st.integers(0, 16),
    size=st.integers(0, 70),
    start=st.integers(0, 200),
    padding=st.integers(0, 600),
)
def test_any_description_is_a_weight_or_an_export_error(
    kind: int, size: int, start: int, padding: int
) -> None:
    weights = bytes(64) + struct.pack("<IIQQQ32x", 0xDEADBEEF, kind, size, start, padding)
    with suppress(ExportError):
        assert read_blob(weights + bytes(range(64)), 64).ndim == 1


# Whole models


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    if available() is not None:
        pytest.skip(str(available()))

    def build(mb: Any, x: Any) -> Any:
        return mb.linear(x=x, weight=random(4, 6, seed=1), bias=random(4, seed=2))

    path = tmp_path_factory.mktemp("whole") / "linear.mlpackage"
    return save_program(path, build, {"x": random(1, 6)})


def test_constants_of_a_program(saved: SavedModel) -> None:
    assert [one.type for one in main_block(saved.spec).operations] == ["const", "const", "linear"]
    by_size = {value.size: value for _, value in constants(saved)}
    np.testing.assert_array_equal(by_size[24], random(4, 6, seed=1))
    np.testing.assert_array_equal(by_size[4], random(4, seed=2))
    output = main_block(saved.spec).operations[-1].outputs[0]
    assert tensor_shape(output.type.tensorType) == (1, 4)


def test_a_model_file_has_no_weights_beside_it(saved: SavedModel, tmp_path: Path) -> None:
    path = tmp_path / "Model.mlmodel"
    path.write_bytes(saved.spec.SerializeToString())
    found = read_model(str(path))
    assert (found.path, found.weights) == (path, b"")
    assert found.spec == saved.spec


@needs_coreml
@pytest.mark.parametrize("content", [b"", b"\xff", b"not a model"])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "Model.mlmodel"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"Model\.mlmodel holds no Core ML model"):
        read_model(path)


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be read"):
        read_model(tmp_path / "Model.mlmodel")
    with pytest.raises(ExportError, match="cannot be read"):
        read_model(tmp_path)


@pytest.mark.parametrize("entry", [{}, {"path": 3}, {"path": "gone/model.mlmodel"}])
def test_a_manifest_that_leads_nowhere(
    saved: SavedModel, tmp_path: Path, entry: dict[str, Any]
) -> None:
    folder = tmp_path / "Model.mlpackage"
    shutil.copytree(saved.path, folder)
    manifest = {"rootModelIdentifier": "a", "itemInfoEntries": {"a": entry}}
    (folder / "Manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match=r"no readable manifest|cannot be read"):
        read_model(folder)
