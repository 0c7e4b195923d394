"""An object detector as Create ML and Turi Create write it: a network, then suppression of boxes.

Feature names, descriptions, types and thresholds are those of ``neural_net_models_exporter.cpp``
in Turi Create; what must fit together is taken from ``NonMaximumSuppressionValidator.cpp`` and
``PipelineValidator.cpp`` of coremltools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from silverprint.errors import ExportError
from silverprint.export.coreml.describe import check_labels

RAW_CONFIDENCE, RAW_COORDINATES = "raw_confidence", "raw_coordinates"
CONFIDENCE, COORDINATES = "confidence", "coordinates"
IOU_THRESHOLD, CONFIDENCE_THRESHOLD = "iouThreshold", "confidenceThreshold"
CLASSES = "classes"
"""User-defined metadata: the labels, joined by commas."""

CLASS_STEP = 80
"""Behind an ML Program Core ML suppresses rightly only for whole multiples of so many classes."""

_DESCRIPTIONS = {
    CONFIDENCE: f'Boxes × Class confidence (see user-defined metadata "{CLASSES}")',
    COORDINATES: "Boxes × [x, y, width, height] (relative to image size)",
    IOU_THRESHOLD: "The maximum allowed overlap (as intersection-over-union ratio) for any pair of "
    "output bounding boxes",
    CONFIDENCE_THRESHOLD: "The minimum confidence score for an output bounding box",
}


def padded_labels(labels: Sequence[str]) -> list[str]:
    """`labels` and as many further ones as an ML Program needs, which no box ever has.

    The program's ``raw_confidence`` must be 0 for them.
    """
    spare = (f"unused {number}" for number in range(1, len(labels) + CLASS_STEP + 1))
    fillers = [label for label in spare if label not in labels]
    return [*labels, *fillers[: -len(labels) % CLASS_STEP]]


def detector_pipeline(
    network: Any,
    labels: Sequence[str],
    *,
    boxes: int,
    iou_threshold: float = 0.45,
    confidence_threshold: float = 0.25,
    per_class: bool = False,
) -> Any:
    """A Pipeline protobuf of `network` and non-maximum suppression; `network` stays as it is.

    `network` is the Model protobuf of a NeuralNetwork or an ML Program with one image input and
    the outputs ``raw_confidence`` [boxes, classes] and ``raw_coordinates`` [boxes, 4]: centre x,
    centre y, width, height, relative to the picture. A NeuralNetwork has a class for each of
    `labels`; an ML Program one for each of `padded_labels`. The thresholds are what holds where
    the user of the model gives none; with `per_class` only boxes of one label suppress each
    other, else all do, as in Create ML.

    The pipeline takes ``image`` and the optional doubles ``iouThreshold`` and
    ``confidenceThreshold``; it gives ``confidence`` [any number, classes] and ``coordinates``
    [any number, 4].

    Raises ExportError: another kind of model, other inputs or outputs, shapes that do not fit the
    labels, float16 outputs, a label twice, a threshold that Core ML refuses.
    """
    from coremltools.proto import FeatureTypes_pb2, Model_pb2

    check_labels(labels)
    program = network.WhichOneof("Type") == "mlProgram"
    classes = padded_labels(labels) if program else list(labels)
    shapes = {RAW_CONFIDENCE: [boxes, len(classes)], RAW_COORDINATES: [boxes, 4]}
    _check(network, shapes)
    for name, value, most in (
        ("iou_threshold", iou_threshold, 1.0),
        ("confidence_threshold", confidence_threshold, float("inf")),
    ):
        if not 0 <= value <= most:
            raise ExportError(f"{name}={value!r}: expected 0 to {most:g}")
    arrays = FeatureTypes_pb2.ArrayFeatureType
    # Before specification 5 Core ML suppresses doubles only; ML Programs have none.
    number = arrays.FLOAT32 if program else arrays.DOUBLE

    pipeline = Model_pb2.Model()
    pipeline.specificationVersion = network.specificationVersion
    first = pipeline.pipeline.models.add()
    first.CopyFrom(network)
    pipeline.description.metadata.CopyFrom(network.description.metadata)
    pipeline.description.metadata.userDefined[CLASSES] = ",".join(labels)
    first.description.ClearField("metadata")
    for feature in first.description.output:
        declared = feature.type.multiArrayType
        declared.Clear()
        declared.shape.extend(shapes[feature.name])
        declared.dataType = number

    second = pipeline.pipeline.models.add()
    second.specificationVersion = network.specificationVersion
    second.description.input.extend(first.description.output)
    for name in (IOU_THRESHOLD, CONFIDENCE_THRESHOLD):
        _add(second.description.input, name).doubleType.SetInParent()
    for name, raw in ((CONFIDENCE, RAW_CONFIDENCE), (COORDINATES, RAW_COORDINATES)):
        _add_boxes(second.description.output, name, shapes[raw][1], number)

    suppression = second.nonMaximumSuppression
    suppression.stringClassLabels.vector.extend(classes)
    suppression.pickTop.perClass = per_class
    suppression.iouThreshold = iou_threshold
    suppression.confidenceThreshold = confidence_threshold
    suppression.confidenceInputFeatureName = RAW_CONFIDENCE
    suppression.coordinatesInputFeatureName = RAW_COORDINATES
    suppression.iouThresholdInputFeatureName = IOU_THRESHOLD
    suppression.confidenceThresholdInputFeatureName = CONFIDENCE_THRESHOLD
    suppression.confidenceOutputFeatureName = CONFIDENCE
    suppression.coordinatesOutputFeatureName = COORDINATES

    pipeline.description.input.extend([*first.description.input, *second.description.input[2:]])
    pipeline.description.output.extend(second.description.output)
    _describe(pipeline.description, iou_threshold, confidence_threshold)
    return pipeline


def _check(network: Any, shapes: dict[str, list[int]]) -> None:
    kind = network.WhichOneof("Type")
    if kind not in ("neuralNetwork", "mlProgram"):
        raise ExportError(f"a detector begins with a neural network or an ML Program, not {kind}")
    inputs = [feature.type.WhichOneof("Type") for feature in network.description.input]
    if inputs != ["imageType"]:
        raise ExportError(f"the network of a detector takes one image; this one: {inputs}")
    names = sorted(feature.name for feature in network.description.output)
    if names != sorted(shapes):
        raise ExportError(
            f"the network of a detector gives {RAW_CONFIDENCE} and {RAW_COORDINATES}; this one "
            f"{', '.join(names)}"
        )
    for feature in network.description.output:
        declared = feature.type.multiArrayType
        if declared.dataType == declared.FLOAT16:
            raise ExportError(f"{feature.name} is float16, which Core ML does not suppress")
        if declared.shape and list(declared.shape) != shapes[feature.name]:
            raise ExportError(
                f"the network declares {feature.name} as {list(declared.shape)}; the labels and "
                f"boxes need {shapes[feature.name]}"
            )


def _add(features: Any, name: str) -> Any:
    feature = features.add()
    feature.name = name
    return feature.type


def _add_boxes(features: Any, name: str, width: int, number: int) -> None:
    """Any number of rows; a fixed shape beside that would be refused."""
    declared = _add(features, name).multiArrayType
    declared.dataType = number
    declared.shapeRange.sizeRanges.add(lowerBound=0, upperBound=-1)
    declared.shapeRange.sizeRanges.add(lowerBound=width, upperBound=width)


def _describe(description: Any, iou_threshold: float, confidence_threshold: float) -> None:
    defaults = {IOU_THRESHOLD: iou_threshold, CONFIDENCE_THRESHOLD: confidence_threshold}
    for feature in (*description.input, *description.output):
        text = _DESCRIPTIONS.get(feature.name, "Input image")
        if feature.name in defaults:
            feature.type.isOptional = True
            text += f" (default: {defaults[feature.name]:g})"
        feature.shortDescription = text
