"""Thresholds and wiring of a detector: a network, then non-maximum suppression. Check (e)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from silverprint.export.coreml.proof.same import same

_NETWORKS = ("neuralNetwork", "mlProgram")
_PROGRAM_CLASSES = 80
"""Core ML's suppression behind an ML Program needs whole multiples of so many classes."""


@dataclass(frozen=True)
class Detector:
    """What the suppression of a detector was written from; `boxes` come from the network."""

    boxes: int
    iou_threshold: float = 0.45
    confidence_threshold: float = 0.25
    per_class: bool = False


def check_detector(spec: Any, labels: Sequence[str], expected: Detector) -> int:
    """Compare a Pipeline with what it was written from; how many things were compared.

    Raises ExportError naming the first difference.
    """
    models = list(spec.pipeline.models)
    kinds = [model.WhichOneof("Type") for model in models]
    same("models", kinds[1:], ["nonMaximumSuppression"])
    same("a first model that is a network", kinds[0] in _NETWORKS, True)
    network, second = models
    nms = second.nonMaximumSuppression
    confidence, boxes = "raw_confidence", "raw_coordinates"
    wiring = {
        "confidenceInputFeatureName": confidence,
        "coordinatesInputFeatureName": boxes,
        "iouThresholdInputFeatureName": "iouThreshold",
        "confidenceThresholdInputFeatureName": "confidenceThreshold",
        "confidenceOutputFeatureName": "confidence",
        "coordinatesOutputFeatureName": "coordinates",
    }
    for key, name in wiring.items():
        same(f"in its suppression {key}", getattr(nms, key), name)
    same("an iouThreshold of", nms.iouThreshold, expected.iou_threshold)
    same("a confidenceThreshold of", nms.confidenceThreshold, expected.confidence_threshold)
    same("a method that is", nms.WhichOneof("SuppressionMethod"), "pickTop")
    same("perClass", nms.pickTop.perClass, expected.per_class)
    found = list(nms.stringClassLabels.vector)
    same("the labels", found[: len(labels)], list(labels))
    spare = -len(labels) % _PROGRAM_CLASSES if kinds[0] == "mlProgram" else 0
    same("a number of classes", len(found), len(labels) + spare)
    same("labels that occur twice", len(found) - len(set(found)), 0)
    count = 13 + len(labels)

    same("outputs of its network", _names(network.description.output), {confidence, boxes})
    shapes = {confidence: [expected.boxes, len(found)], boxes: [expected.boxes, 4]}
    for feature in (*network.description.output, *second.description.input[:2]):
        declared = list(feature.type.multiArrayType.shape)
        same(f"{feature.name} of the shape", declared, shapes.get(feature.name))
    inputs = {confidence, boxes, "iouThreshold", "confidenceThreshold"}
    same("inputs of its suppression", _names(second.description.input), inputs)
    same(
        "outputs of its suppression",
        _names(second.description.output),
        {"confidence", "coordinates"},
    )
    same("outputs", _names(spec.description.output), {"confidence", "coordinates"})
    thresholds = {
        feature.name: (feature.type.WhichOneof("Type"), feature.type.isOptional)
        for feature in spec.description.input[1:]
    }
    optional = ("doubleType", True)
    same(
        "thresholds as inputs",
        thresholds,
        {"iouThreshold": optional, "confidenceThreshold": optional},
    )
    own = [feature.type.imageType for feature in network.description.input]
    outer = [feature.type.imageType for feature in spec.description.input[:1]]
    same("in its network the image input", [str(one) for one in own], [str(one) for one in outer])
    return count + 10


def _names(features: Any) -> set[str]:
    return {feature.name for feature in features}
