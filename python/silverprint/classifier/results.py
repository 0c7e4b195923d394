"""What training gives, as records and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from silverprint.classifier.evaluation import TrainedClassifier
from silverprint.data.duplicates import Duplicate
from silverprint.data.records import Records
from silverprint.model.compose import read_classifier
from silverprint.model.metrics import ClassifierMetrics, Mistake
from silverprint.training.store.files import FileReference, read_file


def result_values(trained: TrainedClassifier) -> dict[str, Any]:
    """What the model file does not hold, as JSON values."""

    def mistakes(metrics: ClassifierMetrics | None) -> list[dict[str, Any]]:
        return [asdict(one) for one in metrics.mistakes] if metrics else []

    shown = trained.validation_metrics
    return {
        "pictures": sum(trained.record.training["counts"].values()),
        "accuracy": shown and shown.accuracy,
        "accuracy_interval": shown and list(shown.accuracy_interval),
        "training_mistakes": mistakes(trained.training_metrics),
        "validation_mistakes": mistakes(trained.validation_metrics),
        "duplicates": [asdict(one) for one in trained.duplicates],
        "examples": list(trained.examples),
    }


def read_result(folder: Path, result: Mapping[str, Any]) -> TrainedClassifier:
    """The classifier of a finished run.

    Raises:
        CorruptSessionError: its model file is missing or damaged.
    """
    reference = FileReference(**result["files"]["model"])
    read_file(folder, reference)
    model, record = read_classifier(folder / reference.name)

    def whole(
        metrics: ClassifierMetrics | None, mistakes: list[dict[str, Any]]
    ) -> ClassifierMetrics | None:
        return metrics and replace(metrics, mistakes=Records(Mistake(**one) for one in mistakes))

    duplicates = Records(
        Duplicate(tuple(one["paths"]), tuple(one["labels"])) for one in result["duplicates"]
    )
    return TrainedClassifier(
        model,
        record,
        whole(record.training_metrics, result["training_mistakes"]),
        whole(record.validation_metrics, result["validation_mistakes"]),
        duplicates,
        tuple(result.get("examples", ())),
    )
