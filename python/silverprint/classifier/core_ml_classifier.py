"""A Core ML file that answers as it would on a device, anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.classifier.answering import AnsweringClassifier
from silverprint.data.mapping import StrPath, as_path
from silverprint.data.records import Records
from silverprint.data.rule import PictureRule
from silverprint.errors import ExportError, InvalidDataError
from silverprint.export.coreml.damage import told
from silverprint.export.coreml.execute import prepare
from silverprint.export.coreml.proof.description import labels_of
from silverprint.export.coreml.reader import SavedModel, read_model
from silverprint.features.augmentation import SeededView
from silverprint.features.extraction import FloatMatrix
from silverprint.features.once import once
from silverprint.model.compose import ClassifierRecord
from silverprint.model.metadata import RECORD_KEY


class CoreMLFunction:
    """The probabilities of a Core ML classifier, picture by picture; safe to call from threads."""

    def __init__(self, saved: SavedModel, record: ClassifierRecord) -> None:
        description = saved.spec.description
        self._path = saved.path
        self.rule: PictureRule = record.rule
        self.dimension = len(record.labels)
        self.dtype = np.dtype(np.float32)
        self._labels = record.labels
        self._image = description.input[0].name
        self._probabilities = description.predictedProbabilitiesName
        self._run = prepare(saved, rounding="float16")

    def run(
        self, pixels: npt.NDArray[np.uint8], cancel: _core.runtime.CancelToken
    ) -> npt.NDArray[np.float32]:
        """float32 (labels,), for uint8 RGB pixels (height, width, 3)."""
        rule = self.rule
        tensor = _core.image.prepare(pixels, rule.height, rule.width, rule.crop_and_scale)
        with told(self._path):
            found = self._run({self._image: tensor[None]})[self._probabilities]
            return np.asarray([found[label] for label in self._labels], np.float32)

    def run_views(
        self,
        pixels: npt.NDArray[np.uint8],
        cancel: _core.runtime.CancelToken,
        views: Sequence[SeededView],
    ) -> FloatMatrix:
        """Of the picture alone: answering makes no views."""
        return self.run(pixels, cancel)[None]


class CoreMLClassifier(AnsweringClassifier):
    """A classifier read from an ``.mlpackage`` or ``.mlmodel`` that silverprint wrote.

    It is computed from the file alone, by silverprint's own executor, with float16 where the file
    has it: slower than `ImageClassifier`, and what a device computes but for its own rounding.
    Immutable: threads may share it.
    """

    def __init__(self, path: StrPath) -> None:
        """Read the file.

        Raises:
            InvalidDataError: it is missing, damaged, or no classifier written by silverprint, or
                coremltools is not installed.
            InvalidParameterError: `path` is no path.
        """
        try:
            self._saved = read_model(as_path(path))
        except ExportError as error:
            raise _invalid(path, error) from error
        texts = self._saved.spec.description.metadata.userDefined
        if RECORD_KEY not in texts:
            raise InvalidDataError(path, "not a classifier written by silverprint")
        try:
            self.record = ClassifierRecord.from_json(texts[RECORD_KEY])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidDataError(path, f"its record cannot be read: {error}") from error
        try:
            with told(self._saved.path):
                labels = labels_of(self._saved.spec)
        except ExportError as error:
            raise _invalid(path, error) from error
        if len(self._saved.spec.description.input) != 1 or labels != list(self.record.labels):
            raise InvalidDataError(path, "its labels or inputs are not what its record says")
        self.training_metrics = self.record.training_metrics
        self.validation_metrics = self.record.validation_metrics
        self.duplicates = Records()

    @once
    def _function(self) -> Any:
        try:
            with told(self._saved.path):
                return CoreMLFunction(self._saved, self.record)
        except ExportError as error:
            raise _invalid(self._saved.path, error) from error


def _invalid(path: StrPath, error: ExportError) -> InvalidDataError:
    return InvalidDataError(path, str(error).removeprefix(str(as_path(path))).lstrip(": "))
