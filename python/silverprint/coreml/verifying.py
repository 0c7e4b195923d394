"""Any Core ML file against the ONNX model that it stands for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint.classifier.classifier import ImageClassifier
from silverprint.classifier.core_ml import details_of
from silverprint.coreml.exporting import adopt, check_settled, checked_labels
from silverprint.data.mapping import StrPath, as_path
from silverprint.data.rule import PictureRule
from silverprint.data.scan import entries, is_picture
from silverprint.data.source import DataSource
from silverprint.errors import ExportError, InvalidParameterError
from silverprint.export.coreml.damage import named, told
from silverprint.export.coreml.foreign import Scores
from silverprint.export.coreml.graph.renaming import identifier
from silverprint.export.coreml.names import PICTURE_RULE
from silverprint.export.coreml.options import ExportOptions, Layout
from silverprint.export.coreml.pictures import COUNT, drawn, tensor_of
from silverprint.export.coreml.proof import Expected, Proof, prove
from silverprint.export.coreml.proof.core_ml import ask_core_ml
from silverprint.export.coreml.proof.oracle import Floats, Oracle
from silverprint.export.coreml.proof.other_rules import agreements
from silverprint.export.coreml.proof.subject import subject_of
from silverprint.export.coreml.protobuf import COLOURS
from silverprint.export.coreml.reader import SavedModel, read_model
from silverprint.features import graph as graphs
from silverprint.features.extraction import as_pictures
from silverprint.model.compose import ClassifierRecord, is_classifier, read_classifier
from silverprint.model.metadata import RECORD_KEY

if TYPE_CHECKING:
    import onnx

    from silverprint.data.decode import Picture


def verify(
    path: StrPath,
    reference: ImageClassifier | StrPath,
    pictures: DataSource | StrPath | Sequence[Picture] | None = None,
    *,
    labels: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    scores: Scores | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: Layout | None = None,
) -> Proof:
    """Compare a Core ML file with the model that it was written from.

    The file is executed on up to 16 of the pictures, evenly taken, as the picture rule of the
    model brings them to size; on a Mac Core ML itself runs on these, too. For a classifier all
    pictures answer also under other picture rules, which a device may have: scaled to fill or to
    fit, without antialiasing, with Lanczos resampling. Of a classifier of silverprint the file must
    also tell labels, picture rule, training and metrics as the model does; the author's words may
    be others. An ONNX model of another origin says nothing about labels and metadata: there only
    what is computed is compared.

    Args:
        path: an ``.mlpackage`` or ``.mlmodel``.
        reference: the classifier, or an .onnx file.
        pictures: paths, bytes, PIL images or arrays; a folder of pictures or of label folders; a
            DataSource. None: drawn pictures, and no other rules.
        labels: of each picture, in order, where `pictures` does not say them.
        outputs, scores, mean, std, channel_order: of a model of another origin, as they were given
            to `export`. None for `outputs` of a feature extractor: those that the file has.

    Returns:
        What was compared; printed, it is a report.

    Raises:
        ExportError: the file computes or says something else, naming the first layer that
            differs; it is damaged, or no Core ML file; the reference cannot be read.
        BackboneError, InvalidDataError: the reference or a picture cannot serve.
        InvalidParameterError: a value is none that it can be, another number of labels than
            pictures, a normalisation that silverprint's model settles.
    """
    saved = read_model(as_path(path))
    given, truth = _listed(pictures, labels)
    foreign: dict[str, Any] = {"mean": mean, "std": std, "channel_order": channel_order}
    foreign |= {"outputs": outputs, "scores": scores}
    known = _known(saved, reference, foreign)
    rule = known.rule
    if given is None:
        tensors = drawn(rule)
    else:
        few = np.unique(np.linspace(0, len(given) - 1, min(COUNT, len(given))).astype(int))
        tensors = [tensor_of(given[number], rule) for number in few]
    written = _record(saved) if known.record else None
    expected = _expected(saved, known, written)
    with told(saved.path):
        proof = prove(saved.path, known.graph, tensors, expected=expected, own=written is not None)
    if known.record and written:
        _check_record(written, known.record)
    rules = proof.rules
    if given is not None and saved.spec.description.predictedFeatureName:
        rules = agreements(given, rule, _answer(saved, known, truth), truth)
    return replace(proof, rules=rules, core_ml=ask_core_ml(saved, tensors))


@dataclass(frozen=True)
class _Known:
    """The graph to compare with, its picture rule, and its record where silverprint wrote it."""

    graph: onnx.ModelProto
    rule: PictureRule
    record: ClassifierRecord | None


def _known(saved: SavedModel, reference: object, foreign: Mapping[str, Any]) -> _Known:
    import onnx

    if isinstance(reference, ImageClassifier):
        own = (reference._model, reference.record)
    elif isinstance(reference, str | os.PathLike):
        path = as_path(reference, "reference")
        if not is_classifier(path):
            return _adopted(saved, path, foreign)
        own = read_classifier(path)
    else:
        raise InvalidParameterError("reference", reference, "an ImageClassifier or an .onnx file")
    check_settled(foreign)
    if not saved.spec.description.predictedFeatureName:
        raise ExportError(f"{saved.path} is no classifier, and the reference is one")
    graph, record = own
    return _Known(onnx.ModelProto.FromString(graph), record.rule, record)


def _adopted(saved: SavedModel, path: Path, foreign: Mapping[str, Any]) -> _Known:
    """The model of another origin at `path`, for pictures of the file's size."""
    description = saved.spec.description
    sizes = [(int(one.height), int(one.width)) for one in _images(saved)]
    if len(sizes) != 1:
        raise ExportError(f"{saved.path} takes {len(sizes)} images instead of one")
    outputs, scores = foreign["outputs"], foreign["scores"]
    given = {key: value for key, value in foreign.items() if key not in ("outputs", "scores")}
    if not description.predictedFeatureName and outputs is None:
        outputs = _outputs(saved, path)
    with named(path):
        classifier = bool(description.predictedFeatureName)
        adopted = adopt(path, classifier, outputs, scores, {**given, "size": sizes[0]})
    return _Known(adopted.graph, _written_rule(saved, sizes[0]), None)


def _outputs(saved: SavedModel, path: Path) -> list[str] | None:
    """The tensors of the model at `path` that the file gives; None where one is not found."""
    nodes = graphs.load(path).graph.node
    tensors = {identifier(name): name for node in nodes for name in node.output}
    names = [feature.name for feature in saved.spec.description.output]
    return [tensors[name] for name in names] if set(names) <= set(tensors) else None


def _images(saved: SavedModel) -> list[Any]:
    types = [one.type for one in saved.spec.description.input]
    return [one.imageType for one in types if one.WhichOneof("Type") == "imageType"]


def _written_rule(saved: SavedModel, size: tuple[int, int]) -> PictureRule:
    """The rule that the file says, or a centre crop."""
    text = saved.spec.description.metadata.userDefined.get(PICTURE_RULE)
    if text is None:
        return PictureRule(*size)
    try:
        return PictureRule.from_json(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{saved.path}: its picture rule cannot be read: {error}") from error


def _record(saved: SavedModel) -> ClassifierRecord | None:
    """What silverprint wrote into the file; None where another tool wrote it."""
    text = saved.spec.description.metadata.userDefined.get(RECORD_KEY)
    if text is None:
        return None
    try:
        return ClassifierRecord.from_json(text)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{saved.path}: its record cannot be read: {error}") from error


def _expected(
    saved: SavedModel, known: _Known, written: ClassifierRecord | None
) -> Expected | None:
    """What the reference says about the description; the rest is as the file has it."""
    if known.record is None:
        return None
    description = saved.spec.description
    bgr = any(image.colorSpace == COLOURS["BGR"] for image in _images(saved))
    options = ExportOptions(
        layout="BGR" if bgr else "RGB",
        label_name=description.predictedFeatureName,
        probability_name=description.predictedProbabilitiesName,
    )
    expected = Expected(known.rule.to_json(), known.record.labels, metadata=None, options=options)
    if written is None:
        return expected
    text = description.metadata.userDefined[RECORD_KEY]
    metadata = written.metadata.to_dict() | {RECORD_KEY: text}
    return replace(expected, metadata=metadata, details=details_of(known.record))


def _check_record(written: ClassifierRecord, known: ClassifierRecord) -> None:
    known = ClassifierRecord.from_json(known.to_json())
    for name in (one.name for one in fields(known) if one.name != "metadata"):
        found, wanted = getattr(written, name), getattr(known, name)
        if found != wanted:
            raise ExportError(
                f"check (e): the record in the saved file says {name} {found!r:.300} instead of "
                f"{wanted!r:.300}"
            )


def _answer(saved: SavedModel, known: _Known, truth: Sequence[str] | None) -> Any:
    """The label of a tensor, as the reference gives it: the file has been proven to agree."""
    found = subject_of(saved, known.graph).answers
    labels, name = known.record.labels if known.record else found.labels, found.reference
    for label in truth or ():
        if label not in labels:
            some = ", ".join(map(str, labels[:6])) + (", ..." if len(labels) > 6 else "")
            raise InvalidParameterError("labels", label, f"labels of the model: {some}")
    oracle = Oracle(known.graph, (known.rule.height, known.rule.width), [name])

    def answer(tensor: Floats) -> str:
        return str(labels[int(np.argmax(oracle(tensor)[name]))])

    return answer


def _listed(
    pictures: Any, labels: Sequence[str] | None
) -> tuple[list[Picture] | None, list[str] | None]:
    """The pictures one by one, and their labels where they are known."""
    truth = None if labels is None else checked_labels(labels)
    if pictures is None:
        if truth is not None:
            raise InvalidParameterError("labels", labels, "pictures beside them")
        return None, None
    if isinstance(pictures, str | os.PathLike):
        found = entries(Path(pictures))
        flat = [Path(entry.path) for entry in found if is_picture(entry)]
        pictures = flat or DataSource.labeled_directories(pictures)
    if isinstance(pictures, DataSource):
        truth = [label for _, label in pictures.items] if truth is None else truth
        pictures = [path for path, _ in pictures.items]
    listed = as_pictures("pictures", pictures)
    if not listed:
        raise InvalidParameterError("pictures", pictures, "at least one picture")
    if truth is not None and len(truth) != len(listed):
        raise InvalidParameterError("labels", len(truth), f"one for each of {len(listed)} pictures")
    return listed, truth
