"""Training an image classifier, as phases that do one unit of work at a time.

Starting is going on from nothing: a program that finds its work done on disk skips it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from silverprint import _core
from silverprint.classifier.evaluation import (
    OtherPictures,
    TrainedClassifier,
    evaluate,
    from_snapshot,
)
from silverprint.classifier.extraction import (
    DEFAULT_MAX_UNREADABLE,
    TRAINING_PART,
    VALIDATION_PART,
    Extraction,
    grouped,
    sources,
)
from silverprint.classifier.head_training import HeadTraining, head_state
from silverprint.classifier.parameters import ModelParameters, MultilayerPerceptron
from silverprint.classifier.problem import Problem
from silverprint.classifier.results import result_values
from silverprint.data.duplicates import duplicates_summary, find_duplicates
from silverprint.data.source import DataSource
from silverprint.errors import CorruptSessionError
from silverprint.features.cache import FeatureCache
from silverprint.features.extraction import ExtractionCounts
from silverprint.features.gathering import KnownFeatures
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.progress import Phase
from silverprint.training.store.run import RunStore

_log = logging.getLogger("silverprint")


class ClassifierProgram:
    """See `silverprint.training.program.Program`.

    Args:
        data: the pictures to train on.
        parameters: how to train.
        threads: pictures worked on at once; None: one for each core.
        max_unreadable: see `check_failures`.
        cache: where features are looked up and put; None: nowhere.
        known: where else those of a part are looked up, first.
        run: what keeps the work on disk; None: nothing does. It is closed with the program.
        checkpoint_interval: solver iterations between checkpoints.

    Raises:
        InvalidDataError, InvalidParameterError: the data and the parameters cannot serve.
    """

    def __init__(
        self,
        data: DataSource,
        parameters: ModelParameters,
        *,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
        cache: FeatureCache | None = None,
        known: Mapping[str, Sequence[KnownFeatures]] | None = None,
        run: RunStore | None = None,
        checkpoint_interval: int = 10,
    ) -> None:
        data = grouped(data, parameters)
        data.require_labels()
        parameters.classifier.weights_of(data.labels, np.asarray(list(data.counts.values())))
        self._data = data
        self._parameters = parameters
        self._run = run
        self._checkpoint_interval = checkpoint_interval
        self._index_of = {label: i for i, label in enumerate(data.labels)}
        self._extraction = Extraction(
            sources(data, parameters),
            parameters,
            threads=threads,
            max_unreadable=max_unreadable,
            cache=cache,
            known=known or {},
            run=run,
        )
        self._training: HeadTraining | None = None
        self._saved_iteration = -1
        self._trained: TrainedClassifier | None = None
        self.phase = Phase.INITIALIZED
        self.metrics: dict[str, float] = {}

    @property
    def counts(self) -> ExtractionCounts:
        """What the extraction had to do."""
        return self._extraction.counts

    @property
    def item_count(self) -> int:
        if self.phase is Phase.EXTRACTING_FEATURES:
            return self._extraction.read
        return self._training.done if self._training and self.phase is Phase.TRAINING else 0

    @property
    def total_item_count(self) -> int | None:
        if self.phase is Phase.EXTRACTING_FEATURES:
            return self._extraction.total
        return self._training.total if self._training and self.phase is Phase.TRAINING else None

    @property
    def iteration(self) -> int:
        if self.phase is Phase.EXTRACTING_FEATURES:
            return self._extraction.done
        return self._training.iteration if self._training else 0

    def advance(self, cancel: _core.runtime.CancelToken) -> None:
        if self.phase is Phase.INITIALIZED:
            # The backbone is looked up here, so that a broken one shows before anything is read.
            dimension = self._parameters.extractor.dimension
            if isinstance(self._parameters.classifier, MultilayerPerceptron):
                self._parameters.classifier.check_size(dimension, len(self._index_of))
            self._extraction.begin()
            self.phase = Phase.EXTRACTING_FEATURES
        elif self.phase is Phase.EXTRACTING_FEATURES:
            if not self._extraction.step(cancel):
                self._prepare_training()
                self.phase = Phase.TRAINING
        elif self.phase is Phase.TRAINING:
            if not self._train(cancel):
                self.phase = Phase.EVALUATING
        elif self.phase is Phase.EVALUATING:
            self._evaluate()
            self.phase = Phase.DONE

    def save(self) -> Sequence[Checkpoint]:
        run, training = self._run, self._training
        if run is None:
            return ()
        self._extraction.save()
        if training is not None and training.iteration != self._saved_iteration:
            run.put_state(training.state())
            self._saved_iteration = training.iteration
        if self._trained is not None:
            run.put_result(self._trained.model, result_values(self._trained))
        status = {
            "item_count": self.item_count,
            "total_item_count": self.total_item_count,
            "metrics": self.metrics,
        }
        return run.commit(self.phase, self.iteration, status)

    def result(self) -> TrainedClassifier:
        assert self._trained is not None
        return self._trained

    def close(self) -> None:
        try:
            self._extraction.close()
        finally:
            if self._run is not None:
                self._run.writer.close()

    def _prepare_training(self) -> None:
        data, features = self._data, self._extraction.features[TRAINING_PART]
        parameters, digests = self._parameters, features.digests
        self._items = [data.items[i] for i in features.positions]
        self._warn_of_shared_pictures(set(digests))
        self._duplicates = find_duplicates(self._items, digests)
        if self._duplicates:
            _log.warning("%s", duplicates_summary(self._duplicates))
        problem = Problem(
            features.rows,
            features.positions,
            len(parameters.views),
            np.asarray([self._index_of[label] for _, label in self._items], np.int32),
            digests,
            data.groups and tuple(data.groups[i] for i in features.positions),
            data.labels,
            parameters.classifier,
            parameters.max_iterations,
            parameters.seed,
        )
        self._training = HeadTraining(problem, parameters.validation, data.origin)
        if self._run is not None:
            self._restore_training(self._training, self._run)

    def _restore_training(self, training: HeadTraining, run: RunStore) -> None:
        run.drop_older_features()
        try:
            state = run.state()
        except CorruptSessionError as error:
            _log.warning("%s %s: the head is trained anew", error.path, error.what)
            run.forget_state()
            return
        if state is not None:
            training.restore(state)
            self._saved_iteration = training.iteration

    def _warn_of_shared_pictures(self, trained_on: set[bytes]) -> None:
        """Say so where validation measures memory."""
        features = self._extraction.features.get(VALIDATION_PART)
        shared = sum(digest in trained_on for digest in features.digests) if features else 0
        if shared:
            _log.warning("%d pictures of the validation data are trained on, too", shared)

    def _train(self, cancel: _core.runtime.CancelToken) -> bool:
        """One solver iteration; False after the last."""
        training = self._training
        assert training is not None
        if training.step(cancel):
            if self._run is not None and training.iteration % self._checkpoint_interval == 0:
                self._checkpoint(training, self._run)
            return True
        if training.fit.stopped_early:
            _log.warning(
                "stopped after max_iterations=%s before the solver converged",
                self._parameters.max_iterations,
            )
        return False

    def _checkpoint(self, training: HeadTraining, run: RunStore) -> None:
        found = from_snapshot(training, self._parameters)
        if found is None:
            return
        head, record = found
        state = head_state(head)
        state.values["record"] = record.to_json()
        metrics = {"loss": training.loss}
        if record.validation_metrics is not None:
            metrics["validation_accuracy"] = record.validation_metrics.accuracy
        self.metrics |= metrics
        run.put_checkpoint(training.iteration, state, metrics)

    def _evaluate(self) -> None:
        assert self._training is not None
        other, features = None, self._extraction.features.get(VALIDATION_PART)
        if features is not None:
            source = self._extraction.sources[VALIDATION_PART]
            items = [source.items[i] for i in features.positions]
            truth = np.asarray([self._index_of[label] for _, label in items], np.int32)
            rows = features.rows[features.positions]
            other = OtherPictures(rows, truth, [path for path, _ in items])
        paths = [path for path, _ in self._items]
        trained = evaluate(self._training, self._parameters, paths, other, self._duplicates)
        assert trained.training_metrics is not None
        self.metrics = {"training_accuracy": trained.training_metrics.accuracy}
        if trained.validation_metrics is not None:
            self.metrics["validation_accuracy"] = trained.validation_metrics.accuracy
        self._trained = trained
