"""What a classifier package says about itself: labels, picture rule, metadata, Swift."""

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
    LABEL,
    PICTURE_RULE,
    PREVIEW_TYPE,
    PROBABILITIES,
)

STANDARD = {
    "author": "author",
    "license": "license",
    "version": "versionString",
    "short_description": "shortDescription",
}
"""Metadata keys with a field of their own in Core ML, and that field."""

_CROP_AND_SCALE = {
    "center_crop": "centerCrop",
    "scale_fill": "scaleFill",
    "scale_fit": "scaleFit",
}
_MAX_SIDE = 1 << 14


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


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise ExportError unless keys and values are texts and no key is taken."""
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ExportError(f"metadata {key!r}: {value!r}, expected a text for a text")
        if key in (PREVIEW_TYPE, PICTURE_RULE) or key.startswith(COREMLTOOLS):
            raise ExportError(f"metadata key {key!r} is written by silverprint: choose another")
        if any("\ud800" <= letter <= "\udfff" for letter in key + value):
            raise ExportError(f"metadata {key!r} is not valid Unicode")


def rule_json(rule: Mapping[str, Any]) -> str:
    """The picture rule as it stands in the package. Raises ExportError if JSON cannot hold it."""
    try:
        return json.dumps(dict(rule), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExportError(f"the picture rule cannot be written as JSON: {error}") from error


def expected_user_defined(rule: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, str]:
    """All user-defined metadata of the package, but for the version of coremltools."""
    extras = {key: value for key, value in metadata.items() if key not in STANDARD}
    return {**extras, PREVIEW_TYPE: "imageClassifier", PICTURE_RULE: rule_json(rule)}


def describe(spec: Any, rule: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Fill in the descriptions and metadata of a Model protobuf, in place."""
    texts = {
        IMAGE: f"The picture: RGB, {rule['width']} x {rule['height']} pixels.",
        LABEL: "The most probable label.",
        PROBABILITIES: "The probability of each label.",
    }
    for feature in (*spec.description.input, *spec.description.output):
        feature.shortDescription = texts[feature.name]
    written = spec.description.metadata
    versions = {
        key: value for key, value in written.userDefined.items() if key == f"{COREMLTOOLS}version"
    }
    written.Clear()
    for key, field in STANDARD.items():
        setattr(written, field, metadata.get(key, ""))
    for key, value in {**versions, **expected_user_defined(rule, metadata)}.items():
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
