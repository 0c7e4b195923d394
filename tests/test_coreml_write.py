"""Writing a classifier as a Core ML model package, read back with coremltools' protobufs.

The layout of weight.bin is taken from coremltools' StorageFormat.hpp and BlobDataType.hpp.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from silverprint.errors import ExportError
from silverprint.export.coreml import (
    ExportOptions,
    PackageSummary,
    available,
    library,
    package,
    write_classifier,
)
from silverprint.export.coreml.proof import Expected, prove
from support.children import run_python
from support.coreml_graphs import (
    LABELS,
    MEAN,
    METADATA,
    RULE,
    STD,
    bits,
    compose,
    constant,
    files,
    initialiser,
    replace,
    small_backbone,
)

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))


def write(path: Path, graph: onnx.ModelProto | None = None, **changed: Any) -> PackageSummary:
    """Options of `ExportOptions` may be given by name."""
    given = {"labels": LABELS, "picture_rule": RULE, "metadata": METADATA, **changed}
    chosen = {one.name: given.pop(one.name) for one in fields(ExportOptions) if one.name in given}
    given.setdefault("options", ExportOptions(**chosen))
    return write_classifier(graph or compose(small_backbone()), path, **given)


def load_spec(path: Path) -> Any:
    """Not by coremltools' own loader, which needs its native parts and rewrites the manifest."""
    from coremltools.proto import Model_pb2

    model = path / "Data/com.apple.CoreML/model.mlmodel"
    return Model_pb2.Model.FromString(model.read_bytes())


def operations(spec: Any) -> list[Any]:
    return list(spec.mlProgram.functions["main"].block_specializations["CoreML5"].operations)


def weight_of(path: Path, spec: Any, operation: Any, parameter: str) -> np.ndarray[Any, Any]:
    """A constant as it is stored, in its own dtype and shape."""
    name = operation.inputs[parameter].arguments[0].name
    value = next(op for op in operations(spec) if op.outputs[0].name == name).attributes["val"]
    shape = [side.constant.size for side in value.type.tensorType.dimensions]
    if not value.HasField("blobFileValue"):
        tensor = value.immediateValue.tensor
        if tensor.WhichOneof("value") == "bytes":
            return np.frombuffer(tensor.bytes.values, "<f2").reshape(shape)
        return np.array(tensor.floats.values, "<f4").reshape(shape)
    blob = (path / "Data/com.apple.CoreML/weights/weight.bin").read_bytes()
    sentinel, kind, size, start = struct.unpack_from("<IIQQ", blob, value.blobFileValue.offset)
    assert sentinel == 0xDEADBEEF
    dtype = {1: "<f2", 2: "<f4"}[kind]
    return np.frombuffer(blob[start : start + size], dtype).reshape(shape)


# What a package holds


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> PackageSummary:
    return write(tmp_path_factory.mktemp("written") / "My pets-2.mlpackage")


@needs_coreml
def test_an_rgb_image_goes_in_and_create_mls_outputs_come_out(written: PackageSummary) -> None:
    description = load_spec(written.path).description
    (image,) = description.input
    assert image.name == "image"
    assert image.type.imageType.colorSpace == 20, "RGB in FeatureTypes.proto"
    assert (image.type.imageType.height, image.type.imageType.width) == (32, 24)
    assert [one.name for one in description.output] == ["target", "targetProbability"]
    assert description.output[0].type.WhichOneof("Type") == "stringType"
    assert description.output[1].type.dictionaryType.WhichOneof("KeyType") == "stringKeyType"
    assert description.predictedFeatureName == "target"
    assert description.predictedProbabilitiesName == "targetProbability"
    assert all(one.shortDescription for one in (*description.input, *description.output))


@needs_coreml
def test_labels_stand_in_the_order_of_the_classes(written: PackageSummary) -> None:
    classify = operations(load_spec(written.path))[-1]
    assert classify.type == "classify"
    values = classify.inputs["classes"].arguments[0].value.immediateValue.list.values
    assert [value.immediateValue.tensor.strings.values[0] for value in values] == LABELS
    assert [one.name for one in classify.outputs] == ["target", "targetProbability"]


@needs_coreml
def test_metadata_picture_rule_and_preview_type_come_back(written: PackageSummary) -> None:
    metadata = load_spec(written.path).description.metadata
    assert metadata.author == "Ada"
    assert metadata.license == "CC0"
    assert metadata.versionString == "1.2"
    assert metadata.shortDescription == "Cats 🐈"
    extras = dict(metadata.userDefined)
    assert (extras["a"], extras["z"]) == ("first", "last")
    assert extras["com.apple.coreml.model.preview.type"] == "imageClassifier"
    assert json.loads(extras["silverprint.picture_rule"]) == RULE
    assert not [key for key in extras if "date" in key or "source" in key]


@needs_coreml
def test_the_summary_says_size_system_and_swift(written: PackageSummary) -> None:
    import coremltools

    assert written.size == sum(map(len, files(written.path).values()))
    assert written.specification_version == coremltools.target.iOS15.value == 6
    assert load_spec(written.path).specificationVersion == 6
    assert written.oldest_system == "iOS 15 / macOS 12"
    model, request, option = written.swift.splitlines()
    assert "try VNCoreMLModel(for: My_pets_2(configuration:" in model
    assert request == "let request = VNCoreMLRequest(model: model)"
    assert option == "request.imageCropAndScaleOption = .centerCrop"


@needs_coreml
@pytest.mark.parametrize(
    ("crop_and_scale", "option"), [("scale_fill", ".scaleFill"), ("scale_fit", ".scaleFit")]
)
def test_swift_follows_the_picture_rule(tmp_path: Path, crop_and_scale: str, option: str) -> None:
    rule = {**RULE, "crop_and_scale": crop_and_scale}
    summary = write(tmp_path / "2cats.mlpackage", picture_rule=rule)
    assert summary.swift.endswith(f"imageCropAndScaleOption = {option}")
    assert "for: _2cats(" in summary.swift


@needs_coreml
def test_neither_paths_nor_file_names_stand_in_a_package(written: PackageSummary) -> None:
    for content in files(written.path).values():
        for name in (str(written.path.parent), "My pets-2", os.path.expanduser("~")):
            assert name.encode() not in content


# The numbers


@needs_coreml
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_normalisation_keeps_channel_order_and_values(tmp_path: Path, precision: str) -> None:
    """mean and 1/std per channel, first in the program and not turned into a batch_norm."""
    path = tmp_path / "P.mlpackage"
    write(path, precision=precision)
    spec = load_spec(path)
    listed = [op for op in operations(spec) if op.type not in ("const", "cast")]
    assert [op.type for op in listed[:3]] == ["sub", "mul", "conv"]
    dtype = np.dtype(precision)
    mean = np.array(MEAN, np.float32).astype(dtype)
    inverse = (np.float32(1) / np.array(STD, np.float32)).astype(dtype)
    assert bits(weight_of(path, spec, listed[0], "y")) == bits(mean)
    assert bits(weight_of(path, spec, listed[1], "y")) == bits(inverse)


@needs_coreml
def test_normalisation_by_mul_and_add_is_no_batch_norm(tmp_path: Path) -> None:
    """coremltools would fuse them, with an epsilon that changes the result."""
    graph = compose(small_backbone())
    for node, operator in zip(graph.graph.node[:2], ("Mul", "Add"), strict=True):
        node.op_type = operator
    write(tmp_path / "P.mlpackage", graph, precision="float32")
    types = [op.type for op in operations(load_spec(tmp_path / "P.mlpackage"))]
    assert [name for name in types if name != "const"][:3] == ["mul", "add", "conv"]


@needs_coreml
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", ["small", "silverprint_preview", "mobilenetv2_float"])
def test_weights_are_those_of_the_graph(
    tmp_path: Path, request: pytest.FixtureRequest, name: str, precision: str
) -> None:
    """Bit for bit in float32, numpy's rounding of them in float16."""
    rule = RULE
    if name == "small":
        graph = compose(small_backbone())
    else:
        shared_data: Path = request.getfixturevalue("shared_data")
        graph = compose(onnx.load(shared_data / "weights" / f"{name}.onnx"))
        rule = {**RULE, "height": 224, "width": 224}
    path = tmp_path / "P.mlpackage"
    write(path, graph, picture_rule=rule, precision=precision)
    spec = load_spec(path)
    saved = [op for op in operations(spec) if op.type == "conv"]
    nodes = [node for node in graph.graph.node if node.op_type == "Conv"]
    assert len(saved) == len(nodes) > 1
    dtype = np.dtype(precision)
    for conv, node in zip(saved, nodes, strict=True):
        for parameter, source in zip(("weight", "bias"), node.input[1:], strict=False):
            expected = initialiser(graph, source).astype(dtype)
            assert bits(weight_of(path, spec, conv, parameter)) == bits(expected)
    (head,) = [op for op in operations(spec) if op.type == "linear"]
    for parameter in ("weight", "bias"):
        expected = initialiser(graph, f"head_{parameter}").astype(dtype)
        assert bits(weight_of(path, spec, head, parameter)) == bits(expected)


@needs_coreml
@pytest.mark.parametrize("form", ["Gemm", "Gemm, not transposed", "MatMul and Add"])
def test_a_head_with_large_numbers_stays_float32(tmp_path: Path, form: str) -> None:
    graph = compose(small_backbone(), head_scale=2e3)
    expected = initialiser(graph, "head_weight")
    if form != "Gemm":
        replace(graph, constant("head_weight", expected.T))
        gemm = next(node for node in graph.graph.node if node.op_type == "Gemm")
        del gemm.attribute[:]
    if form == "MatMul and Add":
        place = list(graph.graph.node).index(gemm)
        gemm.op_type = "Add"
        gemm.input[:] = ["product", "head_bias"]
        product = helper.make_node("MatMul", ["features", "head_weight"], ["product"])
        graph.graph.node.insert(place, product)
    path = tmp_path / "P.mlpackage"
    write(path, graph)
    spec = load_spec(path)
    (head,) = [op for op in operations(spec) if op.type == "linear"]
    (softmax,) = [op for op in operations(spec) if op.type == "softmax"]
    float32 = 11  # MIL.proto
    for operation in (head, softmax):
        assert operation.outputs[0].type.tensorType.dataType == float32
    assert bits(weight_of(path, spec, head, "weight")) == bits(expected)
    convs = [op for op in operations(spec) if op.type == "conv"]
    assert {weight_of(path, spec, conv, "weight").dtype for conv in convs} == {np.dtype("<f2")}


# Determinism

CHILD = """
import sys, onnx
from silverprint.export.coreml import available, write_classifier
assert available() is None
assert "coremltools" not in sys.modules
write_classifier(
    onnx.load(sys.argv[1]), sys.argv[2], labels=list("abcd"), metadata=eval(sys.argv[3]),
    picture_rule={"height": 32, "width": 24, "crop_and_scale": "scale_fit", "version": 1},
)
assert "onnxruntime" not in sys.modules
"""


@needs_coreml
def test_two_processes_write_the_same_bytes_and_say_nothing(tmp_path: Path) -> None:
    """Whatever the hash seed, the name, the place and the order of the metadata."""
    onnx.save(compose(small_backbone()), tmp_path / "graph.onnx")
    items = list(METADATA.items())
    results = []
    for seed, listed in ((1, items), (2, items[::-1])):
        path = tmp_path / str(seed) / f"{seed}.mlpackage"
        path.parent.mkdir()
        given = tmp_path / "graph.onnx", path, repr(dict(listed))
        done = run_python(CHILD, *given, env={"PYTHONHASHSEED": str(seed)})
        assert (done.stdout, done.stderr) == ("", "")
        results.append(files(path))
    assert results[0] == results[1]
    assert len(results[0]) == 3


@needs_coreml
def test_other_content_has_other_identifiers(tmp_path: Path) -> None:
    """Also where only weight.bin differs."""
    other = compose(small_backbone())
    replace(other, constant("second", initialiser(other, "second") * 2))
    write(tmp_path / "a.mlpackage")
    write(tmp_path / "b.mlpackage", labels=LABELS[::-1])
    write(tmp_path / "c.mlpackage", other)
    seen = [
        identifier
        for name in "abc"
        for identifier in json.loads((tmp_path / f"{name}.mlpackage/Manifest.json").read_bytes())[
            "itemInfoEntries"
        ]
    ]
    assert len(set(seen)) == len(seen) == 6


# Refusals: the old package stays, nothing else is left


def with_strange_operators() -> onnx.ModelProto:
    graph = compose(small_backbone())
    body = graph.graph
    strange = [
        helper.make_node("Hardmax", ["pooled"], ["h"], name="first_hardmax"),
        helper.make_node("Whirl", ["h"], ["w1"], domain="acme", name="whirl_1"),
        helper.make_node("Whirl", ["w1"], ["w2"], domain="acme"),
        helper.make_node("Whirl", ["w2"], ["unused"], domain="acme", name="leads nowhere"),
    ]
    flatten = next(node for node in body.node if node.op_type == "Flatten")
    flatten.input[0] = "w2"
    nodes = list(body.node)
    place = nodes.index(flatten)
    nodes[place:place] = strange
    del body.node[:]
    body.node.extend(nodes)
    graph.opset_import.append(helper.make_opsetid("acme", 1))
    return graph


@needs_coreml
def test_missing_operators_are_listed_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as raised:
        write(tmp_path / "P.mlpackage", with_strange_operators())
    assert "Hardmax: first_hardmax\n" in str(raised.value)
    assert "acme::Whirl: whirl_1, the Whirl that gives 'w2'\n" in str(raised.value)
    assert "nowhere" not in str(raised.value)
    assert os.listdir(tmp_path) == []


@needs_coreml
def test_a_failed_translation_leaves_the_old_package(tmp_path: Path) -> None:
    path = tmp_path / "P.mlpackage"
    write(path)
    before = files(path)
    with pytest.raises(ExportError, match="no Core ML translation"):
        write(path, with_strange_operators())
    assert files(path) == before
    write(path, labels=LABELS[::-1])
    assert files(path) != before
    assert os.listdir(tmp_path) == ["P.mlpackage"]


@needs_coreml
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ["a", "b", "c", "a"]}, "labels 0 .* and 3 .* are one and the same"),
        ({"labels": ["\u00e9", "b", "c", "e\u0301"]}, "are one and the same to Swift"),
        ({"labels": ["a", "b", "c"]}, r"gives \[1, 4\] probabilities for 3 labels"),
        ({"labels": []}, "needs labels"),
        ({"labels": ["a", "b", "c", 4]}, "label 3 is 4"),
        ({"labels": ["a", "b", "c", "\udcff"]}, "not valid Unicode"),
        ({"picture_rule": {"height": 32}}, "lacks width, crop_and_scale, version"),
        ({"picture_rule": {**RULE, "height": 0}}, "height=0"),
        ({"picture_rule": {**RULE, "crop_and_scale": "scale_fil"}}, "did you mean 'scale_fill'"),
        ({"picture_rule": {**RULE, "note": object()}}, "as JSON"),
        ({"metadata": {"k": 1}}, "expected a text"),
        ({"metadata": {"silverprint.picture_rule": ""}}, "choose another"),
        ({"precision": "float"}, "expected one of 'float16', 'float32'; did you mean"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, changed: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        write(tmp_path / "P.mlpackage", **changed)
    assert os.listdir(tmp_path) == []


def set_input_size(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64


def rename_input(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "picture"


def drop_output(graph: onnx.ModelProto) -> None:
    del graph.graph.output[0]


def use_external_data(graph: onnx.ModelProto) -> None:
    graph.graph.initializer[0].data_location = TensorProto.EXTERNAL


def break_channels(graph: onnx.ModelProto) -> None:
    replace(graph, constant("second", np.zeros((12, 9, 3, 3))))


def spoil_weight(graph: onnx.ModelProto) -> None:
    replace(graph, constant("second", np.full((12, 8, 3, 3), np.nan)))


@needs_coreml
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_input_size, r"has the shape .*64.* the picture rule needs \[1, 3, 32, 24\]"),
        (rename_input, "must have one input, 'image'; it has: picture"),
        (drop_output, "no output 'targetProbability'; it has: target_index"),
        (use_external_data, "load external data"),
        (break_channels, "Conv, node .*cannot be translated"),
        (spoil_weight, "weight 'second' holds NaN"),
    ],
)
def test_graphs_of_another_form_are_refused(
    tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], message: str
) -> None:
    graph = compose(small_backbone())
    spoil(graph)
    with pytest.raises(ExportError, match=message):
        write(tmp_path / "P.mlpackage", graph)
    assert os.listdir(tmp_path) == []


@needs_coreml
def test_tensors_named_like_the_outputs_do_no_harm(tmp_path: Path) -> None:
    """Core ML has letters, digits and _ only, so that other names become these."""
    graph = compose(small_backbone())
    clashing = {"c1": "target", "r1": "target:probs", "c2": "target/probs", "r2": "target_index"}
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [clashing.get(name, name) for name in names]
    write(tmp_path / "P.mlpackage", graph, precision="float32")
    listed = operations(load_spec(tmp_path / "P.mlpackage"))
    names = [value.name for op in listed for value in op.outputs]
    assert len(names) == len(set(names))
    assert names[-2:] == ["target", "targetProbability"]


def test_the_name_must_be_that_of_a_core_ml_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"ends in \.mlpackage or \.mlmodel"):
        write(tmp_path / "P.onnx")


# The proof


def swap_colours(spec: Any) -> None:
    spec.description.input[0].type.imageType.colorSpace = 30


def swap_sides(spec: Any) -> None:
    image = spec.description.input[0].type.imageType
    image.height, image.width = image.width, image.height


def swap_labels(spec: Any) -> None:
    listed = operations(spec)[-1].inputs["classes"].arguments[0].value.immediateValue.list
    texts = [value.immediateValue.tensor.strings for value in listed.values]
    texts[0].values[0], texts[1].values[0] = texts[1].values[0], texts[0].values[0]


def lose_label(spec: Any) -> None:
    listed = operations(spec)[-1].inputs["classes"].arguments[0].value.immediateValue.list
    del listed.values[-1]


def rename_output(spec: Any) -> None:
    spec.description.output[1].name = "targetProbabilities"


def rename_predicted(spec: Any) -> None:
    spec.description.predictedFeatureName = "targetProbability"


def rename_value(spec: Any) -> None:
    conv = next(op for op in operations(spec) if op.type == "conv")
    conv.outputs[0].name = "image"


def move_weight(spec: Any) -> None:
    blob = next(op for op in operations(spec) if op.attributes["val"].HasField("blobFileValue"))
    blob.attributes["val"].blobFileValue.offset += 64


def lose_metadata(spec: Any) -> None:
    del spec.description.metadata.userDefined["a"]


def change_rule(spec: Any) -> None:
    spec.description.metadata.userDefined["silverprint.picture_rule"] = "{}"


@needs_coreml
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (swap_colours, "colour space 30 instead of 20"),
        (swap_sides, r"image size \(24, 32\) instead of \(32, 24\)"),
        (swap_labels, "the labels"),
        (lose_label, "the labels"),
        (rename_output, "the outputs"),
        (rename_predicted, "the predicted feature"),
        (rename_value, "values of one name"),
        (move_weight, "no weight of a known type"),
        (lose_metadata, "the user-defined metadata"),
        (change_rule, "the user-defined metadata"),
    ],
)
def test_a_package_that_differs_from_its_source_never_takes_its_place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Any], None],
    message: str,
) -> None:
    describe = package.describe

    def spoilt(spec: Any, *given: Any) -> None:
        describe(spec, *given)
        spoil(spec)

    graph = compose(small_backbone())
    picture = np.random.default_rng(1).integers(0, 256, (1, 3, 32, 24)).astype(np.float32)
    expected = Expected(RULE, tuple(LABELS), metadata=METADATA)

    def proof(folder: Path) -> object:
        return prove(folder, graph, [picture], expected=expected)

    assert write(tmp_path / "P.mlpackage", graph, prove=proof).proof is not None
    before = files(tmp_path / "P.mlpackage")
    monkeypatch.setattr(package, "describe", spoilt)
    with pytest.raises(ExportError, match=message):
        write(tmp_path / "P.mlpackage", graph, prove=proof)
    assert os.listdir(tmp_path) == ["P.mlpackage"]
    assert files(tmp_path / "P.mlpackage") == before


# Without coremltools


@pytest.mark.parametrize("absent", [["coremltools", "onnx2coreml"], ["onnx2coreml"]])
def test_without_coremltools_the_error_names_platforms_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: list[str]
) -> None:
    find = library.find_spec
    monkeypatch.setattr(library, "find_spec", lambda name: None if name in absent else find(name))
    monkeypatch.setattr(library, "version", lambda name: {"coremltools": "9.0"}.get(name, "1.1.0"))
    reason = available()
    assert reason is not None
    missing = f"{' and '.join(absent)} not installed"
    for part in (missing, "Linux x86-64", "macOS", "pip install", "onnx2coreml>=1.1,<1.2"):
        assert part in reason
    with pytest.raises(ExportError, match=missing):
        write(tmp_path / "P.mlpackage")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "release", "known"),
    [
        ("onnx2coreml", "1.1.0", True),
        ("onnx2coreml", "1.1.9", True),
        ("onnx2coreml", "1.0.5", False),
        ("onnx2coreml", "1.2.0", False),
        ("coremltools", "9.1", True),
        ("coremltools", "8.3.0", False),
        ("coremltools", "10.0", False),
    ],
)
@needs_coreml
def test_only_known_releases_are_used(
    monkeypatch: pytest.MonkeyPatch, name: str, release: str, known: bool
) -> None:
    found = library.version
    monkeypatch.setattr(library, "version", lambda one: release if one == name else found(one))
    reason = available()
    assert reason is None if known else f"{name} {release}" in str(reason)
