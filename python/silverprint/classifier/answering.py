"""What a trained classifier answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint.classifier.evaluation import TrainedClassifier
from silverprint.classifier.extraction import DEFAULT_MAX_UNREADABLE, check_labels
from silverprint.data.records import Records
from silverprint.data.source import DataSource, StrPath
from silverprint.errors import InvalidParameterError, SilverprintError
from silverprint.features.extraction import (
    FeatureBlock,
    FloatMatrix,
    Progress,
    as_pictures,
    check_block_size,
    check_failures,
    check_share,
    extract_blocks,
)
from silverprint.features.extractor import GraphFunction
from silverprint.features.once import once
from silverprint.model.calibration import Threshold
from silverprint.model.compose import PROBABILITIES, ClassifierRecord
from silverprint.model.metrics import ClassifierMetrics

if TYPE_CHECKING:
    from silverprint.data.decode import Picture
    from silverprint.data.duplicates import Duplicate

    Data = DataSource | StrPath | Mapping[str, Iterable[StrPath]]


class AnsweringClassifier:
    """The part of `ImageClassifier` that needs the model alone.

    Immutable: threads may share it.
    """

    record: ClassifierRecord
    training_metrics: ClassifierMetrics | None
    validation_metrics: ClassifierMetrics | None
    duplicates: Records[Duplicate]

    def _adopt(self, trained: TrainedClassifier) -> None:
        self._model = trained.model
        self.record = trained.record
        self.training_metrics = trained.training_metrics
        self.validation_metrics = trained.validation_metrics
        self.duplicates = trained.duplicates
        self._examples = trained.examples

    def __getstate__(self) -> dict[str, Any]:
        # Sessions of the runtime stay in their process.
        # A copy, because another thread may be making one.
        return {key: value for key, value in self.__dict__.copy().items() if key != "_function"}

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of `probabilities`."""
        return self.record.labels

    @once
    def _function(self) -> GraphFunction:
        return GraphFunction(self._model, PROBABILITIES, len(self.labels), self.record.rule)

    def prediction(self, image: Picture) -> str:
        """The most probable label of one picture.

        Raises:
            InvalidDataError: the picture cannot be read.
        """
        return self.predictions([image])[0]

    def predictions(self, images: Sequence[Picture]) -> list[str]:
        """The most probable label of each picture, in their order."""
        return [self.labels[i] for i in self.probabilities(images).argmax(axis=1)]

    def probabilities(
        self,
        images: Sequence[Picture],
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> FloatMatrix:
        """float32 (n, k): a row for each picture, a column for each of `labels`.

        Args:
            images: paths, bytes of picture files, PIL images, or uint8 arrays (H, W, 3) RGB.
            threads: pictures worked on at once; None: one for each core.
            progress: called with (done, total).

        Raises:
            InvalidDataError: a picture cannot be read.
        """
        images = as_pictures("images", images)
        blocks = list(
            extract_blocks(
                images,
                self._function,
                block_size=max(1, len(images)),
                threads=threads,
                progress=progress,
            )
        )
        for block in blocks:
            if block.failures:
                raise block.failures[0][1]
        return blocks[0].features if blocks else np.empty((0, len(self.labels)), np.float32)

    def stream(
        self, images: Sequence[Picture], *, block_size: int = 256, threads: int | None = None
    ) -> Iterator[FeatureBlock]:
        """`probabilities` block by block, in order, in memory bounded by a few blocks.

        A block's `features` are probabilities, float32 (m, k); pictures that cannot be read are
        listed in its `failures`.
        """
        check_block_size(block_size)
        pictures = as_pictures("images", images)
        return extract_blocks(pictures, self._function, block_size=block_size, threads=threads)

    def classify(self, image: Picture, top_k: int = 3) -> list[tuple[str, float]]:
        """The `top_k` most probable labels of one picture with their probabilities."""
        if type(top_k) is not int or top_k < 1:
            raise InvalidParameterError("top_k", top_k, "a whole number above 0")
        row = self.probabilities([image])[0]
        best = np.argsort(-row, kind="stable")[:top_k]
        return [(self.labels[i], float(row[i])) for i in best]

    def threshold(self, precision: float) -> Threshold:
        """From which probability on answers are right in `precision` of the cases.

        Seen on the pictures of `validation_metrics`. A threshold holds for pictures like those:
        it rejects unclear pictures of the labels, not pictures of something else, which may get
        any probability. For those train a label such as "other" with examples.

        Raises:
            InvalidParameterError: `precision` is not a share, or no threshold reaches it.
            SilverprintError: the model was trained without validation.
        """
        if self.validation_metrics is None:
            raise SilverprintError(
                "this model was trained without validation, on whose answers a threshold is chosen"
            )
        return self.validation_metrics.confidence.threshold(precision)

    def evaluation(
        self,
        on: Data,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> ClassifierMetrics:
        """Metrics on labelled pictures.

        Raises:
            InvalidDataError: `on` has labels that the model does not know, or too many pictures
                that cannot be read.
        """
        check_share("max_unreadable", max_unreadable)
        source = DataSource.of(on)
        check_labels(source, self.labels)
        index_of = {label: i for i, label in enumerate(self.labels)}
        (block,) = extract_blocks(
            [path for path, _ in source.items],
            self._function,
            block_size=len(source),
            threads=threads,
            progress=progress,
        )
        check_failures(
            [(source.items[i][1], error) for i, error in block.failures],
            Counter(label for _, label in source.items),
            origin=source.origin,
            max_unreadable=max_unreadable,
        )
        items = [source.items[i] for i in block.positions.tolist()]
        truth = np.asarray([index_of[label] for _, label in items], np.int64)
        paths = [path for path, _ in items]
        return ClassifierMetrics.measure(self.labels, truth, block.features, paths)

    def __repr__(self) -> str:
        record = self.record
        counts = record.training.get("counts", {})
        revision = record.extractor.get("revision")
        extractor = record.extractor["name"] + ("" if revision is None else f" revision {revision}")
        shown = ", ".join(self.labels[:6]) + (", ..." if len(self.labels) > 6 else "")
        size = f"{record.rule.width} x {record.rule.height} {record.rule.crop_and_scale}"
        trained = f"trained on {sum(counts.values())} pictures with {extractor}"
        lines = [
            f"{type(self).__name__}: {len(self.labels)} labels ({shown})",
            f"{trained}, {size}, l2 {record.head['l2']:g}",
        ]
        if self.validation_metrics is not None:
            low, high = self.validation_metrics.accuracy_interval
            lines.append(
                f"validation accuracy {self.validation_metrics.accuracy:.3f} "
                f"(95 % interval {low:.3f} to {high:.3f}) "
                f"on {self.validation_metrics.count} pictures"
            )
        return "\n".join(lines)
