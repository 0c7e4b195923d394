"""How good an object detector is on pictures with known boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint import _core
from silverprint.data.records import Records
from silverprint.errors import InvalidParameterError
from silverprint.model.detection_results import (
    BoxColumns,
    FoundBoxes,
    PictureResult,
    TrueBoxes,
    picture_results,
)

if TYPE_CHECKING:
    import pandas as pd

_RECALLS = 101
_REPR_LABELS = 10


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's average precision, from 0 to 1; NaN without true boxes.

    `iou50`: a found box is right if its IoU with a true one is at least 0.50. `varied_iou`: the
    mean over the least IoU 0.50, 0.55, ..., 0.95.
    """

    iou50: float
    varied_iou: float


@dataclass(frozen=True)
class PrecisionRecallPoint:
    """Boxes of at least `confidence` have this recall; precision at this recall or a higher one."""

    recall: float
    precision: float
    confidence: float


@dataclass(frozen=True)
class AveragePrecisionRow:
    """One label's average precision, and how many true boxes it has."""

    label: str
    iou50: float
    varied_iou: float
    boxes: int


@dataclass(frozen=True)
class ObjectDetectorMetrics:
    """Made by `ObjectDetectorMetrics.measure`; models carry it without the pictures' results.

    Average precision is that of COCO's evaluation (Lin et al., ECCV 2014), number for number as
    pycocotools computes it: boxes of all sizes, at most 100 found per picture and label.
    Immutable: threads may share it.

    Attributes:
        labels: k labels.
        picture_count: number of pictures.
        box_counts: true boxes of each label, crowds not counted.
        averages: of each label; None where it has no true box.
        curves: of each label, at IoU 0.50, the recalls 0, 0.01, ..., 1 that were reached.
        per_picture: at IoU 0.50, in the order of the pictures. Empty in a model read from a file.
    """

    labels: tuple[str, ...]
    picture_count: int
    box_counts: tuple[int, ...]
    averages: tuple[AveragePrecision | None, ...]
    curves: tuple[Records[PrecisionRecallPoint], ...]
    per_picture: Records[PictureResult] = field(default=Records(), compare=False)

    @classmethod
    def measure(
        cls,
        labels: Sequence[str],
        truth: Sequence[TrueBoxes],
        found: Sequence[FoundBoxes],
        paths: Iterable[object] = (),
        confidence_threshold: float = 0.25,
    ) -> ObjectDetectorMetrics:
        """Metrics of what was found in n pictures.

        Args:
            labels: k labels.
            truth: of each picture.
            found: of each picture, with low scores too: average precision is over all thresholds.
            paths: n names for `per_picture`; without them it is empty.
            confidence_threshold: found boxes of lower scores are left out of `per_picture`.

        Raises:
            ValueError: shapes or labels that do not fit, boxes or scores that are not finite.
        """
        true, given = BoxColumns.of(truth), BoxColumns.of(found)
        measured = _core.detect.average_precision(
            given.counts,
            given.boxes,
            given.labels,
            given.values,
            true.counts,
            true.boxes,
            true.labels,
            true.values.astype(np.uint8),
            len(labels),
        )
        counts = measured["counts"].tolist()
        averages = [
            AveragePrecision(float(row[0]), float(row.mean())) if count else None
            for row, count in zip(measured["average"], counts, strict=True)
        ]
        curves = map(_curve, measured["precision"].tolist(), measured["scores"].tolist())
        return cls(
            tuple(labels),
            len(truth),
            tuple(counts),
            tuple(averages),
            tuple(curves),
            picture_results(labels, true, given, measured["matches"], paths, confidence_threshold),
        )

    @property
    def average_precision(self) -> dict[str, AveragePrecision]:
        """Of each label, `.iou50` and `.varied_iou`; NaN where it has no true box."""
        absent = AveragePrecision(math.nan, math.nan)
        return {
            label: average or absent
            for label, average in zip(self.labels, self.averages, strict=True)
        }

    @property
    def mean_average_precision(self) -> AveragePrecision:
        """The mean over the labels that have true boxes: mAP50 and mAP."""
        known = [average for average in self.averages if average is not None]
        if not known:
            return AveragePrecision(math.nan, math.nan)
        return AveragePrecision(
            float(np.mean([average.iou50 for average in known])),
            float(np.mean([average.varied_iou for average in known])),
        )

    def precision_recall(self, label: str) -> Records[PrecisionRecallPoint]:
        """The curve of one label at IoU 0.50, recall rising; empty without true boxes.

        Raises:
            InvalidParameterError: no such label.
        """
        if label not in self.labels:
            raise InvalidParameterError("label", label, f"one of {', '.join(self.labels)}")
        return self.curves[self.labels.index(label)]

    def to_pandas(self) -> pd.DataFrame:
        """Average precision and number of boxes of each label as a DataFrame."""
        return Records(self._rows()).to_pandas()

    def to_json(self) -> dict[str, Any]:
        """All but the pictures' results, as JSON values."""
        return {
            "picture_count": self.picture_count,
            "classes": [
                {
                    "boxes": count,
                    "average_precision": average and [average.iou50, average.varied_iou],
                    "precision": [point.precision for point in curve],
                    "confidence": [point.confidence for point in curve],
                }
                for count, average, curve in zip(
                    self.box_counts, self.averages, self.curves, strict=True
                )
            ],
        }

    @classmethod
    def from_json(cls, labels: Sequence[str], record: dict[str, Any]) -> ObjectDetectorMetrics:
        """The metrics that `to_json` wrote.

        Raises:
            ValueError: they do not fit `labels`, or each other.
        """
        counts, averages, curves = [], [], []
        for entry in record["classes"]:
            pair, precision = entry["average_precision"], entry["precision"]
            if (
                (pair is None) != (entry["boxes"] == 0)
                or len(precision) != len(entry["confidence"])
                or len(precision) > (_RECALLS if pair else 0)
            ):
                raise ValueError("its metrics do not fit each other; the file is damaged")
            counts.append(int(entry["boxes"]))
            averages.append(AveragePrecision(float(pair[0]), float(pair[1])) if pair else None)
            curves.append(_curve(precision, entry["confidence"]))
        if len(counts) != len(labels):
            raise ValueError("its metrics do not fit its labels; the file is damaged")
        return cls(
            tuple(labels),
            int(record["picture_count"]),
            tuple(counts),
            tuple(averages),
            tuple(curves),
        )

    def __repr__(self) -> str:
        mean = self.mean_average_precision
        counts = f"{self.picture_count} pictures with {sum(self.box_counts)} boxes"
        averages = f"{mean.iou50:.3f} at IoU 0.50, {mean.varied_iou:.3f} at 0.50 to 0.95"
        lines = [f"mean average precision {averages}, on {counts}"]
        worst = sorted(self._rows(), key=lambda row: (not row.iou50 <= 1, row.iou50))
        shown = worst[:_REPR_LABELS]
        width = max([len("label"), *(len(row.label) for row in shown)])
        lines.append(f"{'label':<{width}}   iou50  varied_iou    boxes")
        lines += [
            f"{row.label:<{width}}  {row.iou50:6.3f}  {row.varied_iou:10.3f}  {row.boxes:7d}"
            for row in shown
        ]
        if len(worst) > _REPR_LABELS:
            lines.append(f"... and {len(worst) - _REPR_LABELS} labels with higher iou50")
        return "\n".join(lines)

    def _rows(self) -> list[AveragePrecisionRow]:
        return [
            AveragePrecisionRow(label, average.iou50, average.varied_iou, count)
            for (label, average), count in zip(
                self.average_precision.items(), self.box_counts, strict=True
            )
        ]


def _curve(
    precision: Iterable[float], confidence: Iterable[float]
) -> Records[PrecisionRecallPoint]:
    """Of the recalls 0, 0.01, ...; confidence is NaN where one is not reached."""
    return Records(
        PrecisionRecallPoint(i / (_RECALLS - 1), float(p), float(c))
        for i, (p, c) in enumerate(zip(precision, confidence, strict=True))
        if not math.isnan(c)
    )
