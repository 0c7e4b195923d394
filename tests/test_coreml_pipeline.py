"""Detectors for Core ML: non-maximum suppression, and the pipeline of network and suppression.

What a file must hold is taken from NonMaximumSuppression.proto, NonMaximumSuppressionValidator.cpp
and PipelineValidator.cpp of coremltools; the suppression is compared with a plain double loop.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from silverprint.errors import ExportError
from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.execute.suppression import suppress
from silverprint.export.coreml.library import available, quiet, require
from silverprint.export.coreml.pipeline_spec import detector_pipeline, padded_labels
from silverprint.export.coreml.reader import SavedModel, read_model
from support.coreml_layers import Array, to_network

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))

DOUBLE, FLOAT32 = 65600, 65568  # FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
LABELS = ["Katze", "Hund", "Maus"]
BOXES, HEIGHT, WIDTH = 24, 16, 24


def expected_rows(
    confidence: Array, coordinates: Array, iou: float, least: float, per_class: bool
) -> list[int]:
    """The definition, word for word, with corners and in Python's own floats."""

    def overlap(a: int, b: int) -> float:
        sides = []
        for axis in (0, 1):
            (x, w), (y, v) = (
                (float(coordinates[at][axis]), float(coordinates[at][axis + 2])) for at in (a, b)
            )
            sides.append(max(0.0, min(x + w / 2, y + v / 2) - max(x - w / 2, y - v / 2)))
        areas = [float(coordinates[at][2]) * float(coordinates[at][3]) for at in (a, b)]
        shared = sides[0] * sides[1]
        whole = sum(areas) - shared
        return shared / whole if whole > 0 else 0.0

    score = [float(max(row)) for row in confidence]
    label = [list(row).index(max(row)) for row in confidence]
    left = sorted((at for at in range(len(score)) if score[at] >= least), key=lambda at: -score[at])
    kept: list[int] = []
    for at in left:
        rivals = [one for one in kept if not per_class or label[one] == label[at]]
        if all(overlap(one, at) <= iou for one in rivals):
            kept.append(at)
    return kept


def boxes(seed: int, count: int = 60, classes: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    confidence = (rng.integers(0, 21, (count, classes)) / 20).astype(np.float32)
    centres, sizes = rng.random((count, 2)), 0.05 + 0.4 * rng.random((count, 2))
    return confidence, np.hstack([centres, sizes]).astype(np.float32)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    iou=st.sampled_from([0.0, 0.3, 0.45, 1.0]),
    least=st.sampled_from([0.0, 0.25, 0.7, 0.95, 2.0]),
    per_class=st.booleans(),
)
def test_suppression_is_the_greedy_one(
    seed: int, iou: float, least: float, per_class: bool
) -> None:
    confidence, coordinates = boxes(seed)
    found = suppress(
        confidence,
        coordinates,
        iou_threshold=iou,
        confidence_threshold=least,
        per_class=per_class,
    )
    assert list(found) == expected_rows(confidence, coordinates, iou, least, per_class)


def rows(
    confidence: list[list[float]],
    coordinates: list[list[float]],
    *,
    iou: float = 0.5,
    least: float = 0.0,
    per_class: bool = False,
) -> list[int]:
    return list(
        suppress(
            np.array(confidence, np.float32),
            np.array(coordinates, np.float32),
            iou_threshold=iou,
            confidence_threshold=least,
            per_class=per_class,
        )
    )


UNIT = [0.5, 0.5, 1.0, 1.0]
HALF = [0.25, 0.5, 0.5, 1.0]  # the left half of UNIT: an overlap of 1/2


def test_a_box_is_suppressed_beyond_the_threshold_not_at_it() -> None:
    assert rows([[0.9], [0.8]], [UNIT, HALF], iou=0.5) == [0, 1]
    assert rows([[0.9], [0.8]], [UNIT, HALF], iou=0.49) == [0]
    assert rows([[0.9], [0.8]], [UNIT, UNIT], iou=1.0) == [0, 1]


def test_a_suppressed_box_suppresses_no_other() -> None:
    chain = [[0.2, 0.5, 0.2, 0.2], [0.3, 0.5, 0.2, 0.2], [0.4, 0.5, 0.2, 0.2]]
    assert rows([[0.9], [0.8], [0.7]], chain, iou=0.3) == [0, 2]


def test_the_score_is_the_largest_confidence_and_equal_scores_keep_their_order() -> None:
    apart = [[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]]
    assert rows([[0.4, 0.1], [0.2, 0.6], [0.4, 0.4]], apart) == [1, 0, 2]


def test_labels_are_apart_only_per_class() -> None:
    confidence = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.1]]
    assert rows(confidence, [UNIT] * 3) == [0]
    assert rows(confidence, [UNIT] * 3, per_class=True) == [0, 1]


def test_the_confidence_threshold_keeps_what_is_equal_to_it_as_a_double() -> None:
    far = [[0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]]
    assert rows([[0.25], [0.24]], far, least=0.25) == [0]
    # 0.7 as float32 is below 0.7.
    assert rows([[0.7], [0.71]], far, least=0.7) == [1]


def test_empty_boxes_and_no_boxes() -> None:
    nothing = [0.5, 0.5, 0.0, 0.0]
    assert rows([[0.9], [0.8]], [nothing, nothing]) == [0, 1]
    none = suppress(
        np.zeros((0, 3), np.float32),
        np.zeros((0, 4), np.float32),
        iou_threshold=0.5,
        confidence_threshold=0.0,
        per_class=False,
    )
    assert none.shape == (0,)


# Pipelines


def detector(classes: int) -> onnx.ModelProto:
    """A picture in, a box for each of 4 x 6 cells: their confidences and where they are."""
    rng = np.random.default_rng(11)
    weights = {
        "scale": np.float32(1 / 255),
        "kernel": rng.normal(size=(len(LABELS) + 4, 3, 4, 4)) * 0.6,
        "bias": rng.normal(size=len(LABELS) + 4),
        "flat": np.array([len(LABELS) + 4, BOXES], np.int64),
        "parts": np.array([len(LABELS), 4], np.int64),
        "padding": np.zeros((BOXES, max(1, classes - len(LABELS)))),
    }
    nodes = [
        helper.make_node("Mul", ["image", "scale"], ["scaled"], "scaled"),
        helper.make_node("Conv", ["scaled", "kernel", "bias"], ["grid"], "grid", strides=[4, 4]),
        helper.make_node("Reshape", ["grid", "flat"], ["cells"], "cells"),
        helper.make_node("Sigmoid", ["cells"], ["squashed"], "squashed"),
        helper.make_node("Transpose", ["squashed"], ["rows"], "rows", perm=[1, 0]),
        helper.make_node("Split", ["rows", "parts"], ["some", "raw_coordinates"], "split", axis=1),
    ]
    joined = ["some", "padding"] if classes > len(LABELS) else ["some"]
    nodes.append(helper.make_node("Concat", joined, ["raw_confidence"], "join", axis=1))
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [
            helper.make_tensor_value_info("raw_confidence", TensorProto.FLOAT, [BOXES, classes]),
            helper.make_tensor_value_info("raw_coordinates", TensorProto.FLOAT, [BOXES, 4]),
        ],
        [
            numpy_helper.from_array(
                np.asarray(one, None if np.asarray(one).dtype == np.int64 else np.float32), name
            )
            for name, one in weights.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


PICTURE = np.random.default_rng(2).integers(0, 256, (1, 3, HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> Any:
    ct = require()
    return to_network(detector(3), inputs=[ct.ImageType("image", (1, 3, HEIGHT, WIDTH))])


@pytest.fixture(scope="module")
def program() -> tuple[Any, bytes]:
    """The detector as a float16 ML Program with spare classes, and its weight.bin."""
    ct = require()
    with quiet():
        from onnx2coreml import Converter

        model = ct.convert(
            Converter().to_mil(
                detector(80), target=ct.target.iOS15, precision=ct.precision.FLOAT32, fuse=False
            ),
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS15,
            inputs=[ct.ImageType("image", (1, 3, HEIGHT, WIDTH))],
            compute_precision=ct.precision.FLOAT16,
            skip_model_load=True,
        )
        weights = Path(model.weights_dir, "weight.bin").read_bytes()
        return model.get_spec(), weights


def raw() -> tuple[Array, Array]:
    session = onnxruntime.InferenceSession(
        detector(3).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    confidence, coordinates = session.run(None, {"image": PICTURE})
    return confidence, coordinates


@needs_coreml
@pytest.mark.parametrize("per_class", [False, True])
def test_a_detector_is_saved_read_back_and_executed(
    network: Any, per_class: bool, tmp_path: Path
) -> None:
    spec = detector_pipeline(
        network,
        LABELS,
        boxes=BOXES,
        iou_threshold=0.2,
        confidence_threshold=0.6,
        per_class=per_class,
    )
    path = tmp_path / "Detector.mlmodel"
    path.write_bytes(spec.SerializeToString(deterministic=True))
    saved = read_model(path)
    confidence, coordinates = raw()
    for given_thresholds, iou, least in (
        ({}, 0.2, 0.6),
        ({"iouThreshold": 1.0}, 1.0, 0.6),
        ({"confidenceThreshold": 0.0}, 0.2, 0.0),
        ({"confidenceThreshold": 1.1}, 0.2, 1.1),
    ):
        found = execute(saved, {"image": PICTURE, **given_thresholds})
        kept = expected_rows(confidence, coordinates, iou, least, per_class)
        assert list(found) == ["confidence", "coordinates"]
        np.testing.assert_allclose(found["confidence"], confidence[kept], atol=1e-6)
        np.testing.assert_allclose(found["coordinates"], coordinates[kept], atol=1e-6)


@needs_coreml
def test_an_ml_program_has_spare_classes(program: tuple[Any, bytes]) -> None:
    spec, weights = program
    pipeline = detector_pipeline(spec, LABELS, boxes=BOXES, iou_threshold=0.3)
    saved = SavedModel(Path("detector"), pipeline, weights)
    seen: list[str] = []
    exact = execute(saved, {"image": PICTURE}, watch=lambda name, value: seen.append(name))
    rounded = execute(saved, {"image": PICTURE}, rounding="float16")
    confidence, coordinates = raw()
    kept = expected_rows(confidence, coordinates, 0.3, 0.25, False)
    for found in (exact, rounded):
        assert found["confidence"].shape == (len(kept), 80)
        np.testing.assert_allclose(found["confidence"][:, :3], confidence[kept], atol=5e-3)
        np.testing.assert_allclose(found["coordinates"], coordinates[kept], atol=5e-3)
        assert not found["confidence"][:, 3:].any()
    halves = rounded["coordinates"].astype(np.float16)
    np.testing.assert_array_equal(rounded["coordinates"], halves)
    assert (exact["coordinates"] != halves).any()
    assert seen[-2:] == ["confidence", "coordinates"]
    assert "raw_confidence" in seen


def test_spare_labels_fill_up_to_eighty_and_are_unlike_the_others() -> None:
    for count in (1, 79, 80, 81):
        labels = [f"label {at}" for at in range(count)]
        padded = padded_labels(labels)
        assert padded[:count] == labels
        assert len(padded) == (80 if count <= 80 else 160)
        assert len(set(padded)) == len(padded)
    assert padded_labels(["unused 1"])[1] == "unused 2"


@needs_coreml
def test_what_create_ml_names_and_core_ml_accepts(network: Any, program: Any) -> None:
    for model, labels, number in (
        (network, LABELS, DOUBLE),
        (program[0], padded_labels(LABELS), FLOAT32),
    ):
        spec = detector_pipeline(model, LABELS, boxes=BOXES)
        first, second = spec.pipeline.models
        assert spec.specificationVersion == model.specificationVersion
        # Specification 4 suppresses doubles only.
        assert number == DOUBLE or second.specificationVersion >= 5
        assert [one.name for one in spec.description.input] == [
            *("image", "iouThreshold", "confidenceThreshold"),
        ]
        image, *thresholds = spec.description.input
        assert (image.type.imageType.height, image.type.imageType.width) == (HEIGHT, WIDTH)
        assert not image.type.isOptional
        for feature, default in zip(thresholds, ("0.45", "0.25"), strict=True):
            assert feature.type.WhichOneof("Type") == "doubleType"
            assert feature.type.isOptional
            assert f"(default: {default})" in feature.shortDescription
        outputs = {one.name: one.type.multiArrayType for one in spec.description.output}
        assert list(outputs) == ["confidence", "coordinates"]
        for name, width in (("confidence", len(labels)), ("coordinates", 4)):
            sides = [
                (one.lowerBound, one.upperBound) for one in outputs[name].shapeRange.sizeRanges
            ]
            assert sides == [(0, -1), (width, width)]
            assert not outputs[name].shape
            assert outputs[name].dataType == number
        # Each input of the second model has the type of what gives it.
        made = {one.name: one.type for one in first.description.output}
        made |= {one.name: one.type for one in thresholds}
        for feature in second.description.input:
            kind = feature.type.WhichOneof("Type")
            assert kind == made[feature.name].WhichOneof("Type")
            assert getattr(feature.type, kind) == getattr(made[feature.name], kind)
        for mine, theirs in zip(spec.description.output, second.description.output, strict=True):
            assert mine.type == theirs.type
        suppression = second.nonMaximumSuppression
        assert list(suppression.stringClassLabels.vector) == labels
        assert (suppression.iouThreshold, suppression.confidenceThreshold) == (0.45, 0.25)
        assert suppression.WhichOneof("SuppressionMethod") == "pickTop"
        assert spec.description.metadata.userDefined["classes"] == "Katze,Hund,Maus"


@needs_coreml
def test_same_network_same_bytes_and_the_network_stays_as_it_is(network: Any) -> None:
    before = network.SerializeToString(deterministic=True)
    first, second = (
        detector_pipeline(network, LABELS, boxes=BOXES).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second
    assert network.SerializeToString(deterministic=True) == before


def rename_output(spec: Any) -> None:
    spec.description.output[0].name = "confidence"


def half_output(spec: Any) -> None:
    spec.description.output[0].type.multiArrayType.dataType = 65552


def array_input(spec: Any) -> None:
    spec.description.input[0].type.multiArrayType.shape.extend([1, 3, HEIGHT, WIDTH])


def other_shape(spec: Any) -> None:
    spec.description.output[1].type.multiArrayType.shape[:] = [BOXES, 5]


def other_kind(spec: Any) -> None:
    spec.scaler.SetInParent()


@needs_coreml
@pytest.mark.parametrize(
    ("spoil", "changed", "message"),
    [
        (rename_output, {}, "raw_confidence and raw_coordinates; this one confidence, raw_coord"),
        (half_output, {}, "raw_confidence is float16, which Core ML does not suppress"),
        (array_input, {}, r"takes one image; this one: \['multiArrayType'\]"),
        (other_shape, {}, r"raw_coordinates as \[24, 5\]; the labels and boxes need \[24, 4\]"),
        (other_kind, {}, "begins with a neural network or an ML Program, not scaler"),
        (None, {"labels": ["a", "a", "b"]}, "rename one of them"),
        (None, {"iou_threshold": 1.5}, r"iou_threshold=1.5: expected 0 to 1"),
        (None, {"confidence_threshold": -0.1}, "confidence_threshold=-0.1: expected 0 to inf"),
        (None, {"confidence_threshold": float("nan")}, "confidence_threshold=nan"),
    ],
)
def test_what_is_no_detector_is_refused(
    network: Any, spoil: Callable[[Any], None] | None, changed: dict[str, Any], message: str
) -> None:
    spec = type(network).FromString(network.SerializeToString())
    if spoil is not None:
        spoil(spec)
    arguments: dict[str, Any] = {"labels": LABELS, "boxes": BOXES, **changed}
    with pytest.raises(ExportError, match=message):
        detector_pipeline(spec, **arguments)


def swapped(spec: Any) -> None:
    model = spec.pipeline.models[1].nonMaximumSuppression
    model.confidenceInputFeatureName = "raw_coordinates"
    model.coordinatesInputFeatureName = "raw_confidence"


def lost_wire(spec: Any) -> None:
    spec.pipeline.models[1].nonMaximumSuppression.confidenceInputFeatureName = "confidences"


def more_labels(spec: Any) -> None:
    spec.pipeline.models[1].nonMaximumSuppression.stringClassLabels.vector.append("more")


def other_output(spec: Any) -> None:
    spec.pipeline.models[1].nonMaximumSuppression.confidenceOutputFeatureName = "sure"


def lost_result(spec: Any) -> None:
    spec.description.output[1].name = "boxes"


def no_models(spec: Any) -> None:
    del spec.pipeline.models[:]


def unknown_layer(spec: Any) -> None:
    spec.pipeline.models[0].neuralNetwork.layers[0].gru.inputVectorSize = 1
    spec.pipeline.names.extend(["network", "suppression"])


def wide_threshold(spec: Any) -> None:
    spec.pipeline.models[1].nonMaximumSuppression.iouThreshold = 45


@needs_coreml
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (swapped, r"model 2 of the pipeline: boxes must be N x C and N x 4, these are \[24, 4\]"),
        (lost_wire, "model 2 of the pipeline: the suppression reads 'confidences'"),
        (more_labels, "the boxes have 3 classes, 4 have labels"),
        (other_output, "gives sure and coordinates, its outputs are confidence, coordinates"),
        (lost_result, "no model of the pipeline gives boxes"),
        (no_models, "the pipeline holds no model"),
        (unknown_layer, r"(?s)model 1 of the pipeline \(network\): these layers .*gru"),
        (wide_threshold, "iouThreshold is 45.0, expected 0 to 1"),
    ],
)
def test_damaged_pipelines_are_named(
    network: Any, spoil: Callable[[Any], None], message: str
) -> None:
    spec = detector_pipeline(network, LABELS, boxes=BOXES)
    spoil(spec)
    with pytest.raises(ExportError, match=message):
        execute(SavedModel(Path("damaged"), spec), {"image": PICTURE})


@needs_coreml
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"image": PICTURE, "iouTreshold": 0.3}, "no input 'iouTreshold'.*mean 'iouThreshold'"),
        ({"image": PICTURE, "iouThreshold": -1.0}, "iouThreshold is -1.0, expected 0 to 1"),
        ({}, "model 1 of the pipeline: the model needs the input 'image'"),
    ],
)
def test_inputs_are_checked(network: Any, inputs: dict[str, Any], message: str) -> None:
    spec = detector_pipeline(network, LABELS, boxes=BOXES)
    with pytest.raises(ExportError, match=message):
        execute(SavedModel(Path("detector"), spec), inputs)


@needs_coreml
@pytest.mark.parametrize(("fixed", "expected"), [(2, 2), (40, 40)])
def test_a_declared_number_of_boxes_is_met(network: Any, fixed: int, expected: int) -> None:
    """NonMaximumSuppression.proto: what is missing is filled with zeros."""
    spec = detector_pipeline(network, LABELS, boxes=BOXES)
    for feature in spec.pipeline.models[1].description.output:
        first = feature.type.multiArrayType.shapeRange.sizeRanges[0]
        first.lowerBound = first.upperBound = fixed
    found = execute(SavedModel(Path("detector"), spec), {"image": PICTURE})
    confidence, coordinates = raw()
    kept = expected_rows(confidence, coordinates, 0.45, 0.25, False)[:fixed]
    assert found["confidence"].shape == (expected, 3)
    np.testing.assert_allclose(found["coordinates"][: len(kept)], coordinates[kept], atol=1e-6)
    assert not found["coordinates"][len(kept) :].any()
