"""The names that a Core ML file is made of, as Create ML writes them."""

from __future__ import annotations

IMAGE = "image"
LABEL = "target"
PROBABILITIES = "targetProbability"

PREVIEW_TYPE = "com.apple.coreml.model.preview.type"
OURS = "silverprint."
"""Prefix of the metadata keys that silverprint writes."""

PICTURE_RULE = f"{OURS}picture_rule"
COREMLTOOLS = "com.github.apple.coremltools."
"""Prefix of the metadata keys that belong to coremltools."""
