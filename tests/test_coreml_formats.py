"""What a caller can choose about a Core ML file, in both formats, read back and executed.

Numbers are compared with ONNX Runtime on the same graph and the same picture.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from silverprint.errors import ExportError
from silverprint.export.coreml import (
    ExportOptions,
    PackageSummary,
    available,
    write_backbone,
    write_classifier,
)
from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.reader import main_block, read_model
from support.children import run_python
from support.coreml_graphs import (
    LABELS,
    METADATA,
    RULE,
    compose,
    constant,
    files,
    initialiser,
    insert,
    replace,
    small_backbone,
    wide_backbone,
)

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
both_formats = pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])

PICTURE = np.random.default_rng(9).integers(0, 256, (1, 3, 32, 24)).astype(np.float32)
RGB, BGR = 20, 30  # FeatureTypes.proto


def write(path: Path, graph: onnx.ModelProto | None = None, **changed: Any) -> PackageSummary:
    given = {"labels": LABELS, "picture_rule": RULE, "metadata": METADATA, **changed}
    return write_classifier(graph or compose(small_backbone()), path, **given)


def reference(graph: onnx.ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": PICTURE}), strict=True))


def content(path: Path) -> dict[str, bytes]:
    return files(path) if path.is_dir() else {"": path.read_bytes()}


def network(spec: Any) -> Any:
    return getattr(spec, spec.WhichOneof("Type"))


# Both formats


@both_formats
@pytest.mark.parametrize(
    "names", [("target", "targetProbability"), ("classLabel", "classLabelProbs")]
)
def test_a_classifier_answers_as_its_graph_does(
    tmp_path: Path, suffix: str, names: tuple[str, str]
) -> None:
    graph = compose(small_backbone())
    label, probability = names
    options = ExportOptions(precision="float32", label_name=label, probability_name=probability)
    write(tmp_path / f"P{suffix}", graph, options=options)
    saved = read_model(tmp_path / f"P{suffix}")
    description = saved.spec.description
    assert [one.name for one in description.output] == [label, probability]
    assert (description.predictedFeatureName, description.predictedProbabilitiesName) == names
    answer = execute(saved, {"image": PICTURE})
    expected = reference(graph)["targetProbability"][0]
    assert list(answer[probability]) == LABELS
    np.testing.assert_allclose(list(answer[probability].values()), expected, atol=1e-6)
    assert answer[label] == LABELS[int(expected.argmax())]


def test_a_mlmodel_is_a_neural_network_for_ios_13(tmp_path: Path) -> None:
    summary = write(tmp_path / "P.mlmodel")
    spec = read_model(tmp_path / "P.mlmodel").spec
    assert spec.WhichOneof("Type") == "neuralNetworkClassifier"
    assert summary.specification_version == spec.specificationVersion == 4
    assert summary.oldest_system == "iOS 13 / macOS 10.15"
    assert summary.size == (tmp_path / "P.mlmodel").stat().st_size
    image = spec.description.input[0].type.imageType
    assert (image.height, image.width, image.colorSpace) == (32, 24, RGB)
    classifier = spec.neuralNetworkClassifier
    assert list(classifier.stringClassLabels.vector) == LABELS
    assert classifier.labelProbabilityLayerName == "targetProbability"
    assert classifier.layers[-1].WhichOneof("layer") == "softmaxND"
    assert list(classifier.layers[-1].output) == ["targetProbability"]


def test_metadata_is_the_same_in_both_formats(tmp_path: Path) -> None:
    details = {
        "training": {"counts": {"hund": 3}, "seed": 0},
        "backbone": {"licence": "Apache-2.0", "fingerprint": "ab" * 32},
    }
    found = []
    for suffix in (".mlpackage", ".mlmodel"):
        write(tmp_path / f"P{suffix}", details=details)
        description = read_model(tmp_path / f"P{suffix}").spec.description
        texts = {
            one.name: one.shortDescription for one in (*description.input, *description.output)
        }
        found.append((description.metadata, texts))
    assert found[0] == found[1]
    metadata, texts = found[0]
    assert (metadata.author, metadata.versionString, metadata.license) == ("Ada", "1.2", "CC0")
    extras = dict(metadata.userDefined)
    assert json.loads(extras["silverprint.training"]) == details["training"]
    assert json.loads(extras["silverprint.backbone"]) == details["backbone"]
    assert json.loads(extras["silverprint.picture_rule"]) == RULE
    assert extras["com.apple.coreml.model.preview.type"] == "imageClassifier"
    assert all(texts.values())
    assert "32" in texts["image"]


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        (".mlpackage", ExportOptions(precision="float32"), 2e-5),
        (".mlpackage", ExportOptions(target="iOS18"), 2e-3),
        (".mlmodel", ExportOptions(precision="float32"), 2e-5),
    ],
)
def test_every_output_of_a_backbone_is_a_float32_array_of_its_shape(
    tmp_path: Path, suffix: str, options: ExportOptions, tolerance: float
) -> None:
    graph = small_backbone()
    graph.graph.output.append(helper.make_tensor_value_info("r1", TensorProto.FLOAT, None))
    path = tmp_path / f"B{suffix}"
    write_backbone(graph, path, picture_rule=RULE, metadata={}, options=options)
    saved = read_model(path)
    outputs = {one.name: one.type.multiArrayType for one in saved.spec.description.output}
    assert {name: list(one.shape) for name, one in outputs.items()} == {
        "features": [1, 12],
        "r1": [1, 8, 31, 23],
    }
    float32 = 65568  # FeatureTypes.proto
    assert {one.dataType for one in outputs.values()} == {float32}
    assert saved.spec.description.predictedFeatureName == ""
    assert "preview" not in str(saved.spec.description.metadata.userDefined)
    answer, expected = execute(saved, {"image": PICTURE}), reference(graph)
    for name in ("features", "r1"):
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(answer[name], expected[name], atol=tolerance * largest)


@pytest.mark.parametrize(("scale", "stored"), [(0.1, "float16"), (2e3, "float32")])
def test_a_large_head_of_a_mlmodel_is_halved_unless_its_numbers_are_large(
    tmp_path: Path, scale: float, stored: str
) -> None:
    graph = compose(wide_backbone(), classes=30, head_scale=scale)
    write(tmp_path / "P.mlmodel", graph, labels=[str(number) for number in range(30)])
    head = network(read_model(tmp_path / "P.mlmodel").spec).layers[-2].innerProduct
    expected = initialiser(graph, "head_weight").astype(stored)
    found = head.weights.float16Value or np.array(head.weights.floatValue, "<f4").tobytes()
    assert found == expected.tobytes()


def test_a_mlmodel_stores_large_weights_in_half_the_bytes(tmp_path: Path) -> None:
    """Weights and bias of one layer are of one type, else Core ML refuses the layer."""
    graph = compose(wide_backbone())
    sizes = {}
    for precision in ("float32", "float16"):
        path = tmp_path / f"{precision}.mlmodel"
        sizes[precision] = write(path, graph, options=ExportOptions(precision=precision)).size
    (conv,) = [
        layer.convolution
        for layer in network(read_model(tmp_path / "float16.mlmodel").spec).layers
        if layer.WhichOneof("layer") == "convolution" and layer.convolution.outputChannels == 96
    ]
    assert conv.weights.float16Value == initialiser(graph, "wide").astype("<f2").tobytes()
    assert conv.bias.float16Value == initialiser(graph, "wide_bias").astype("<f2").tobytes()
    assert not conv.weights.floatValue
    assert not conv.bias.floatValue
    assert sizes["float32"] - sizes["float16"] > 2 * 96 * 8 * 9 * 0.95


def test_a_package_without_large_constants_has_no_weights_beside_it(tmp_path: Path) -> None:
    graph = small_backbone()
    for node in graph.graph.node:
        node.input[:] = ["image" if name == "r2" else name for name in node.input]
    path = tmp_path / "B.mlpackage"
    write_backbone(graph, path, picture_rule=RULE, metadata={})
    assert sorted(files(path)) == ["Data/com.apple.CoreML/model.mlmodel", "Manifest.json"]
    (item,) = json.loads((path / "Manifest.json").read_bytes())["itemInfoEntries"].values()
    assert item["path"] == "com.apple.CoreML/model.mlmodel"
    features = execute(read_model(path), {"image": PICTURE})["features"]
    np.testing.assert_allclose(features[0], PICTURE.mean((2, 3))[0], rtol=1e-3)


def test_what_float16_cannot_hold_stays_float32(tmp_path: Path) -> None:
    """1e-8 would become 6e-8, the least number that float16 has."""
    graph = compose(small_backbone())
    graph.graph.initializer.extend([constant("tiny", 1e-8), constant("part", 0.5)])
    insert(graph, "r1", "Mul", "tiny", name="shrunk")
    insert(graph, "c2", "Mul", "part", name="halved")
    write(tmp_path / "P.mlpackage", graph)
    found = {
        value.name: value.type.tensorType.dataType
        for step in main_block(read_model(tmp_path / "P.mlpackage").spec).operations
        for value in step.outputs
    }
    float16, float32 = 10, 11  # MIL.proto
    assert found["shrunk_out"] == float32
    assert found["halved_out_cast_fp16"] == float16


# Colour layout


def with_bgr_inside(constants: str) -> onnx.ModelProto:
    """A graph whose network wants BGR, after a normalisation with `constants` per channel."""
    graph = compose(small_backbone())
    body = graph.graph
    if constants == "one for all":
        replace(graph, constant("std", [58.0]))
    body.initializer.append(constant("order", [2, 1, 0], np.int64))
    insert(graph, "normalised", "Gather", "order", name="reverse", axis=1)
    return graph


@both_formats
@pytest.mark.parametrize("graph", ["RGB", "BGR, three numbers", "BGR, one for all"])
def test_bgr_planes_give_the_answer_of_the_rgb_graph(
    tmp_path: Path, suffix: str, graph: str
) -> None:
    """The executor is given RGB and turns it to what the file asks for, as Core ML does."""
    order, _, constants = graph.partition(", ")
    composed = compose(small_backbone()) if order == "RGB" else with_bgr_inside(constants)
    path = tmp_path / f"P{suffix}"
    write(path, composed, options=ExportOptions(precision="float32", layout="BGR"))
    saved = read_model(path)
    assert saved.spec.description.input[0].type.imageType.colorSpace == BGR
    answer = execute(saved, {"image": PICTURE})["targetProbability"]
    expected = reference(composed)["targetProbability"][0]
    np.testing.assert_allclose(list(answer.values()), expected, atol=1e-6)
    reorders = (
        b"to_rgb" in b"".join(content(path).values()) or b"gather" in str(saved.spec).encode()
    )
    assert reorders == (order == "RGB"), "a network that wants BGR needs no step for it"


# Deployment target


@pytest.mark.parametrize(
    ("target", "version", "system"),
    [
        (None, 6, "iOS 15 / macOS 12"),
        ("iOS15", 6, "iOS 15 / macOS 12"),
        ("iOS16", 7, "iOS 16 / macOS 13"),
        ("iOS17", 8, "iOS 17 / macOS 14"),
        ("iOS18", 9, "iOS 18 / macOS 15"),
        ("iOS26", 10, "iOS 26 / macOS 26"),
    ],
)
def test_a_package_runs_from_the_target_on(
    tmp_path: Path, target: Any, version: int, system: str
) -> None:
    graph = compose(small_backbone())
    summary = write(tmp_path / "P.mlpackage", graph, options=ExportOptions(target=target))
    assert (summary.specification_version, summary.oldest_system) == (version, system)
    saved = read_model(tmp_path / "P.mlpackage")
    assert saved.spec.specificationVersion == version
    answer = execute(saved, {"image": PICTURE})["targetProbability"]
    expected = reference(graph)["targetProbability"][0]
    np.testing.assert_allclose(list(answer.values()), expected, atol=2e-2)


def with_newer_operation() -> onnx.ModelProto:
    """GatherND with batch dimensions, which MIL has since iOS 16."""
    graph = compose(small_backbone())
    graph.graph.initializer.append(constant("places", [[[0], [1]]], np.int64))
    insert(graph, "pooled", "GatherND", "places", name="pick", batch_dims=1)
    replace(graph, constant("head_weight", initialiser(graph, "head_weight")[:, :2]))
    return graph


def test_the_oldest_target_that_works_is_taken(tmp_path: Path) -> None:
    summary = write(tmp_path / "P.mlpackage", with_newer_operation())
    assert summary.oldest_system == "iOS 16 / macOS 13"
    with pytest.raises(ExportError, match="operator GatherND, node 'pick'"):
        write(
            tmp_path / "Q.mlpackage", with_newer_operation(), options=ExportOptions(target="iOS15")
        )


def test_operations_that_a_mlmodel_lacks_are_listed_all_at_once(tmp_path: Path) -> None:
    graph = compose(small_backbone())
    places = np.random.default_rng(1).uniform(-1, 1, (1, 31, 23, 2))
    graph.graph.initializer.append(constant("grid", places))
    insert(graph, "c1", "GridSample", "grid", name="first")
    insert(graph, "r1", "GridSample", "grid", name="second")
    graph.opset_import[0].version = 16
    with pytest.raises(ExportError, match=r"resample: first_out, second_out\nwrite a \.mlpackage"):
        write(tmp_path / "P.mlmodel", graph)
    write(tmp_path / "P.mlpackage", graph)


# The proof


@both_formats
def test_the_proof_sees_the_finished_file_and_can_refuse_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"P{suffix}"
    seen: list[dict[str, bytes]] = []

    def look(temporary: Path) -> str:
        assert temporary != path
        seen.append(content(temporary))
        return "proven"

    def refuse(temporary: Path) -> None:
        raise ExportError("it is wrong")

    assert write(path, prove=look).proof == "proven"
    assert seen == [content(path)]
    with pytest.raises(ExportError, match="it is wrong"):
        write(path, labels=LABELS[::-1], prove=refuse)
    assert content(path) == seen[0]
    assert os.listdir(tmp_path) == [path.name]


# Determinism

CHILD = """
import os, sys, onnx
from silverprint.export.coreml import ExportOptions, write_classifier
turned = -1 if os.environ["PYTHONHASHSEED"] == "2" else 1
metadata = dict([("z", "1"), ("a", "2")][::turned])
details = {"training": dict([("b", 1), ("a", 2)][::turned])}
for path in sys.argv[2:]:
    write_classifier(
        onnx.load(sys.argv[1]), path, labels=list("abcd"), metadata=metadata, details=details,
        options=ExportOptions(weights=8),
        picture_rule={"height": 32, "width": 24, "crop_and_scale": "scale_fit", "version": 1},
    )
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the hash seed, the name, and the order of what is said about the model."""
    onnx.save(compose(wide_backbone()), tmp_path / "graph.onnx")
    results = []
    for seed in (1, 2):
        paths = [tmp_path / f"{seed}{suffix}" for suffix in (".mlpackage", ".mlmodel")]
        done = run_python(CHILD, tmp_path / "graph.onnx", *paths, env={"PYTHONHASHSEED": str(seed)})
        assert (done.stdout, done.stderr) == ("", "")
        results.append([content(path) for path in paths])
    assert results[0] == results[1]


@both_formats
def test_what_was_written_before_leaves_no_trace(tmp_path: Path, suffix: str) -> None:
    """Nor a translation that failed; and threads do not disturb each other."""
    write(tmp_path / f"first{suffix}")
    broken = compose(small_backbone())
    replace(broken, constant("second", np.zeros((12, 9, 3, 3))))
    with pytest.raises(ExportError, match="cannot be translated"):
        write(tmp_path / f"broken{suffix}", broken)
    with ThreadPoolExecutor(4) as threads:
        paths = [tmp_path / f"{number}{suffix}" for number in range(4)]
        list(threads.map(write, paths))
    first = content(tmp_path / f"first{suffix}")
    assert all(content(path) == first for path in paths)


def test_a_program_is_the_one_that_coremltools_own_entry_makes(tmp_path: Path) -> None:
    """`coremltools.convert` with the same passes; only its metadata and names are others."""
    import coremltools as ct

    from silverprint.export.coreml.graph.prepare import prepare
    from silverprint.export.coreml.library import quiet
    from silverprint.export.coreml.translate.program import to_program

    graph = compose(small_backbone())
    write(tmp_path / "P.mlpackage", graph)
    outputs = {"targetProbability": "targetProbability_tensor"}
    with quiet():
        program, _ = to_program(prepare(graph, 32, 24, outputs), ["iOS15"])
        passes = ct.PassPipeline.DEFAULT
        passes.remove_passes({"common::fuse_elementwise_to_batchnorm"})
        model = ct.convert(
            program,
            inputs=[ct.ImageType("image", shape=(1, 3, 32, 24))],
            classifier_config=ct.ClassifierConfig(LABELS, "target"),
            minimum_deployment_target=ct.target.iOS15,
            pass_pipeline=passes,
            skip_model_load=True,
        )
    theirs = model.get_spec()
    ct.utils.rename_feature(theirs, "target_probs", "targetProbability")
    ours = read_model(tmp_path / "P.mlpackage").spec
    assert ours.mlProgram.functions["main"] == theirs.mlProgram.functions["main"]


# Choices that do not fit


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"precision": "half"}, "precision='half': expected one of"),
        ({"weights": 4}, "weights=4: expected one of None, 8"),
        ({"weights": True}, "weights=True"),
        ({"target": "ios15"}, "target='ios15': .*did you mean 'iOS15'"),
        ({"target": "iOS15", "weights": 8}, 'weights=8 needs target="iOS16" or later'),
        ({"layout": "rgb"}, "layout='rgb'"),
        ({"label_name": "my label"}, "label_name='my label': expected a name of letters"),
        ({"probability_name": "image"}, "probability_name='image'"),
        ({"label_name": "x", "probability_name": "x"}, "are both 'x'"),
    ],
)
def test_options_say_what_they_take(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        ExportOptions(**changed)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("P.mlmodel", {"options": ExportOptions(target="iOS17")}, "has no deployment target"),
        ("P.mlpackage", {"details": {"picture_rule": {}}}, "'picture_rule' is taken"),
        ("P.mlpackage", {"details": {"Training": {}}}, "small letters"),
        ("P.mlpackage", {"details": {"training": {"a": object()}}}, "details: training .*JSON"),
        ("P.mlmodel", {"metadata": {"silverprint.training": "x"}}, "choose another"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_translation(
    tmp_path: Path, name: str, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        write(tmp_path / name, **changed)
    assert os.listdir(tmp_path) == []


def test_names_of_features_must_be_names_in_swift(tmp_path: Path) -> None:
    graph = small_backbone()
    graph.graph.output[0].name = graph.graph.node[-1].output[0] = "a/b"
    with pytest.raises(ExportError, match="the output 'a/b' needs another name"):
        write_backbone(graph, tmp_path / "B.mlpackage", picture_rule=RULE, metadata={})
