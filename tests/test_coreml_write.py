"""Writing a classifier as a Core ML model package, read back with coremltools' protobufs.

The layout of weight.bin is taken from coremltools' StorageFormat.hpp and BlobDataType.hpp.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from silverprint.errors import ExportError
from silverprint.export.coreml import PackageSummary, available, library, package, write_mlpackage
from silverprint.export.coreml.check import check_classifier
from silverprint.export.coreml.reader import read_blob

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))

LABELS = ["🐈 Katze", "hund", "a/b", "Ärger"]
RULE = {"height": 32, "width": 24, "crop_and_scale": "center_crop", "version": 1}
METADATA = {
    "author": "Ada",
    "license": "CC0",
    "version": "1.2",
    "short_description": "Cats 🐈",
    "z": "last",
    "a": "first",
}
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def constant(name: str, values: Any, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values, dtype), name)


def small_backbone() -> onnx.ModelProto:
    """Two convolutions (one with float16 weights, Cast in the graph) and a global mean."""
    rng = np.random.default_rng(5)
    body = helper.make_graph(
        [
            helper.make_node("Cast", ["half"], ["first"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["image", "first", "bias"], ["c1"], pads=[0, 0, 1, 1]),
            helper.make_node("Constant", [], ["six"], value=constant("six", 6)),
            helper.make_node("Clip", ["c1", "zero", "six"], ["r1"]),
            helper.make_node("Conv", ["r1", "second"], ["c2"], strides=[2, 2]),
            helper.make_node("Relu", ["c2"], ["r2"]),
            helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
        ],
        "backbone",
        [
            helper.make_tensor_value_info(
                "image", TensorProto.FLOAT, ["batch", 3, "height", "width"]
            )
        ],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 12])],
        [
            constant("half", rng.normal(size=(8, 3, 3, 3)), np.float16),
            constant("bias", rng.normal(size=8)),
            constant("zero", 0),
            constant("second", rng.normal(size=(12, 8, 3, 3))),
        ],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def compose(
    backbone: onnx.ModelProto, *, classes: int = len(LABELS), head_scale: float = 0.1
) -> onnx.ModelProto:
    """Normalisation + backbone up to `features` + Gemm + Softmax + ArgMax, as one graph."""
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    body = model.graph
    features = next(value for value in body.output if value.name == "features")
    width = features.type.tensor_type.shape.dim[1].dim_value
    rng = np.random.default_rng(6)
    weights = rng.normal(size=(classes, width)) * head_scale
    body.initializer.extend(
        [
            constant("mean", np.reshape(MEAN, (1, 3, 1, 1))),
            constant("std", np.reshape(STD, (1, 3, 1, 1))),
            constant("head_weight", weights),
            constant("head_bias", rng.normal(size=classes)),
        ]
    )
    for node in body.node:
        node.input[:] = ["normalised" if name == "image" else name for name in node.input]
    head = [
        helper.make_node("Gemm", ["features", "head_weight", "head_bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["targetProbability"], axis=1),
        helper.make_node("ArgMax", ["targetProbability"], ["target_index"], axis=1, keepdims=0),
    ]
    normalise = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalised"]),
    ]
    nodes = [*normalise, *body.node, *head]
    del body.node[:]
    body.node.extend(nodes)
    del body.output[:]
    body.output.extend(
        [
            helper.make_tensor_value_info(
                "targetProbability", TensorProto.FLOAT, ["batch", classes]
            ),
            helper.make_tensor_value_info("target_index", TensorProto.INT64, ["batch"]),
        ]
    )
    onnx.checker.check_model(model)
    return model


def write(path: Path, graph: onnx.ModelProto | None = None, **changed: Any) -> PackageSummary:
    given = {"labels": LABELS, "picture_rule": RULE, "metadata": METADATA, **changed}
    return write_mlpackage(graph or compose(small_backbone()), path, **given)


def load_spec(path: Path) -> Any:
    import coremltools

    return coremltools.utils.load_spec(str(path))


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


def initialiser(graph: onnx.ModelProto, name: str) -> np.ndarray[Any, Any]:
    """A weight of the ONNX graph as float32, through the Cast that may follow it."""
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    casts = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "Cast"}
    return numpy_helper.to_array(tensors[casts.get(name, name)]).astype(np.float32)


def replace(graph: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    next(old for old in graph.graph.initializer if old.name == tensor.name).CopyFrom(tensor)


def bits(array: np.ndarray[Any, Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


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
sys.path[:0] = sys.argv[4:]
from silverprint.export.coreml import available, write_mlpackage
assert available() is None
assert "coremltools" not in sys.modules
write_mlpackage(
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
        command = [sys.executable, "-c", CHILD, tmp_path / "graph.onnx", path, repr(dict(listed))]
        done = subprocess.run(
            [*command, *sys.path],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        results.append(files(path))
    assert results[0] == results[1]
    assert len(results[0]) == 3


@needs_coreml
def test_other_content_has_other_identifiers(tmp_path: Path) -> None:
    for name, labels in (("a", LABELS), ("b", LABELS[::-1])):
        write(tmp_path / f"{name}.mlpackage", labels=labels)
    first, second = (
        json.loads((tmp_path / f"{name}.mlpackage/Manifest.json").read_bytes()) for name in "ab"
    )
    assert not set(first["itemInfoEntries"]) & set(second["itemInfoEntries"])


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
        ({"precision": "float"}, "expected float16 or float32; did you mean"),
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
        (spoil_weight, "is not finite"),
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
    graph = compose(small_backbone())
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [{"c1": "target", "r1": "target_probs"}.get(name, name) for name in names]
    write(tmp_path / "P.mlpackage", graph)
    listed = operations(load_spec(tmp_path / "P.mlpackage"))
    names = [value.name for op in listed for value in op.outputs]
    assert len(names) == len(set(names))
    assert names[-2:] == ["target", "targetProbability"]


def test_the_name_must_be_that_of_a_package(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"ends in \.mlpackage"):
        write(tmp_path / "P.mlmodel")


# The structural check


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

    def spoilt(spec: Any, rule: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        describe(spec, rule, metadata)
        spoil(spec)

    monkeypatch.setattr(package, "describe", spoilt)
    with pytest.raises(ExportError, match=message):
        write(tmp_path / "P.mlpackage")
    assert os.listdir(tmp_path) == []


@needs_coreml
@pytest.mark.parametrize("kept", [0, 64, -1])
def test_truncated_weights_are_found(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "P.mlpackage"
    write(path)
    expected: dict[str, Any] = {"labels": LABELS, "picture_rule": RULE, "metadata": METADATA}
    check_classifier(path, **expected)
    blob = path / "Data/com.apple.CoreML/weights/weight.bin"
    blob.write_bytes(blob.read_bytes()[:kept])
    with pytest.raises(ExportError, match=r"weight"):
        check_classifier(path, **expected)


@needs_coreml
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 20_000), byte=st.integers(0, 255), kept=st.none() | st.integers(0))
def test_a_damaged_model_is_an_export_error_or_harmless(
    written: PackageSummary, tmp_path: Path, place: int, byte: int, kept: int | None
) -> None:
    shutil.copytree(written.path, tmp_path, dirs_exist_ok=True)
    model = tmp_path / "Data/com.apple.CoreML/model.mlmodel"
    content = bytearray(model.read_bytes())
    content[place % len(content)] = byte
    model.write_bytes(content if kept is None else content[: kept % len(content)])
    with suppress(ExportError):
        check_classifier(tmp_path, labels=LABELS, picture_rule=RULE, metadata=METADATA)


@needs_coreml
@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"rootModelIdentifier": 1}', b"\xff"])
def test_a_damaged_manifest_is_an_export_error(
    written: PackageSummary, tmp_path: Path, manifest: bytes
) -> None:
    shutil.copytree(written.path, tmp_path, dirs_exist_ok=True)
    (tmp_path / "Manifest.json").write_bytes(manifest)
    with pytest.raises(ExportError, match="no readable manifest"):
        check_classifier(tmp_path, labels=LABELS, picture_rule=RULE, metadata=METADATA)


@given(weights=st.binary(max_size=300), offset=st.integers(0, 400))
def test_any_bytes_are_a_weight_or_an_export_error(weights: bytes, offset: int) -> None:
    with suppress(ExportError):
        assert read_blob(weights, offset).ndim == 1


# Without coremltools


def find_nothing(name: str) -> None:
    return None


def find_without_native_parts(name: str) -> SimpleNamespace:
    return SimpleNamespace(origin=f"/nowhere/{name}/__init__.py")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (find_nothing, "coremltools and onnx2coreml not installed"),
        (find_without_native_parts, "lacks its native part"),
    ],
)
def test_without_coremltools_the_error_names_platforms_and_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: Callable[[str], Any],
    message: str,
) -> None:
    monkeypatch.setattr(library, "find_spec", found)
    reason = available()
    assert reason is not None
    for part in (message, "Linux x86-64", "macOS", "pip install", "onnx2coreml>=1.1,<1.2"):
        assert part in reason
    with pytest.raises(ExportError, match=message):
        write(tmp_path / "P.mlpackage")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("release", "known"), [("1.1.0", True), ("1.1.9", True), ("1.0.5", False), ("1.2.0", False)]
)
@needs_coreml
def test_only_known_releases_of_onnx2coreml_are_used(
    monkeypatch: pytest.MonkeyPatch, release: str, known: bool
) -> None:
    monkeypatch.setattr(library, "version", lambda name: release)
    reason = available()
    assert reason is None if known else f"onnx2coreml {release}" in str(reason)
