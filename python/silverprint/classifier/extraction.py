"""The pictures of a training become features, block by block, in memory or on disk."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from silverprint import _core
from silverprint.classifier.parameters import ModelParameters
from silverprint.data.source import DataSource
from silverprint.data.splits import Split
from silverprint.errors import InvalidDataError, ModifiedTrainingDataError
from silverprint.features.augmentation import View
from silverprint.features.cache import FeatureCache
from silverprint.features.extraction import (
    ExtractionCounts,
    FeatureBlock,
    check_failures,
    summarise_failures,
)
from silverprint.features.feature_set import FeatureSet
from silverprint.features.gathering import KnownFeatures, gather_blocks
from silverprint.features.kind import kind_of, view_names
from silverprint.training.store.run import RunStore

_log = logging.getLogger("silverprint")

BLOCK_SIZE = 64
DEFAULT_MAX_UNREADABLE = 0.05

TRAINING_PART, VALIDATION_PART = "training", "validation"


class Extraction:
    """The features of all parts of a training.

    Args:
        sources: the pictures of each part.
        parameters: how the model is trained.
        threads: pictures worked on at once; None: one for each core.
        max_unreadable: see `check_failures`.
        cache: where features are looked up and put; None: nowhere.
        known: where else those of a part are looked up, first.
        run: what keeps them on disk; None: they are in memory.
    """

    def __init__(
        self,
        sources: Mapping[str, DataSource],
        parameters: ModelParameters,
        *,
        threads: int | None,
        max_unreadable: float,
        cache: FeatureCache | None,
        known: Mapping[str, Sequence[KnownFeatures]],
        run: RunStore | None,
    ) -> None:
        self.sources = sources
        self.counts = ExtractionCounts()
        self.features: dict[str, FeatureSet] = {}
        self._parameters = parameters
        self._threads = threads
        self._max_unreadable = max_unreadable
        self._cache = cache
        self._known = known
        self._run = run
        self._blocks: Iterator[tuple[str, FeatureBlock]] | None = None
        self._read = 0

    @property
    def total(self) -> int:
        """Pictures in all."""
        return sum(map(len, self.sources.values()))

    @property
    def done(self) -> int:
        """Pictures whose block is finished."""
        return sum(features.done for features in self.features.values())

    @property
    def read(self) -> int:
        """Pictures that are read, those of unfinished blocks included; it never falls."""
        return self._read

    def begin(self) -> None:
        """Make room for the features, and take over what is on disk."""
        dimension = self._parameters.extractor.dimension
        for part, source in self.sources.items():
            views = len(views_of_part(self._parameters, part))
            paths = [path for path, _ in source.items]
            if self._run is None:
                self.features[part] = FeatureSet(paths, views, dimension)
            else:
                identity = feature_identity(self._parameters, part)
                self.features[part] = self._run.feature_set(part, paths, views, dimension, identity)
        self._read = self.done

    def step(self, cancel: _core.runtime.CancelToken) -> bool:
        """One block of pictures; False when all are there."""
        if self._blocks is None:
            self._blocks = self._all_blocks(cancel)
        found = next(self._blocks, None)
        if found is None:
            self._blocks = None
            return not self._is_whole()
        part, block = found
        self.features[part].add(block)
        self._read = max(self._read, self.done)
        return True

    def save(self) -> None:
        """Hand what is new to the run."""
        if self._run is not None:
            for part, features in self.features.items():
                self._run.put_features(part, features.take_new(), features.done)

    def close(self) -> None:
        """Stop the workers, and let go of the files."""
        if self._blocks is not None:
            self._blocks.close()  # type: ignore[attr-defined]
            self._blocks = None
        for features in self.features.values():
            features.close()

    def _all_blocks(self, cancel: _core.runtime.CancelToken) -> Iterator[tuple[str, FeatureBlock]]:
        for part, features in self.features.items():
            missing = features.missing
            if not missing:
                continue
            before = self.done

            def progress(done: int, total: int, before: int = before) -> None:
                self._read = max(self._read, before + done)

            for block in gather_blocks(
                [features.paths[i] for i in missing],
                self._parameters.extractor,
                known=self._known.get(part, ()),
                cache=self._cache,
                block_size=BLOCK_SIZE,
                threads=self._threads,
                progress=progress,
                cancel=cancel,
                views=views_of_part(self._parameters, part),
                seed=self._parameters.seed,
                counts=self.counts,
            ):
                places = np.asarray(missing, np.int64)[block.positions]
                failures = [(missing[i], error) for i, error in block.failures]
                yield part, replace(block, positions=places, failures=failures)

    def _is_whole(self) -> bool:
        """Check what was extracted; False where some of it has to be extracted anew."""
        for features in self.features.values():
            if features.changed:
                changed = [str(features.paths[i]) for i in features.changed]
                raise ModifiedTrainingDataError(changed=changed)
            damaged = features.damaged() if self._run is not None else []
            if damaged:
                _log.warning(
                    "the features of %d pictures are damaged on disk: extracted anew", len(damaged)
                )
                features.forget(damaged)
                return False
        for part, features in self.features.items():
            self._check_failures(self.sources[part], features)
        return True

    def _check_failures(self, source: DataSource, features: FeatureSet) -> None:
        failures = [(source.items[i][1], error) for i, error in sorted(features.failures.items())]
        check_failures(
            failures,
            Counter(label for _, label in source.items),
            origin=source.origin,
            max_unreadable=self._max_unreadable,
        )
        if failures:
            causes = summarise_failures([error for _, error in failures])
            _log.warning("%d pictures left out: %s", len(failures), causes)


def views_of_part(parameters: ModelParameters, part: str) -> tuple[View, ...]:
    """The views of each picture of a part: they are for training only."""
    return parameters.views if part == TRAINING_PART else ()


def feature_identity(parameters: ModelParameters, part: str) -> dict[str, Any]:
    """What the features of a part depend on besides the picture, as a session records it."""
    names = view_names(views_of_part(parameters, part), parameters.seed)
    return {**json.loads(kind_of(parameters.extractor).record), "views": list(names)}


def grouped(data: DataSource, parameters: ModelParameters) -> DataSource:
    """`data` with the groups that the parameters ask for."""
    if isinstance(parameters.validation, Split) and parameters.validation.group_by is not None:
        return data.grouped(parameters.validation.group_by)
    return data


def sources(data: DataSource, parameters: ModelParameters) -> dict[str, DataSource]:
    """What is to be extracted, by part.

    Raises:
        InvalidDataError: the validation data has labels that `data` has not.
    """
    validation = check_labels(parameters.validation, data.labels)
    parts = {TRAINING_PART: data}
    return parts if validation is None else parts | {VALIDATION_PART: validation}


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
