"""Any ONNX model to a Core ML file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silverprint.classifier.classifier import ImageClassifier
from silverprint.data.mapping import StrPath, as_path
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidParameterError
from silverprint.export.coreml import (
    ExportOptions,
    PackageSummary,
    adopt_backbone,
    adopt_classifier,
    write_backbone,
    write_classifier,
)
from silverprint.export.coreml.damage import named
from silverprint.export.coreml.foreign import Adopted, Scores
from silverprint.export.coreml.options import Layout, format_of
from silverprint.export.coreml.pictures import drawn, tensors_of
from silverprint.export.coreml.proof import Expected, Proof, prove
from silverprint.model.compose import is_classifier
from silverprint.model.endings import CORE_ML
from silverprint.model.metadata import ModelMetadata

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    from silverprint.data.decode import Picture


def export(
    model: StrPath,
    path: StrPath | None = None,
    *,
    labels: Sequence[str] | None = None,
    options: ExportOptions | None = None,
    metadata: ModelMetadata | None = None,
    pictures: Sequence[Picture] | None = None,
    outputs: Sequence[str] | None = None,
    scores: Scores | None = None,
    size: tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: Layout | None = None,
    crop_and_scale: str | None = None,
) -> PackageSummary:
    """Write an ONNX model as a Core ML file and prove it.

    A model that silverprint wrote needs nothing but its name. Any other needs `labels` to become a
    classifier, else it becomes a feature extractor with multi-arrays as outputs; how its pictures
    are normalised stands in its metadata (``mean``, ``std``) or is given.

    Args:
        model: an .onnx file.
        path: ends in ``.mlpackage`` or ``.mlmodel``; None: the name of the model, .mlpackage.
        labels: of a classifier, in the order of its scores.
        options: how the file is written; None: ``ExportOptions()``.
        metadata: author, licence, version and description.
        pictures: of which 16 prove the file; None: drawn ones.
        outputs: tensors to keep, inner ones too; of a classifier the one with the scores.
        scores: whether these are "logits" or "probabilities"; None: as the graph ends.
        size: (height, width) in pixels, where the model leaves it free.
        mean, std: (x - mean) / std on the 0..255 scale for red, green and blue.
        channel_order: "RGB" or "BGR", as the network expects; None: as its metadata says, or RGB.
        crop_and_scale: "center_crop", "scale_fill" or "scale_fit", written as the picture rule;
            None: "center_crop".

    Returns:
        Size, oldest system, Swift lines and the proof.

    Raises:
        ExportError: operators without a translation (all of them, with the nodes), no Core ML
            here, a file that does not compute what the model does. Nothing is written then.
        BackboneError: the model is missing, damaged, or takes no picture.
        InvalidDataError: a picture cannot be read.
        InvalidParameterError: a value is none that it can be; of a model of silverprint something
            is asked for that it settles.
    """
    if not isinstance(options, ExportOptions | None):
        raise InvalidParameterError("options", options, "sp.coreml.ExportOptions(...)")
    if not isinstance(metadata, ModelMetadata | None):
        raise InvalidParameterError("metadata", metadata, "sp.ModelMetadata(...)")
    source = as_path(model, "model")
    if source.suffix in CORE_ML:
        raise InvalidParameterError("model", str(model), "an .onnx file, not the result of one")
    target = source.with_suffix(".mlpackage") if path is None else as_path(path)
    chosen = options or ExportOptions()
    format_of(target, chosen)
    settled = {
        "labels": labels,
        "outputs": outputs,
        "scores": scores,
        "size": size,
        "mean": mean,
        "std": std,
        "channel_order": channel_order,
        "crop_and_scale": crop_and_scale,
    }
    with named(source):
        if is_classifier(source):
            check_settled(settled)
            own = ImageClassifier.load(source)
            written = own.write(target, metadata, chosen, pictures=pictures)
            assert isinstance(written, PackageSummary)
            return written
        given: dict[str, Any] = {"size": size, "mean": mean, "std": std}
        given["channel_order"] = channel_order
        classes = None if labels is None else checked_labels(labels)
        adopted = adopt(source, classes is not None, outputs, scores, given)
        rule = PictureRule(
            adopted.height,
            adopted.width,
            "center_crop" if crop_and_scale is None else crop_and_scale,
        )
        tensors = drawn(rule) if pictures is None else tensors_of(pictures, rule)
        about = _about(source, rule, metadata, adopted, chosen)
        return _write(adopted.graph, target, classes, tensors, about)


def adopt(
    source: Path,
    classifier: bool,
    outputs: Sequence[str] | None,
    scores: Scores | None,
    given: Mapping[str, Any],
) -> Adopted:
    """The foreign model at `source`; `given`: size, mean, std and channel_order, as for `export`.

    Raises: as `export`.
    """
    if outputs is not None:
        plain = isinstance(outputs, Sequence) and not isinstance(outputs, str)
        if not plain or not all(isinstance(name, str) for name in outputs):
            raise InvalidParameterError("outputs", outputs, "a list of names of tensors")
    if not classifier:
        if scores is not None:
            raise InvalidParameterError("scores", scores, "labels beside it")
        return adopt_backbone(source, outputs=outputs, **given)
    if outputs is not None and len(outputs) != 1:
        raise InvalidParameterError("outputs", outputs, "one tensor, that of the scores")
    output = None if outputs is None else outputs[0]
    return adopt_classifier(source, output=output, scores=scores, **given)


def check_settled(given: Mapping[str, Any]) -> None:
    """Refuse what a model of silverprint says by itself.

    Raises InvalidParameterError: one of `given` is not None.
    """
    for name, value in given.items():
        if value is not None:
            raise InvalidParameterError(name, value, "nothing: silverprint's model says it")


def _about(
    source: Path,
    rule: PictureRule,
    metadata: ModelMetadata | None,
    adopted: Adopted,
    options: ExportOptions,
) -> dict[str, Any]:
    """What the file says beside the network."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return {
        "picture_rule": rule.to_json(),
        "metadata": (metadata or ModelMetadata()).to_dict(),
        "details": {"backbone": {"licence": adopted.licence, "sha256": digest}},
        "options": options,
    }


def _write(
    graph: onnx.ModelProto,
    target: Path,
    labels: list[str] | None,
    tensors: Sequence[npt.NDArray[np.float32]],
    about: Mapping[str, Any],
) -> PackageSummary:
    if labels is None:
        expected = Expected(outputs=tuple(value.name for value in graph.graph.output), **about)
    else:
        expected = Expected(labels=tuple(labels), **about)

    def proof(written: Path) -> Proof:
        return replace(prove(written, graph, tensors, expected=expected), path=str(target))

    if labels is None:
        return write_backbone(graph, target, prove=proof, **about)
    return write_classifier(graph, target, labels=labels, prove=proof, **about)


def checked_labels(labels: object) -> list[str]:
    """`labels` as a list of texts.

    Raises InvalidParameterError: they are anything else.
    """
    ordered = isinstance(labels, Iterable) and not isinstance(labels, str | bytes | Set | Mapping)
    try:
        found = list(labels) if ordered else []  # type: ignore[call-overload]
    except TypeError:
        found = []
    if not found or not all(isinstance(label, str) for label in found):
        raise InvalidParameterError("labels", labels, "a list of texts, in order")
    return found
