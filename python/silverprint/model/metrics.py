"""How good a classifier is on labelled pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint.data.records import Records
from silverprint.errors import InvalidParameterError
from silverprint.model.calibration import Confidence, wilson_interval

if TYPE_CHECKING:
    import pandas as pd

_LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Where log loss is cut: a probability of 0 would cost infinitely much."""


@dataclass(frozen=True)
class Mistake:
    """A picture whose answer is not its label; `probability` is the answer's."""

    path: str
    truth: str
    answer: str
    probability: float


@dataclass(frozen=True)
class ConfusionRow:
    """How often pictures of `true_label` were given the answer `predicted`."""

    true_label: str
    predicted: str
    count: int


@dataclass(frozen=True)
class PrecisionRecallRow:
    """One label's precision, recall and F1; NaN where it was never answered, or never true."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ClassifierMetrics:
    """Made by `ClassifierMetrics.measure`; models carry it without paths.

    Immutable: threads may share it.

    Attributes:
        labels: k labels.
        confusion_matrix: pictures by (true label, answer), k rows of k.
        rank_counts: by place of the true label among the answers, first place first, k numbers.
        confidence: answers by their probability.
        log_loss: mean of -log(probability of the true label), natural logarithm.
        mistakes: surest first. Empty in a model read from a file.
    """

    labels: tuple[str, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    rank_counts: tuple[int, ...]
    log_loss: float
    confidence: Confidence
    mistakes: Records[Mistake] = field(default=Records(), compare=False)

    @classmethod
    def measure(
        cls,
        labels: Sequence[str],
        truth: npt.NDArray[np.integer],
        probabilities: npt.NDArray[np.float32],
        paths: Iterable[object] = (),
    ) -> ClassifierMetrics:
        """Metrics of answers, each the most probable label (the first of equals).

        Args:
            labels: k labels.
            truth: index of each picture's label, shape (n,), n >= 1.
            probabilities: float32 (n, k).
            paths: n names for `mistakes`; without them there are none.
        """
        k, n = len(labels), len(truth)
        rows = np.arange(n)
        answers = probabilities.argmax(axis=1)
        own = probabilities[rows, truth]
        # A label ranks behind every label that would be answered before it.
        before = (probabilities > own[:, None]).sum(axis=1)
        ties = (probabilities == own[:, None]) & (np.arange(k) < np.asarray(truth)[:, None])
        matrix = np.zeros((k, k), np.int64)
        np.add.at(matrix, (truth, answers), 1)
        wrong = [
            Mistake(str(path), labels[t], labels[a], float(probabilities[i, a]))
            for i, (path, t, a) in enumerate(zip(paths, truth, answers, strict=False))
            if t != a
        ]
        return cls(
            tuple(labels),
            tuple(tuple(row) for row in matrix.tolist()),
            tuple(np.bincount(before + ties.sum(axis=1), minlength=k).tolist()),
            float(-np.log(np.maximum(own.astype(np.float64), _LEAST_PROBABILITY)).mean()),
            Confidence.measure(probabilities[rows, answers], answers == truth),
            Records(sorted(wrong, key=lambda m: (-m.probability, m.path))),
        )

    @cached_property
    def count(self) -> int:
        """Number of pictures."""
        return sum(self.rank_counts)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(row[i] for i, row in enumerate(self.confusion_matrix)) / self.count

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's 95 % confidence interval of the accuracy (Wilson 1927)."""
        return wilson_interval(self.accuracy, self.count)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: how far probabilities are from the share of right answers.

        The mean over the answers of that distance, in 15 equal parts of the probabilities
        (Naeini et al., AAAI 2015).
        """
        return self.confidence.error

    @property
    def classification_error(self) -> float:
        """1 - accuracy."""
        return 1.0 - self.accuracy

    def top_k(self, k: int) -> float:
        """Share of pictures whose label is among the k most probable.

        Raises:
            InvalidParameterError: k is not a number of labels.
        """
        if type(k) is not int or not 1 <= k <= len(self.labels):
            raise InvalidParameterError("k", k, f"a whole number from 1 to {len(self.labels)}")
        return sum(self.rank_counts[:k]) / self.count

    @property
    def confusion(self) -> Records[ConfusionRow]:
        """Every pair of true label and answer that occurred, most frequent mistakes first."""
        rows = [
            ConfusionRow(true, predicted, count)
            for true, counts in zip(self.labels, self.confusion_matrix, strict=True)
            for predicted, count in zip(self.labels, counts, strict=True)
            if count
        ]
        rows.sort(key=lambda row: (row.true_label == row.predicted, -row.count))
        return Records(rows)

    @property
    def precision_recall(self) -> Records[PrecisionRecallRow]:
        """Precision, recall, F1 and support of each label."""
        matrix = np.asarray(self.confusion_matrix, np.float64)
        hits, true, answered = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
        with np.errstate(invalid="ignore"):
            precision, recall, f1 = hits / answered, hits / true, 2 * hits / (true + answered)
        return Records(
            PrecisionRecallRow(label, float(p), float(r), float(f), int(s))
            for label, p, r, f, s in zip(self.labels, precision, recall, f1, true, strict=True)
        )

    def to_pandas(self) -> pd.DataFrame:
        """`precision_recall` as a DataFrame."""
        return self.precision_recall.to_pandas()

    def to_json(self) -> dict[str, Any]:
        """All but the mistakes, as JSON values."""
        return {
            "confusion_matrix": [list(row) for row in self.confusion_matrix],
            "rank_counts": list(self.rank_counts),
            "log_loss": self.log_loss,
            "confidence": self.confidence.to_json(),
        }

    @classmethod
    def from_json(cls, labels: Sequence[str], record: dict[str, Any]) -> ClassifierMetrics:
        """The metrics that `to_json` wrote.

        Raises:
            ValueError: they do not fit `labels`, or each other.
        """
        matrix = np.asarray(record["confusion_matrix"], np.int64)
        ranks = np.asarray(record["rank_counts"], np.int64)
        k = len(labels)
        if matrix.shape != (k, k) or ranks.shape != (k,) or not 0 < ranks.sum() == matrix.sum():
            raise ValueError("its metrics do not fit its labels; the file is damaged")
        return cls(
            tuple(labels),
            tuple(tuple(row) for row in matrix.tolist()),
            tuple(ranks.tolist()),
            float(record["log_loss"]),
            Confidence.from_json(record.get("confidence"), int(ranks.sum())),
        )

    def __repr__(self) -> str:
        low, high = self.accuracy_interval
        interval = f"95 % interval {low:.3f} to {high:.3f}"
        errors = f"log loss {self.log_loss:.3f}, calibration error {self.calibration_error:.3f}"
        lines = [f"accuracy {self.accuracy:.3f} ({interval}) on {self.count} pictures, {errors}"]
        worst = sorted(self.precision_recall, key=lambda row: (not row.recall <= 1, row.recall))
        width = max(len(row.label) for row in worst[:10])
        lines.append(f"{'label':<{width}}  precision  recall  pictures")
        lines += [
            f"{row.label:<{width}}  {row.precision:9.3f}  {row.recall:6.3f}  {row.support:8d}"
            for row in worst[:10]
        ]
        if len(worst) > 10:
            lines.append(f"... and {len(worst) - 10} labels with higher recall")
        return "\n".join(lines)
