"""From a fitted head to a model and what is known of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from silverprint.classifier.fit import Fit
from silverprint.classifier.head_training import HeadTraining
from silverprint.classifier.parameters import ModelParameters
from silverprint.classifier.problem import Problem, Rows
from silverprint.data.duplicates import Duplicate
from silverprint.data.records import Records
from silverprint.data.source import DataSource
from silverprint.data.splits import Split
from silverprint.features.extraction import FloatMatrix
from silverprint.model.calibration import fit_temperature, tempered
from silverprint.model.compose import ClassifierRecord, Head, compose
from silverprint.model.metadata import ModelMetadata
from silverprint.model.metrics import ClassifierMetrics

_log = logging.getLogger("silverprint")

EXAMPLES = 16


@dataclass(frozen=True)
class TrainedClassifier:
    """What training gives: the composed model, its record, and what a file does not hold.

    `examples` are a few pictures of the training set, to try the model on.
    """

    model: bytes
    record: ClassifierRecord
    training_metrics: ClassifierMetrics | None
    validation_metrics: ClassifierMetrics | None
    duplicates: Records[Duplicate]
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class OtherPictures:
    """Validation pictures that are no part of the problem.

    Attributes:
        features: float32 (m, d).
        truth: int32 (m,).
        paths: m, for mistakes.
    """

    features: FloatMatrix
    truth: npt.NDArray[np.int32]
    paths: Sequence[object]


def evaluate(
    training: HeadTraining,
    parameters: ModelParameters,
    paths: Sequence[object],
    other: OtherPictures | None,
    duplicates: Records[Duplicate],
) -> TrainedClassifier:
    """Measure the finished head, on pictures it has not seen, too, and compose the model.

    Args:
        paths: of the pictures of the problem, for mistakes.
        other: what to validate on, where that is a data source of its own.
    """
    problem, fit, rows = training.problem, training.fit, training.train_rows
    temperature = _temperature(training)
    on_training = ClassifierMetrics.measure(
        problem.labels,
        problem.truth[rows],
        tempered(fit.probabilities(problem.own_features(rows)), temperature),
        [paths[i] for i in rows],
    )
    if parameters.validation is None:
        validation = None
    elif other is not None:
        answers = tempered(fit.probabilities(other.features), temperature)
        validation = ClassifierMetrics.measure(problem.labels, other.truth, answers, other.paths)
    elif len(training.answered_rows):
        held = training.answered_rows
        answers = tempered(training.answers, temperature)
        truth = problem.truth[held]
        validation = ClassifierMetrics.measure(
            problem.labels, truth, answers, [paths[i] for i in held]
        )
    else:
        _log.warning("no validation: every label has a single picture")
        validation = None
    record = _record(problem, parameters, rows, fit, temperature, on_training, validation)
    model = compose(parameters.extractor.backbone.graph, fit.head(temperature), record)
    examples = _examples(problem.truth[rows], [str(paths[i]) for i in rows])
    return TrainedClassifier(model, record, on_training, validation, duplicates, examples)


def from_snapshot(
    training: HeadTraining, parameters: ModelParameters
) -> tuple[Head, ClassifierRecord] | None:
    """The head in progress and the record of the model that it would make; see `snapshot`."""
    found = training.snapshot()
    if found is None:
        return None
    head, fit, metrics = found
    record = _record(
        training.problem, parameters, training.train_rows, fit, head.temperature, None, metrics
    )
    return head, record


def _examples(truth: npt.NDArray[np.int32], paths: Sequence[str]) -> tuple[str, ...]:
    """Evenly from the pictures in the order of their labels."""
    order = np.argsort(truth, kind="stable")
    count = min(EXAMPLES, len(order))
    return tuple(paths[order[(2 * i + 1) * len(order) // (2 * count)]] for i in range(count))


def _temperature(training: HeadTraining) -> float:
    """Fitted on answers of heads that had not seen the pictures; 1 where there are none."""
    if training.unseen is None:
        return 1.0
    rows, answers = training.unseen
    return fit_temperature(answers, training.problem.truth[rows])


def _record(
    problem: Problem,
    parameters: ModelParameters,
    rows: Rows,
    fit: Fit,
    temperature: float,
    training: ClassifierMetrics | None,
    validation: ClassifierMetrics | None,
) -> ClassifierRecord:
    counts = Counter(problem.labels[i] for i in problem.truth[rows].tolist())
    return ClassifierRecord(
        labels=problem.labels,
        rule=parameters.extractor.rule,
        extractor=parameters.extractor.backbone.record,
        head=fit.settings(temperature),
        training={
            "counts": dict(sorted(counts.items())),
            "seed": parameters.seed,
            "validation": _validation_name(parameters.validation),
            "augmentation": list(parameters.augmentation),
        },
        training_metrics=training,
        validation_metrics=validation,
        metadata=ModelMetadata(),
    )


def _validation_name(validation: object) -> str:
    if isinstance(validation, Split):
        return f"split {validation.ratio:g}"
    return "data" if isinstance(validation, DataSource) else str(validation).lower()
