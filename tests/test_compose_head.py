"""The head in the graph: one or several layers, folded with standardisation and temperature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

import silverprint as sp
from silverprint.export.coreml import available
from silverprint.model.calibration import tempered
from silverprint.model.compose import ClassifierRecord, Head, compose
from support.classifier_sets import draw_set
from support.graphs import run_stock
from support.heads import random_head, unfolded

HIDDEN = pytest.mark.parametrize("hidden", [[], [16], [33, 8], [5, 4, 3]], ids=str)


@pytest.fixture(scope="module")
def perceptron(tmp_path_factory: pytest.TempPathFactory) -> sp.ImageClassifier:
    pictures = draw_set(tmp_path_factory.mktemp("set"), {"red": 6, "green": 6, "blue": 6})
    parameters = sp.ModelParameters(classifier=sp.MultilayerPerceptron([16, 9]))
    return sp.ImageClassifier(pictures, parameters, progress=False)


@pytest.fixture(scope="module")
def record(perceptron: sp.ImageClassifier) -> ClassifierRecord:
    return perceptron.record


@pytest.fixture(scope="module")
def graph(perceptron: sp.ImageClassifier, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "Model.onnx"
    perceptron.write(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (4, 3, 224, 224)).astype(np.float32)


def stored(model: bytes) -> dict[str, npt.NDArray[Any]]:
    """The tensors that silverprint itself put into a graph."""
    graph = onnx.ModelProto.FromString(model).graph
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return {name[12:]: array for name, array in found.items() if name.startswith("silverprint/")}


@HIDDEN
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_folded_layers_compute_what_the_head_does_on_standardised_features(
    hidden: list[int], temperature: float
) -> None:
    head = random_head([64, *hidden, 5], temperature)
    features = np.random.default_rng(1).normal(size=(100, 64)).astype(np.float32)
    layers = head.folded()
    assert [w.shape for w, _ in layers] == [w.shape for w, _ in head.layers]
    assert {part.dtype for layer in layers for part in layer} == {np.dtype(np.float32)}
    plain = Head(layers, np.zeros(64), np.ones(64))
    np.testing.assert_allclose(unfolded(plain, features), unfolded(head, features), atol=2e-6)


@HIDDEN
def test_the_graph_computes_backbone_head_and_softmax(
    hidden: list[int], record: ClassifierRecord, images: npt.NDArray[np.float32]
) -> None:
    """The same in double precision by numpy, from the features of the backbone's own graph."""
    backbone = sp.ScenePrint().backbone
    head = random_head([backbone.dimension, *hidden, 3], 1.6)
    model = compose(backbone.graph, head, record)
    onnx.checker.check_model(onnx.ModelProto.FromString(model), full_check=True)
    (features,) = run_stock(backbone.graph, {"image": images})
    golden = unfolded(head, features)
    probabilities, index = run_stock(model, {"image": images})
    np.testing.assert_allclose(probabilities, golden, atol=1e-5)
    assert index.dtype == np.int64
    assert index.tolist() == golden.argmax(axis=1).tolist()


@HIDDEN
def test_layers_are_gemms_with_rectified_units_between_them(
    hidden: list[int], record: ClassifierRecord
) -> None:
    backbone = sp.ScenePrint().backbone
    before = len(onnx.ModelProto.FromString(backbone.graph).graph.node)
    model = compose(backbone.graph, random_head([backbone.dimension, *hidden, 3]), record)
    ours = [node.op_type for node in onnx.ModelProto.FromString(model).graph.node][before:]
    assert ours == ["Gemm", "Relu"] * len(hidden) + ["Gemm", "Softmax", "ArgMax"]


def test_a_temperature_in_the_graph_is_one_applied_to_its_probabilities(
    record: ClassifierRecord, images: npt.NDArray[np.float32]
) -> None:
    """So that metrics measured while training are those of the written model."""
    backbone = sp.ScenePrint().backbone
    head = random_head([backbone.dimension, 12, 3])
    plain, _ = run_stock(compose(backbone.graph, head, record), {"image": images})
    for temperature in (0.5, 3.0):
        changed = compose(backbone.graph, replace(head, temperature=temperature), record)
        found, _ = run_stock(changed, {"image": images})
        np.testing.assert_allclose(found, tempered(plain, temperature), atol=1e-5)
        assert np.abs(found - plain).max() > 0.01


@HIDDEN
@pytest.mark.parametrize("deviation", [0.0, 1e-300, np.nan])
def test_a_constant_feature_has_no_say_whatever_its_deviation(
    hidden: list[int], deviation: float
) -> None:
    head = random_head([3, *hidden, 2])
    constant = np.arange(3) == 1
    (weights, bias), *others = head.layers
    dead = replace(
        head,
        layers=((np.where(constant[:, None], np.float32(0), weights), bias), *others),
        mean=np.where(constant, 1e30, head.mean),
        deviation=np.where(constant, deviation, head.deviation),
    )
    layers = dead.folded()
    assert not layers[0][0][1].any()
    assert all(np.isfinite(part).all() for layer in layers for part in layer)
    features = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    alive = replace(dead, mean=head.mean, deviation=np.where(constant, 1.0, head.deviation))
    found = unfolded(Head(layers, np.zeros(3), np.ones(3)), features)
    np.testing.assert_allclose(found, unfolded(alive, features), atol=2e-6)


def test_folding_leaves_the_head_as_it_was() -> None:
    head = random_head([6, 4, 2], 2.0)
    copies = [part.copy() for layer in head.layers for part in layer]
    head.folded()
    for copy, part in zip(copies, (p for layer in head.layers for p in layer), strict=True):
        np.testing.assert_array_equal(copy, part)


def test_equal_heads_give_equal_bytes(record: ClassifierRecord) -> None:
    backbone = sp.ScenePrint().backbone
    one, same, other = (
        compose(backbone.graph, random_head([backbone.dimension, 7, 3], seed=seed), record)
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_the_record_says_what_the_perceptron_is(record: ClassifierRecord) -> None:
    assert record.head["kind"] == "multilayer_perceptron"
    assert record.head["layer_sizes"] == [16, 9]
    assert record.head["l2"] == 0.02
    assert 0.1 <= record.head["temperature"] <= 10
    assert ClassifierRecord.from_json(record.to_json()) == record


def test_a_written_perceptron_has_its_layers_and_stock_onnx_runtime_gives_the_very_bytes(
    perceptron: sp.ImageClassifier, graph: bytes
) -> None:
    shapes = {name: array.shape for name, array in stored(graph).items()}
    d = sp.ScenePrint().dimension
    assert shapes["hidden_1_weights"] == (d, 16)
    assert shapes["hidden_2_weights"] == (16, 9)
    assert shapes["head_weights"] == (9, 3)
    assert shapes["hidden_2_bias"] == (9,)
    pixels = np.random.default_rng(3).integers(0, 256, (224, 224, 3), np.uint8)
    tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    found, _ = run_stock(graph, {"image": tensor})
    assert found.tobytes() == perceptron.probabilities([pixels]).tobytes()


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_a_core_ml_package_holds_the_layers_of_the_perceptron(
    perceptron: sp.ImageClassifier, graph: bytes, tmp_path: Path
) -> None:
    import coremltools

    summary = perceptron.write(tmp_path / "Colours.mlpackage")
    assert not isinstance(summary, Path)
    spec = coremltools.utils.load_spec(str(summary.path))
    block = spec.mlProgram.functions["main"].block_specializations["CoreML5"]
    types = [op.type for op in block.operations if op.type not in ("const", "cast")]
    assert types[-7:] == ["linear", "relu", "linear", "relu", "linear", "softmax", "classify"]
    assert types.count("linear") == 3
    constants = {op.outputs[0].name: op for op in block.operations if op.type == "const"}
    shapes = []
    for op in block.operations:
        if op.type == "linear":
            value = constants[op.inputs["weight"].arguments[0].name].attributes["val"]
            sides = value.type.tensorType.dimensions
            shapes.append(tuple(side.constant.size for side in sides))
    ours = stored(graph)
    names = ("hidden_1_weights", "hidden_2_weights", "head_weights")
    assert shapes == [ours[name].T.shape for name in names]
