"""What a Core ML file says about itself: labels, picture rule, metadata, Swift."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from silverprint.errors import ExportError, nearest
from silverprint.export.coreml.names import (
    COREMLTOOLS,
    IMAGE,
    OURS,
    PICTURE_RULE,
    PREVIEW_TYPE,
)

STANDARD = {
    "author": "author",
    "license": "license",
    "version": "versionString",
    "short_description": "shortDescription",
}
"""Metadata keys with a field of their own in Core ML, and that field."""

Details = Mapping[str, Mapping[str, Any]]
"""Records that stand in the file as JSON: ``training`` as ``silverprint.training``."""

_CROP_AND_SCALE = {
    "center_crop": "centerCrop",
    "scale_fill": "scaleFill",
    "scale_fit": "scaleFit",
}
_MAX_SIDE = 1 << 14
_KEY = re.compile(r"[a-z][a-z_]*")


def check_labels(labels: Sequence[str]) -> None:
    """Raise ExportError unless every label is a text of its own.

    Swift compares texts by canonical equivalence, so that two spellings of one accented letter
    are one key of ``targetProbability``: labels must differ in that sense too.
    """
    if not labels:
        raise ExportError("a classifier needs labels")
    seen: dict[str, int] = {}
    for place, label in enumerate(labels):
        if not isinstance(label, str):
            raise ExportError(f"label {place} is {label!r}: labels are texts")
        if any("\ud800" <= letter <= "\udfff" for letter in label):
            raise ExportError(f"label {place} ({label!r}) is not valid Unicode: rename it")
        first = seen.setdefault(unicodedata.normalize("NFC", label), place)
        if first != place:
            raise ExportError(
                f"labels {first} ({labels[first]!r}) and {place} ({label!r}) are one and the "
                "same to Swift: rename one of them"
            )


def check_rule(rule: Mapping[str, Any]) -> None:
    """Raise ExportError unless `rule` has height, width, crop_and_scale and version."""
    missing = [key for key in ("height", "width", "crop_and_scale", "version") if key not in rule]
    if missing:
        raise ExportError(f"the picture rule lacks {', '.join(missing)}")
    for key in ("height", "width"):
        side = rule[key]
        if isinstance(side, bool) or not isinstance(side, int) or not 1 <= side <= _MAX_SIDE:
            raise ExportError(f"picture rule: {key}={side!r}, expected 1 to {_MAX_SIDE} pixels")
    crop = rule["crop_and_scale"]
    if crop not in _CROP_AND_SCALE:
        hint = nearest(crop, _CROP_AND_SCALE)
        raise ExportError(
            f"picture rule: crop_and_scale={crop!r}, expected {', '.join(_CROP_AND_SCALE)}{hint}"
        )
    _as_json("the picture rule", rule)


def check_metadata(metadata: Mapping[str, str], details: Details) -> None:
    """Raise ExportError unless keys and values are texts, no key is taken, `details` are JSON."""
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ExportError(f"metadata {key!r}: {value!r}, expected a text for a text")
        if key == PREVIEW_TYPE or key.startswith((OURS, COREMLTOOLS)):
            raise ExportError(f"metadata key {key!r} is written by silverprint: choose another")
        if any("\ud800" <= letter <= "\udfff" for letter in key + value):
            raise ExportError(f"metadata {key!r} is not valid Unicode")
    for key, record in details.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key) or OURS + key == PICTURE_RULE:
            raise ExportError(f"details: the name {key!r} is taken or not of small letters and _")
        _as_json(f"details: {key}", record)


def _as_json(what: str, record: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(record), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExportError(f"{what} cannot be written as JSON: {error}") from error


def _user_defined(
    rule: Mapping[str, Any], metadata: Mapping[str, str], details: Details, *, classifier: bool
) -> dict[str, str]:
    """All user-defined metadata of a file, but for the version of coremltools."""
    texts = {key: value for key, value in metadata.items() if key not in STANDARD}
    texts |= {OURS + key: _as_json(key, record) for key, record in details.items()}
    texts[PICTURE_RULE] = _as_json("the picture rule", rule)
    if classifier:
        texts[PREVIEW_TYPE] = "imageClassifier"
    return texts


def describe(
    spec: Any, rule: Mapping[str, Any], metadata: Mapping[str, str], details: Details
) -> None:
    """Fill in the descriptions and metadata of a Model protobuf, in place."""
    import coremltools

    description = spec.description
    label, probabilities = description.predictedFeatureName, description.predictedProbabilitiesName
    texts = {
        IMAGE: f"The picture: {rule['width']} x {rule['height']} pixels, in colour.",
        label: "The most probable label.",
        probabilities: "The probability of each label.",
    }
    for feature in (*description.input, *description.output):
        shape = " x ".join(str(side) for side in feature.type.multiArrayType.shape)
        feature.shortDescription = texts.get(feature.name, f"Features of the picture: {shape}.")
    written = description.metadata
    written.Clear()
    for key, field in STANDARD.items():
        setattr(written, field, metadata.get(key, ""))
    texts = _user_defined(rule, metadata, details, classifier=bool(label))
    texts[f"{COREMLTOOLS}version"] = coremltools.__version__
    for key, value in texts.items():
        written.userDefined[key] = value


def swift_lines(stem: str, rule: Mapping[str, Any]) -> str:
    """The Swift that gives Vision the crop and scale of the picture rule.

    Xcode names the class after the file, every letter that Swift does not allow replaced by
    ``_``.
    """
    name = re.sub(r"\W", "_", stem)
    name = f"_{name}" if name[:1].isdigit() else name
    return (
        f"let model = try VNCoreMLModel(for: {name}(configuration: MLModelConfiguration()).model)\n"
        "let request = VNCoreMLRequest(model: model)\n"
        f"request.imageCropAndScaleOption = .{_CROP_AND_SCALE[rule['crop_and_scale']]}"
    )
