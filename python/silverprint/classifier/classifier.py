"""`ImageClassifier`: trained, evaluated, asked and written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from silverprint.classifier.parameters import ModelParameters
from silverprint.classifier.program import (
    DEFAULT_MAX_UNREADABLE,
    ClassifierProgram,
    TrainedClassifier,
    check_labels,
)
from silverprint.data.records import Records
from silverprint.data.source import DataSource, StrPath
from silverprint.errors import ExportError, InvalidParameterError, SilverprintError
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
from silverprint.model.compose import PROBABILITIES, ClassifierRecord, read_classifier, with_record
from silverprint.model.metadata import ModelMetadata
from silverprint.model.metrics import ClassifierMetrics
from silverprint.names import instead_of
from silverprint.training.display import check_display, result_of
from silverprint.training.job import Job
from silverprint.training.progress import Progress as JobProgress

if TYPE_CHECKING:
    from silverprint.data.decode import Picture
    from silverprint.data.duplicates import Duplicate
    from silverprint.export.coreml import PackageSummary

    Data = DataSource | StrPath | Mapping[str, Iterable[StrPath]]


@instead_of(
    fit="ImageClassifier(data), or ImageClassifier.train(data) for a job",
    predict="predictions([...]), or prediction(picture) for one",
    predict_proba="probabilities([...])",
    score="evaluation(data).accuracy",
    evaluate="evaluation(data)",
    save='write("name.onnx") or write("name.mlpackage")',
    transform="an extractor's extract([...])",
    classes_="labels",
)
class ImageClassifier:
    """Labels for pictures, learned from labelled pictures.

    ``ImageClassifier(data)`` trains and waits; `train` gives a `Job` instead; `load` reads a file.
    A classifier is immutable and may be used from many threads at once.

    Args:
        data: a folder with one folder per label, {label: [paths]}, or a `DataSource`.
        parameters: how to train; None: `ModelParameters()`.
        progress: called with a `Progress` a few times a second from this thread; None: a bar
            where standard error is a terminal, lines in a notebook; False: nothing.
        threads: pictures worked on at once; None: one for each core.
        max_unreadable: share of the pictures that may be unreadable, of one label four times it.

    Raises:
        InvalidDataError: the data cannot serve; says what to do.
        TrainingCancelled: Ctrl-C is KeyboardInterrupt, cancelling a job is this.

    Attributes:
        record: what the model file says about itself.
        training_metrics: on the pictures it was trained on.
        validation_metrics: on pictures that the answering head never saw; None without validation.
        duplicates: pictures of the training data with equal bytes, those under two labels first;
            empty in a model read from a file.
    """

    record: ClassifierRecord
    training_metrics: ClassifierMetrics | None
    validation_metrics: ClassifierMetrics | None
    duplicates: Records[Duplicate]

    def __init__(
        self,
        data: Data,
        parameters: ModelParameters | None = None,
        *,
        progress: Callable[[JobProgress], None] | Literal[False] | None = None,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> None:
        check_display(progress)
        job: Job[TrainedClassifier] = Job(_program(data, parameters, threads, max_unreadable))
        self._adopt(result_of(job, progress))

    @classmethod
    def train(
        cls,
        data: Data,
        parameters: ModelParameters | None = None,
        *,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> Job[ImageClassifier]:
        """Start training and return at once; ``job.result()`` is the classifier."""
        return Job(_program(data, parameters, threads, max_unreadable), cls._made)

    @classmethod
    def load(cls, path: StrPath) -> ImageClassifier:
        """The classifier that `write` saved as .onnx, metrics and all but the paths of mistakes.

        Raises:
            InvalidDataError: the file is missing, damaged, or not written by silverprint.
        """
        model, record = read_classifier(Path(path))
        return cls._made(
            TrainedClassifier(
                model, record, record.training_metrics, record.validation_metrics, Records()
            )
        )

    @classmethod
    def _made(cls, trained: TrainedClassifier) -> ImageClassifier:
        self = cls.__new__(cls)
        self._adopt(trained)
        return self

    def _adopt(self, trained: TrainedClassifier) -> None:
        self._model = trained.model
        self.record = trained.record
        self.training_metrics = trained.training_metrics
        self.validation_metrics = trained.validation_metrics
        self.duplicates = trained.duplicates

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

    def write(self, path: StrPath, metadata: ModelMetadata | None = None) -> Path | PackageSummary:
        """Save the model: ``.onnx``, which `load` reads again, or ``.mlpackage`` for Core ML.

        What stood at `path` is replaced at once, or is as it was.

        Returns:
            The path of an .onnx file; of a package, its size, oldest system and Swift lines.

        Raises:
            ExportError: another ending, a place that cannot be written, or no Core ML here.
        """
        record = self.record if metadata is None else replace(self.record, metadata=metadata)
        suffix = Path(path).suffix
        if suffix == ".onnx":
            from silverprint.export.onnx_file import write_onnx

            return write_onnx(self._with(record), path)
        if suffix == ".mlpackage":
            import onnx

            from silverprint.export.coreml import write_mlpackage

            return write_mlpackage(
                onnx.ModelProto.FromString(self._model),
                path,
                labels=self.labels,
                picture_rule=record.rule.to_json(),
                metadata=record.metadata.to_dict(),
            )
        raise ExportError(f"{path}: a model is written as .onnx or .mlpackage")

    def _with(self, record: ClassifierRecord) -> bytes:
        if record is self.record:
            return self._model
        import onnx

        return with_record(onnx.ModelProto.FromString(self._model), record)

    def __repr__(self) -> str:
        record = self.record
        counts = record.training.get("counts", {})
        revision = record.extractor.get("revision")
        extractor = record.extractor["name"] + ("" if revision is None else f" revision {revision}")
        shown = ", ".join(self.labels[:6]) + (", ..." if len(self.labels) > 6 else "")
        size = f"{record.rule.width} x {record.rule.height} {record.rule.crop_and_scale}"
        trained = f"trained on {sum(counts.values())} pictures with {extractor}"
        lines = [
            f"ImageClassifier: {len(self.labels)} labels ({shown})",
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


def _program(
    data: Data, parameters: ModelParameters | None, threads: int | None, max_unreadable: float
) -> ClassifierProgram:
    check_share("max_unreadable", max_unreadable)
    return ClassifierProgram(
        DataSource.of(data),
        parameters or ModelParameters(),
        threads=threads,
        max_unreadable=max_unreadable,
    )
