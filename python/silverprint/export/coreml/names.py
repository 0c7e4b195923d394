"""The names that a classifier package is made of, as Create ML writes them."""

from __future__ import annotations

IMAGE = "image"
LABEL = "target"
PROBABILITIES = "targetProbability"
INDEX = "target_index"
"""Output of the ONNX graph only: Core ML gives the label itself."""

PREVIEW_TYPE = "com.apple.coreml.model.preview.type"
PICTURE_RULE = "silverprint.picture_rule"
COREMLTOOLS = "com.github.apple.coremltools."
"""Prefix of the metadata keys that belong to coremltools."""
