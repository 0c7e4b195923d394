"""Any model file back to what it was."""

from __future__ import annotations

from silverprint.classifier.classifier import ImageClassifier
from silverprint.data.source import StrPath


def load(path: StrPath) -> ImageClassifier:
    """The model that ``write`` saved as .onnx.

    Raises:
        InvalidDataError: the file is missing, damaged, or not written by silverprint.
    """
    return ImageClassifier.load(path)
