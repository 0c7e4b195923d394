"""What of a saved file is held against which values of the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from silverprint.errors import ExportError
from silverprint.export.coreml.names import PROBABILITIES
from silverprint.export.coreml.proof.description import Expected, labels_of
from silverprint.export.coreml.proof.numbers import Answers
from silverprint.export.coreml.reader import SavedModel

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Subject:
    """The network of a file (of a detector the first model of its pipeline), its outputs, and the
    (height, width) of its pictures."""

    network: SavedModel
    answers: Answers
    size: tuple[int, int]


def subject_of(
    saved: SavedModel, reference: onnx.ModelProto, expected: Expected | None = None
) -> Subject:
    """Find the outputs of `saved` in `reference`.

    Raises ExportError: no image input, an output that the reference does not have, a classifier
    without labels.
    """
    if saved.spec.WhichOneof("Type") == "pipeline":
        saved = replace(saved, spec=saved.spec.pipeline.models[0])
    description = saved.spec.description
    images = [one for one in description.input if one.type.WhichOneof("Type") == "imageType"]
    if len(images) != 1:
        raise ExportError(f"{saved.path} takes {len(images)} images instead of one")
    image = images[0].type.imageType
    answers = _answers(saved, images[0].name, reference, expected)
    return Subject(saved, answers, (int(image.height), int(image.width)))


def _answers(
    saved: SavedModel, image: str, reference: onnx.ModelProto, expected: Expected | None
) -> Answers:
    description = saved.spec.description
    known = [value.name for value in reference.graph.output]
    if not description.predictedFeatureName:
        names = [feature.name for feature in description.output]
        missing = [name for name in names if name not in known]
        if missing:
            raise ExportError(
                f"the reference has no output {missing[0]!r}; it has: {', '.join(known)}"
            )
        return Answers(image, {name: name for name in names})
    labels: list[Any] = list(expected.labels if expected and expected.labels else ())
    labels = labels or labels_of(saved.spec)
    if not labels or len(set(labels)) != len(labels):
        raise ExportError(f"{saved.path} is a classifier without labels, or has one twice")
    return Answers(
        image,
        {},
        description.predictedFeatureName,
        description.predictedProbabilitiesName,
        PROBABILITIES if PROBABILITIES in known else known[0],
        tuple(labels),
    )
