"""Proves any Core ML file against the ONNX model that it stands for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint.data.rule import PictureRule
from silverprint.data.scan import entries, is_picture
from silverprint.data.source import DataSource
from silverprint.errors import ExportError, InvalidParameterError
from silverprint.export.coreml.foreign import adopt_backbone, adopt_classifier
from silverprint.export.coreml.names import PICTURE_RULE
from silverprint.export.coreml.options import ExportOptions, Layout
from silverprint.export.coreml.pictures import COUNT, drawn, tensor_of
from silverprint.export.coreml.proof import Expected, Proof, prove
from silverprint.export.coreml.proof.core_ml import ask_core_ml
from silverprint.export.coreml.proof.oracle import Floats, Oracle
from silverprint.export.coreml.proof.other_rules import agreements
from silverprint.export.coreml.proof.subject import subject_of
from silverprint.export.coreml.reader import SavedModel, read_model
from silverprint.model.compose import RECORD_KEY, ClassifierRecord

if TYPE_CHECKING:
    import onnx

    from silverprint.data.decode import Picture

_BGR = 30  # FeatureTypes_pb2.ImageFeatureType.ColorSpace


def verify(
    path: str | os.PathLike[str],
    reference: str | os.PathLike[str] | bytes,
    pictures: DataSource | str | os.PathLike[str] | Sequence[Picture] | None = None,
    *,
    labels: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: Layout | None = None,
) -> Proof:
    """Compare a Core ML file with the ONNX model that it was written from.

    The file is executed on up to 16 of the pictures, evenly taken, as the picture rule of the
    model brings them to size; on a Mac Core ML itself runs on these, too. For a classifier all
    pictures answer also under other picture rules, which a device may have: scaled to fill or to
    fit, without antialiasing, with Lanczos resampling.

    Args:
        path: an ``.mlpackage`` or ``.mlmodel``.
        reference: an ONNX file, or the bytes of one that silverprint wrote.
        pictures: paths, bytes, PIL images or arrays; a folder of pictures or of label folders; a
            DataSource. None: drawn pictures, and no other rules.
        labels: of each picture, in order, where `pictures` does not say them.
        mean, std, channel_order: normalisation of an ONNX model of another origin, as for the
            export.

    Returns:
        What was compared; printed, it is a report.

    Raises:
        ExportError: the file computes or says something else, naming the first layer that
            differs; it is damaged, or no Core ML file.
        BackboneError, InvalidDataError: the reference or a picture cannot be read.
        InvalidParameterError: another number of labels than pictures.
    """
    saved = read_model(path)
    given, truth = _listed(pictures, labels)
    known = _reference(saved, reference, mean=mean, std=std, channel_order=channel_order)
    rule = known.rule
    if given is None:
        tensors = drawn(rule)
    else:
        few = np.unique(np.linspace(0, len(given) - 1, min(COUNT, len(given))).astype(int))
        tensors = [tensor_of(given[number], rule) for number in few]
    proof = prove(path, known.graph, tensors, expected=_expected(saved, known))
    rules = proof.rules
    if given is not None and saved.spec.description.predictedFeatureName:
        rules = agreements(given, rule, _answer(saved, known), truth)
    return replace(proof, rules=rules, core_ml=ask_core_ml(saved, tensors))


@dataclass(frozen=True)
class _Known:
    """The graph to compare with, its picture rule, and labels where the reference has them."""

    graph: onnx.ModelProto
    rule: PictureRule
    labels: tuple[str, ...] | None


def _reference(saved: SavedModel, reference: Any, **foreign: Any) -> _Known:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        content = reference if isinstance(reference, bytes) else Path(reference).read_bytes()
        model = onnx.ModelProto.FromString(content)
    except (OSError, DecodeError) as error:
        raise ExportError(f"the reference {_shown(reference)} cannot be read: {error}") from error
    for entry in model.metadata_props:
        if entry.key == RECORD_KEY:
            record = ClassifierRecord.from_json(entry.value)
            return _Known(model, record.rule, record.labels)
    if isinstance(reference, bytes):
        raise ExportError("the reference was not written by silverprint: give the path of its file")
    description = saved.spec.description
    image = description.input[0].type.imageType
    size = (int(image.height), int(image.width))
    if description.predictedFeatureName:
        adopted = adopt_classifier(reference, size=size, **foreign)
    else:
        adopted = adopt_backbone(reference, size=size, **foreign)
    return _Known(adopted.graph, _written_rule(saved, size), None)


def _shown(reference: object) -> str:
    return "bytes" if isinstance(reference, bytes) else str(reference)


def _written_rule(saved: SavedModel, size: tuple[int, int]) -> PictureRule:
    """The rule that the file says, or a centre crop."""
    text = saved.spec.description.metadata.userDefined.get(PICTURE_RULE, "")
    try:
        return PictureRule.from_json(json.loads(text))
    except (ValueError, InvalidParameterError):
        return PictureRule(*size)


def _expected(saved: SavedModel, known: _Known) -> Expected | None:
    """What the reference says about the description; the rest is as the file has it."""
    if known.labels is None:
        return None
    description = saved.spec.description
    bgr = description.input[0].type.imageType.colorSpace == _BGR
    options = ExportOptions(
        layout="BGR" if bgr else "RGB",
        label_name=description.predictedFeatureName,
        probability_name=description.predictedProbabilitiesName,
    )
    return Expected(known.rule.to_json(), known.labels, metadata=None, options=options)


def _answer(saved: SavedModel, known: _Known) -> Any:
    """The label of a tensor, as the reference gives it: the file has been proven to agree."""
    found = subject_of(saved, known.graph).answers
    labels, name = known.labels or found.labels, found.reference
    oracle = Oracle(known.graph, (known.rule.height, known.rule.width), [name])

    def answer(tensor: Floats) -> str:
        return str(labels[int(np.argmax(oracle(tensor)[name]))])

    return answer


def _listed(
    pictures: Any, labels: Sequence[str] | None
) -> tuple[list[Picture] | None, list[str] | None]:
    """The pictures one by one, and their labels where they are known."""
    truth = None if labels is None else [str(label) for label in labels]
    if pictures is None:
        return None, None
    if isinstance(pictures, str | os.PathLike):
        found = entries(Path(pictures))
        flat = [Path(entry.path) for entry in found if is_picture(entry)]
        pictures = flat or DataSource.labeled_directories(pictures)
    if isinstance(pictures, DataSource):
        truth = [label for _, label in pictures.items] if truth is None else truth
        pictures = [path for path, _ in pictures.items]
    listed = list(pictures)
    if not listed:
        raise InvalidParameterError("pictures", pictures, "at least one picture")
    if truth is not None and len(truth) != len(listed):
        raise InvalidParameterError("labels", len(truth), f"one for each of {len(listed)} pictures")
    return listed, truth
