"""Training an image classifier, as phases that do one unit of work at a time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.classifier.fitting import Fit, Problem, Rows, Search, final_fit
from silverprint.classifier.parameters import ModelParameters, MultilayerPerceptron
from silverprint.data.duplicates import Duplicate, duplicates_summary, find_duplicates
from silverprint.data.records import Records
from silverprint.data.source import DataSource
from silverprint.data.splits import Split, held_out
from silverprint.errors import InvalidDataError
from silverprint.features.extraction import (
    FeatureBlock,
    FloatMatrix,
    check_failures,
    extract_blocks,
    summarise_failures,
)
from silverprint.model.calibration import fit_temperature, tempered
from silverprint.model.compose import ClassifierRecord, compose
from silverprint.model.metadata import ModelMetadata
from silverprint.model.metrics import ClassifierMetrics
from silverprint.training.progress import Phase

_log = logging.getLogger("silverprint")

BLOCK_SIZE = 256
DEFAULT_MAX_UNREADABLE = 0.05


@dataclass(frozen=True)
class TrainedClassifier:
    """What training gives: the composed model, its record, and what a file does not hold."""

    model: bytes
    record: ClassifierRecord
    training_metrics: ClassifierMetrics | None
    validation_metrics: ClassifierMetrics | None
    duplicates: Records[Duplicate]


@dataclass
class _Features:
    """Features of a data source, as they come in."""

    source: DataSource
    matrix: npt.NDArray[np.float32]  # (pictures, 1 + views, d)
    filled: int = 0
    positions: list[int] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    paths: list[object] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    failures: list[tuple[str, InvalidDataError]] = field(default_factory=list)

    def add(self, block: FeatureBlock, index_of: dict[str, int]) -> None:
        new = self.matrix[self.filled : self.filled + len(block.features)]
        new[:, 0] = block.features
        new[:, 1:] = block.views
        self.filled += len(block.features)
        self.digests += block.digests
        self.positions += block.positions.tolist()
        for position in block.positions.tolist():
            path, label = self.source.items[position]
            self.paths.append(path)
            self.truth.append(index_of[label])
        self.failures += [(self.source.items[i][1], error) for i, error in block.failures]

    @property
    def rows(self) -> FloatMatrix:
        """float32 (pictures * (1 + views), d)."""
        found = self.matrix[: self.filled]
        return found.reshape(-1, found.shape[-1])


class ClassifierProgram:
    """See `silverprint.training.program.Program`."""

    def __init__(
        self,
        data: DataSource,
        parameters: ModelParameters,
        *,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> None:
        if isinstance(parameters.validation, Split) and parameters.validation.group_by is not None:
            data = data.grouped(parameters.validation.group_by)
        data.require_labels()
        parameters.classifier.weights_of(data.labels, np.asarray(list(data.counts.values())))
        self._data = data
        self._parameters = parameters
        self._threads = threads
        self._max_unreadable = max_unreadable
        self._index_of = {label: i for i, label in enumerate(data.labels)}
        self._validation_data = check_labels(parameters.validation, data.labels)
        self._sources = [data] + ([self._validation_data] if self._validation_data else [])
        self._features: list[_Features] = []
        self._blocks: Iterator[FeatureBlock] | None = None
        self._search: Search | None = None
        self._fit: Fit | None = None
        self._trained: TrainedClassifier | None = None
        self._read = 0
        self._iterations = 0
        self.phase = Phase.INITIALIZED
        self.metrics: dict[str, float] = {}

    @property
    def item_count(self) -> int:
        if self.phase is Phase.EXTRACTING_FEATURES:
            return self._read
        return self._search.done if self._search and self.phase is Phase.TRAINING else 0

    @property
    def total_item_count(self) -> int | None:
        if self.phase is Phase.EXTRACTING_FEATURES:
            return sum(map(len, self._sources))
        return self._search.total + 1 if self._search and self.phase is Phase.TRAINING else None

    def advance(self, cancel: _core.runtime.CancelToken) -> None:
        if self.phase is Phase.INITIALIZED:
            # Looked up here, so that a broken installation shows before anything is read.
            dimension = self._parameters.extractor.function.dimension
            if isinstance(self._parameters.classifier, MultilayerPerceptron):
                self._parameters.classifier.check_size(dimension, len(self._data.labels))
            self.phase = Phase.EXTRACTING_FEATURES
        elif self.phase is Phase.EXTRACTING_FEATURES:
            self._extract(cancel)
        elif self.phase is Phase.TRAINING:
            self._train(cancel)
        elif self.phase is Phase.EVALUATING:
            self._evaluate()
            self.phase = Phase.DONE

    def result(self) -> TrainedClassifier:
        assert self._trained is not None
        return self._trained

    def close(self) -> None:
        if self._blocks is not None:
            self._blocks.close()  # type: ignore[attr-defined]
            self._blocks = None

    def _extract(self, cancel: _core.runtime.CancelToken) -> None:
        """One block of pictures."""
        if self._blocks is None:
            source = self._sources[len(self._features)]
            function = self._parameters.extractor.function
            read_before = self._read
            # Views are for training only.
            views = self._parameters.views if source is self._data else ()
            matrix = np.empty((len(source), 1 + len(views), function.dimension), np.float32)
            self._features.append(_Features(source, matrix))

            def progress(done: int, total: int) -> None:
                self._read = read_before + done

            self._blocks = extract_blocks(
                [path for path, _ in source.items],
                function,
                block_size=BLOCK_SIZE,
                threads=self._threads,
                progress=progress,
                cancel=cancel,
                digests=True,
                views=views,
                seed=self._parameters.seed,
            )
        features = self._features[-1]
        block = next(self._blocks, None)
        if block is not None:
            features.add(block, self._index_of)
            return
        self._blocks = None
        check_failures(
            features.failures,
            Counter(label for _, label in features.source.items),
            origin=features.source.origin,
            max_unreadable=self._max_unreadable,
        )
        if features.failures:
            causes = summarise_failures([error for _, error in features.failures])
            _log.warning("%d pictures left out: %s", len(features.failures), causes)
        if len(self._features) == len(self._sources):
            self._warn_of_shared_pictures()
            self._prepare_training()
            self.phase = Phase.TRAINING

    def _warn_of_shared_pictures(self) -> None:
        """Say so where validation measures memory."""
        if self._validation_data is not None:
            trained_on = set(self._features[0].digests)
            shared = sum(digest in trained_on for digest in self._features[1].digests)
            if shared:
                _log.warning("%d pictures of the validation data are trained on, too", shared)

    def _prepare_training(self) -> None:
        features, parameters = self._features[0], self._parameters
        groups = self._data.groups
        if groups is not None:
            groups = tuple(groups[i] for i in features.positions)
        self._duplicates = find_duplicates(
            [self._data.items[i] for i in features.positions], features.digests
        )
        if self._duplicates:
            _log.warning("%s", duplicates_summary(self._duplicates))
        self._problem = Problem(
            features.rows,
            len(parameters.views),
            np.asarray(features.truth, np.int32),
            features.digests,
            groups,
            self._data.labels,
            parameters.classifier,
            parameters.max_iterations,
            parameters.seed,
        )
        every: Rows = np.arange(features.filled)
        self._train_rows, self._held_rows = every, every[:0]
        if isinstance(parameters.validation, Split):
            split = parameters.validation
            held = held_out(features.digests, self._problem.truth, split.ratio, split.seed, groups)
            self._train_rows, self._held_rows = every[~held], every[held]
        needs_answers = parameters.validation == "automatic"
        if needs_answers or parameters.classifier.l2 == "auto":
            self._search = Search(self._problem, self._train_rows)
        unseen = self._search.held_out if needs_answers and self._search else self._held_rows
        asked = needs_answers or isinstance(parameters.validation, Split)
        if asked and groups is not None and not len(unseen):
            raise InvalidDataError(
                self._data.origin,
                "the pictures of each label are one group, so none can be held out; group by "
                "something finer, or pass validation=None",
            )

    def _train(self, cancel: _core.runtime.CancelToken) -> None:
        """One solver iteration."""
        if self._search is not None and self._search.step(cancel):
            return
        if self._fit is None:
            given = self._parameters.classifier.l2
            l2 = self._search.l2 if given == "auto" and self._search else given
            self._l2 = float(l2)
            self._fit = final_fit(self._problem, self._train_rows, self._l2)
        if not self._fit.step(cancel):
            if self._fit.stopped_early:
                _log.warning(
                    "stopped after max_iterations=%s before the solver converged",
                    self._parameters.max_iterations,
                )
            self.phase = Phase.EVALUATING

    def _evaluate(self) -> None:
        assert self._fit is not None
        features, problem = self._features[0], self._problem
        temperature = self._temperature()
        rows = self._train_rows
        training = ClassifierMetrics.measure(
            problem.labels,
            problem.truth[rows],
            tempered(self._fit.probabilities(problem.own_features(rows)), temperature),
            [features.paths[i] for i in rows],
        )
        validation = self._validate(temperature)
        record = self._record(temperature, training, validation)
        self.metrics["training_accuracy"] = training.accuracy
        if validation is not None:
            self.metrics["validation_accuracy"] = validation.accuracy
        head = self._fit.head(temperature)
        model = compose(self._parameters.extractor.backbone.graph, head, record)
        self._trained = TrainedClassifier(model, record, training, validation, self._duplicates)

    def _temperature(self) -> float:
        """Fitted on answers of heads that had not seen the pictures; 1 where there are none."""
        if self._search is None:
            return 1.0
        rows = self._search.held_out
        return fit_temperature(self._search.answers[rows], self._problem.truth[rows])

    def _record(
        self, temperature: float, training: ClassifierMetrics, validation: ClassifierMetrics | None
    ) -> ClassifierRecord:
        assert self._fit is not None
        problem, parameters = self._problem, self._parameters
        counts = Counter(problem.labels[i] for i in problem.truth[self._train_rows].tolist())
        head = {
            "kind": "logistic_regression",
            "l2": self._l2,
            "iterations": self._fit.iterations,
            "converged": self._fit.converged,
            "constant_features": self._fit.constant_features,
            "temperature": temperature,
        }
        if isinstance(parameters.classifier, MultilayerPerceptron):
            sizes = list(parameters.classifier.layer_sizes)
            head |= {"kind": "multilayer_perceptron", "layer_sizes": sizes}
        return ClassifierRecord(
            labels=problem.labels,
            rule=parameters.extractor.rule,
            extractor=parameters.extractor.backbone.record,
            head=head,
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

    def _validate(self, temperature: float) -> ClassifierMetrics | None:
        assert self._fit is not None
        problem, features = self._problem, self._features[0]
        if self._parameters.validation is None:
            return None
        if self._validation_data is not None:
            other = self._features[1]
            answers = tempered(self._fit.probabilities(other.rows), temperature)
            truth = np.asarray(other.truth, np.int32)
            return ClassifierMetrics.measure(problem.labels, truth, answers, other.paths)
        if isinstance(self._parameters.validation, Split):
            rows = self._held_rows
            answers = self._fit.probabilities(problem.own_features(rows))
        else:
            assert self._search is not None
            rows = self._search.held_out
            answers = self._search.answers[rows]
        if not len(rows):
            _log.warning("no validation: every label has a single picture")
            return None
        paths = [features.paths[i] for i in rows]
        answers = tempered(answers, temperature)
        return ClassifierMetrics.measure(problem.labels, problem.truth[rows], answers, paths)


def check_labels(data: object, labels: tuple[str, ...]) -> DataSource | None:
    """`data` if it is a data source.

    Raises:
        InvalidDataError: it has labels that are not among `labels`.
    """
    if not isinstance(data, DataSource):
        return None
    unknown = sorted(set(data.labels) - set(labels))
    if unknown:
        shown = ", ".join(map(repr, unknown[:10]))
        raise InvalidDataError(
            data.origin, f"labels that the model does not know: {shown}; it knows {list(labels)}"
        )
    return data


def _validation_name(validation: object) -> str:
    if isinstance(validation, Split):
        return f"split {validation.ratio:g}"
    return "data" if isinstance(validation, DataSource) else str(validation).lower()
