"""Core ML's non-maximum suppression. Definition: NonMaximumSuppression.proto.

What the definition leaves open: boxes of equal confidence count in the order they come in, a box
is suppressed where the overlap exceeds the threshold (a threshold of 1 suppresses nothing), and
the result is in the order of falling confidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.execute.features import given, tensor
from silverprint.export.coreml.execute.kernels import padded
from silverprint.export.coreml.reader import SavedModel

Array = npt.NDArray[Any]


def run_suppression(saved: SavedModel, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Confidence [kept, C] and coordinates [kept, 4], float32, by the names in the file.

    The thresholds of the file hold where `inputs` has none under their names. Boxes are padded
    with zeros or cut to the number that the outputs declare, if they do.

    Raises ExportError: a missing input, shapes that do not fit, labels for other classes.
    """
    model, description = saved.spec.nonMaximumSuppression, saved.spec.description
    features = {feature.name: feature for feature in description.input}
    confidence, coordinates = (
        tensor(features[name], given(inputs, name)) if name in features else _undeclared(name)
        for name in (model.confidenceInputFeatureName, model.coordinatesInputFeatureName)
    )
    _check(model, confidence, coordinates)
    kept = suppress(
        confidence,
        coordinates,
        iou_threshold=_threshold(
            inputs, model.iouThresholdInputFeatureName, model.iouThreshold, limit=1.0
        ),
        confidence_threshold=_threshold(
            inputs, model.confidenceThresholdInputFeatureName, model.confidenceThreshold
        ),
        per_class=model.pickTop.perClass,
    )
    names = (model.confidenceOutputFeatureName, model.coordinatesOutputFeatureName)
    fewest, most = _rows(description.output, names)
    kept = kept[: len(kept) if most is None else most]
    blank = [(0, max(0, fewest - len(kept))), (0, 0)]
    return {
        name: padded(array[kept], blank)
        for name, array in zip(names, (confidence, coordinates), strict=True)
    }


def suppress(
    confidence: Array,
    coordinates: Array,
    *,
    iou_threshold: float,
    confidence_threshold: float,
    per_class: bool,
) -> Array:
    """Which rows of `confidence` [N, C] and `coordinates` [N, 4] stay, the surest one first.

    A box is [centre x, centre y, width, height]; its score is the largest of its confidences.
    With `per_class` only boxes whose largest confidence has the same place suppress each other.
    """
    if confidence.size == 0:
        return np.zeros(0, np.int64)
    scores, classes = confidence.max(1), confidence.argmax(1)
    order = np.argsort(-scores, kind="stable")
    # In double, as Core ML has both: float32 has no 0.7.
    waiting = order[scores[order].astype(np.float64) >= confidence_threshold]
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        near = _overlap(coordinates[best], coordinates[waiting]) > iou_threshold
        if per_class:
            near &= classes[waiting] == classes[best]
        waiting = waiting[~near]
    return np.array(kept, np.int64)


def _overlap(box: Array, others: Array) -> Array:
    """Intersection over union of `box` [4] with each of `others` [N, 4]; 0 for empty boxes."""
    box, others = box.astype(np.float64), others.astype(np.float64)
    centre, size = box[:2], box[2:]
    low = np.maximum(centre - size / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(centre + size / 2, others[:, :2] + others[:, 2:] / 2)
    shared = np.clip(high - low, 0, None).prod(1)
    union = size.prod() + others[:, 2:].prod(1) - shared
    result: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def _check(model: Any, confidence: Array, coordinates: Array) -> None:
    shapes = f"{list(confidence.shape)} and {list(coordinates.shape)}"
    if confidence.ndim != 2 or coordinates.shape != (len(confidence), 4):
        raise ExportError(f"boxes must be N x C and N x 4, these are {shapes}")
    kind = model.WhichOneof("ClassLabels")
    labels = len(getattr(model, kind).vector) if kind else confidence.shape[1]
    if labels != confidence.shape[1]:
        raise ExportError(f"the boxes have {confidence.shape[1]} classes, {labels} have labels")


def _undeclared(name: str) -> Array:
    raise ExportError(f"the suppression reads {name!r}, which is not among its inputs")


def _threshold(
    inputs: Mapping[str, Any], name: str, default: float, *, limit: float = np.inf
) -> float:
    value = float(np.asarray(inputs.get(name, default)).item()) if name else float(default)
    if not 0 <= value <= limit:
        raise ExportError(f"{name or 'a threshold'} is {value}, expected 0 to {limit}")
    return value


def _rows(outputs: Any, names: tuple[str, str]) -> tuple[int, int | None]:
    """The fewest and the most boxes that the outputs may have; None for no limit."""
    declared = {feature.name: feature.type.multiArrayType for feature in outputs}
    if set(declared) != set(names):
        raise ExportError(
            f"the suppression gives {' and '.join(names)}, its outputs are {', '.join(declared)}"
        )
    fewest, most = 0, None
    for name in names:
        if declared[name].WhichOneof("ShapeFlexibility") == "shapeRange":
            first = declared[name].shapeRange.sizeRanges[0]
            fewest = max(fewest, int(first.lowerBound))
            most = int(first.upperBound) if first.upperBound >= 0 else most
        elif declared[name].shape:
            fewest = most = int(declared[name].shape[0])
    return fewest, most
