"""Every fault that is planted in a copy of a saved Core ML file is found.

The faults and how large their effects are come from a study of saved MobileNetV2 and ViT files:
those that no tolerance can see (a low bit, an epsilon, the form of GELU) are among them.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from silverprint.errors import ExportError
from silverprint.export.coreml import (
    ExportOptions,
    adopt_backbone,
    available,
    write_backbone,
)
from silverprint.export.coreml.proof import Expected, prove
from support.coreml_copies import BASES, MODEL, WEIGHTS, Copy
from support.coreml_faults import READING, page, planted, rows
from support.coreml_networks import pictures
from support.coreml_planting import FAULTS, Fault

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coreml-proof.md"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every base, written without fault."""
    return {
        name: base.write(tmp_path_factory.mktemp(name.replace(" ", "_")))
        for name, base in BASES.items()
    }


@pytest.fixture(scope="module")
def found(
    files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What each check by itself says about each fault."""
    folder = tmp_path_factory.mktemp("copies")
    return {one.id: said for one, said in rows(files, folder)}


@pytest.mark.parametrize("name", BASES)
def test_a_file_without_fault_is_proven_to_the_last_operator(
    files: dict[str, Path], name: str
) -> None:
    base = BASES[name]
    proof = prove(files[name], base.network(), pictures(), expected=base.expected)
    assert proof.unproven == ()


@pytest.mark.parametrize("one", FAULTS, ids=[one.id for one in FAULTS])
def test_a_planted_fault_is_found(
    files: dict[str, Path], found: dict[str, dict[str, str]], tmp_path: Path, one: Fault
) -> None:
    assert found[one.id]
    base, path = BASES[one.base], planted(files, one, tmp_path)
    with pytest.raises(ExportError) as raised:
        prove(path, base.network(), pictures(), expected=base.expected)
    assert str(raised.value).replace(str(path), path.name) in found[one.id].values()


@pytest.mark.skipif(not PAGE.parent.is_dir(), reason="needs the source tree")
def test_the_table_in_the_documentation_is_what_is_found(
    found: dict[str, dict[str, str]],
) -> None:
    """Where this fails: cd tests && python -m support.coreml_faults > ../docs/coreml-proof.md"""
    letters = {one: sorted(said) for one, said in found.items()}
    assert PAGE.read_text(encoding="utf-8") == page(letters)


@pytest.mark.parametrize(
    ("fault", "layer"),
    [
        ("cnn: the lowest bit of a weight", "'block1'"),
        ("cnn: padding 1, 1 as 0, 2", "'block1'"),
        ("vit: epsilon of a layer norm 1e-6 as 1e-12", "'block1_norm1'"),
        ("vit float16: GELU by tanh", "'block1_gelu_cast_fp16'"),
        ("cnn .mlmodel: relu6 as relu7", "'stem.act'"),
    ],
)
def test_the_error_names_the_layer(
    found: dict[str, dict[str, str]], fault: str, layer: str
) -> None:
    assert any(f"layer {layer} of the saved file" in text for text in found[fault].values())


def test_execution_names_the_first_layer_that_differs(found: dict[str, dict[str, str]]) -> None:
    said = found["cnn: weights of two blocks swapped"]["a"]
    assert "the first layer that differs is 'block1'" in said


def test_tolerance_alone_would_let_faults_pass(found: dict[str, dict[str, str]]) -> None:
    alone = {one for one, said in found.items() if not {"a", "b", "f"} & said.keys()}
    assert {one.id for one in FAULTS if "lowest bit" in one.what} <= alone
    assert "vit float16: GELU by tanh" in alone
    assert "vit: epsilon of a layer norm 1e-6 as 1e-5" in alone
    assert "cnn float16: padding counted in averages" in alone


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cnn: a newer specification version", "the specification version 7 instead of 6"),
        ("cnn .mlmodel: a newer specification version", "the specification version 5 instead of 4"),
        ("cnn: a model that devices train", "isUpdatable True instead of False"),
        ("cnn: an input for training", "inputs for training ['image'] instead of []"),
        ("cnn: an image that may be left out", "optional inputs or outputs ['image'] instead"),
        ("cnn: several functions described", "describes the function 'other' by itself, as"),
        ("cnn: another function called where none is named", "'other' is its default function"),
        ("cnn: a second function", "the functions ['main', 'other'] instead of one"),
        ("cnn: a block for another operator set", "operator sets ['CoreML5', 'CoreML7'] instead"),
        ("cnn: another version of the program", "the version 2, of which only 1 is known"),
        ("cnn: the image as float16", "takes 'image' as float16 [1, 3, 24, 32], the description"),
        ("cnn: a result of no type", "'block1' of the saved file (conv) is declared as nothing"),
        ("cnn: a result that is a tuple", "(conv) is declared as tupleType, no tensor"),
        ("cnn: the image with another rank than sides", "with 4 sides and the rank 20"),
        ("cnn: another number of classes declared", "has 5 classes, declared as a list of 6"),
        ("cnn: an attribute of the program", "attributes of the program ['other'] instead of []"),
        ("features: an output of no shape", "the output 'features' without a shape"),
        ("cnn: a result as float16", "(conv) is declared as float16 and gives float32"),
        ("cnn: a result of any size", "(conv) is declared as float32 [1, 0, "),
    ],
)
def test_the_error_says_what_is_wrong(
    found: dict[str, dict[str, str]], fault: str, message: str
) -> None:
    assert any(message in text for text in found[fault].values())


def test_a_damaged_file_is_not_read(found: dict[str, dict[str, str]]) -> None:
    damaged = [said for one, said in found.items() if "weight.bin" in one or "sentinel" in one]
    assert damaged
    assert all(said.keys() == {READING} for said in damaged)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_bytes_give_an_export_error_or_change_nothing_that_counts(
    files: dict[str, Path], data: st.DataObject
) -> None:
    """Names of layers, descriptions and padding say nothing that is computed."""
    name = data.draw(st.sampled_from(["cnn", "cnn .mlmodel", "vit float16", "vit .mlmodel"]))
    source, base = files[name], BASES[name]
    with TemporaryDirectory() as folder:
        copied = Copy(source, Path(folder)).path
        parts = [copied] if copied.is_file() else [copied / MODEL, copied / WEIGHTS]
        part = data.draw(st.sampled_from(parts))
        content = bytearray(part.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        part.write_bytes(content)
        with suppress(ExportError):
            prove(copied, base.network(), pictures(1), expected=base.expected)


# Real networks


@pytest.fixture(scope="module")
def real(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, onnx.ModelProto, Expected]:
    adopted = adopt_backbone(shared_data / "weights" / "silverprint_preview.onnx")
    rule = {
        "height": adopted.height,
        "width": adopted.width,
        "crop_and_scale": "center_crop",
        "version": 1,
    }
    outputs = tuple(value.name for value in adopted.graph.graph.output)
    path = tmp_path_factory.mktemp("real") / "Preview.mlpackage"
    options = ExportOptions()
    write_backbone(adopted.graph, path, picture_rule=rule, metadata={}, options=options)
    return path, adopted.graph, Expected(rule, outputs=outputs, options=options)


@pytest.mark.parametrize("number", [0, -1])
def test_the_lowest_bit_of_a_real_network_is_found(
    real: tuple[Path, onnx.ModelProto, Expected], tmp_path: Path, number: int
) -> None:
    """In the first and in the last convolution of a float16 file."""
    source, graph, expected = real
    rule = expected.picture_rule
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (1, 3, rule["height"], rule["width"])).astype(np.float32)
    copy = Copy(source, tmp_path)
    copy.numbers(copy.operations("conv")[number], "weight").view("<u2").reshape(-1)[7] ^= 1
    with pytest.raises(ExportError, match=r"check \(c\).*1 of \d+ numbers differ"):
        prove(copy.save(), graph, [picture], expected=expected)
    copy.numbers(copy.operations("conv")[number], "weight").view("<u2").reshape(-1)[7] ^= 1
    assert prove(copy.save(), graph, [picture], expected=expected).unproven == ()
