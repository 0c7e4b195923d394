"""Any model file back to what answers."""

from __future__ import annotations

from silverprint.classifier.answering import AnsweringClassifier
from silverprint.classifier.classifier import ImageClassifier
from silverprint.data.mapping import StrPath, as_path
from silverprint.model.endings import CORE_ML


def load(path: StrPath) -> AnsweringClassifier:
    """The model that ``write`` saved: an `ImageClassifier` of an .onnx file.

    Of a Core ML file it is a `CoreMLClassifier`, which answers and is evaluated alike.

    Raises:
        InvalidDataError: the file is missing, damaged, or not written by silverprint; or it is a
            Core ML file and coremltools is not installed.
    """
    if as_path(path).suffix.lower() in CORE_ML:
        from silverprint.classifier.core_ml_classifier import CoreMLClassifier

        return CoreMLClassifier(path)
    return ImageClassifier.load(path)
