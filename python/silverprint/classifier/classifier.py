"""`ImageClassifier`: trained, evaluated, asked and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from silverprint.classifier.answering import AnsweringClassifier
from silverprint.classifier.evaluation import TrainedClassifier
from silverprint.classifier.extraction import DEFAULT_MAX_UNREADABLE
from silverprint.classifier.parameters import ModelParameters
from silverprint.classifier.program import ClassifierProgram
from silverprint.classifier.resuming import from_checkpoint, program_of
from silverprint.classifier.sessions import Options, check_unused, make_session, restore_session
from silverprint.data.mapping import StrPath, as_path
from silverprint.data.records import Records
from silverprint.data.source import DataSource
from silverprint.errors import ExportError, InvalidParameterError
from silverprint.features.cache import FeatureCache
from silverprint.features.extraction import check_share
from silverprint.model.compose import ClassifierRecord, read_classifier, with_record
from silverprint.model.endings import CORE_ML
from silverprint.model.metadata import ModelMetadata
from silverprint.names import instead_of
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.display import check_display, result_of
from silverprint.training.job import Job
from silverprint.training.progress import Progress
from silverprint.training.session import SessionParameters, TrainingSession

if TYPE_CHECKING:
    from silverprint.classifier.answering import Data
    from silverprint.data.decode import Picture
    from silverprint.export.coreml import ExportOptions, PackageSummary


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
class ImageClassifier(AnsweringClassifier):
    """Labels for pictures, learned from labelled pictures.

    ``ImageClassifier(data)`` trains and waits; `train` gives a `Job` instead, and keeps the work in
    a session if asked to; `load` reads a file. A classifier is immutable and may be used from many
    threads at once.

    Args:
        data: a folder with one folder per label, {label: [paths]}, or a `DataSource`.
        parameters: how to train; None: `ModelParameters()`.
        checkpoint: in place of data: one of the training of a session, of which a model is made.
        progress: called with a `Progress` a few times a second from this thread; None: a bar
            where standard error is a terminal, lines in a notebook; False: nothing.
        threads: pictures worked on at once; None: one for each core.
        max_unreadable: share of the pictures that may be unreadable, of one label four times it.

    Raises:
        InvalidDataError: the data cannot serve; says what to do.
        TrainingCancelled: Ctrl-C is KeyboardInterrupt, cancelling a job is this.
        CorruptSessionError: the checkpoint is damaged.

    Attributes:
        record: what the model file says about itself.
        training_metrics: on the pictures it was trained on; None of a checkpoint.
        validation_metrics: on pictures that the answering head never saw; None without validation.
        duplicates: pictures of the training data with equal bytes, those under two labels first;
            empty in a model read from a file.
    """

    def __init__(
        self,
        data: Data | None = None,
        parameters: ModelParameters | None = None,
        *,
        checkpoint: Checkpoint | None = None,
        progress: Callable[[Progress], None] | Literal[False] | None = None,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> None:
        check_display(progress)
        if checkpoint is not None:
            if data is not None or parameters is not None:
                raise InvalidParameterError(
                    "checkpoint", checkpoint, "no data and no parameters beside it"
                )
            self._adopt(from_checkpoint(checkpoint))
            return
        if data is None:
            raise InvalidParameterError("data", None, "labelled pictures, or a checkpoint")
        program = _program(data, parameters, threads, max_unreadable)
        job: Job[TrainedClassifier] = Job(program)
        self._adopt(result_of(job, progress))

    @classmethod
    def train(
        cls,
        data: Data,
        parameters: ModelParameters | None = None,
        session_parameters: SessionParameters | None = None,
        *,
        accept_changes: bool = False,
        frozen_data: bool = False,
        numerics: Literal["same", "any"] = "same",
        take_over: bool = False,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> Job[ImageClassifier]:
        """Start training and return at once; ``job.result()`` is the classifier.

        With `session_parameters` it is ``resume(make_training_session(...))`` with the same
        arguments: what the session holds is gone on with. Without them nothing is kept but
        extracted features, in the cache.
        """
        if session_parameters is None:
            check_unused(accept_changes, frozen_data, numerics, take_over)
            return Job(_program(data, parameters, threads, max_unreadable), cls._made)
        session = cls.make_training_session(
            data,
            parameters,
            session_parameters,
            accept_changes=accept_changes,
            frozen_data=frozen_data,
            numerics=numerics,
            take_over=take_over,
            threads=threads,
            max_unreadable=max_unreadable,
        )
        return cls.resume(session)

    @classmethod
    def make_training_session(
        cls,
        data: Data,
        parameters: ModelParameters | None,
        session_parameters: SessionParameters,
        *,
        accept_changes: bool = False,
        frozen_data: bool = False,
        numerics: Literal["same", "any"] = "same",
        take_over: bool = False,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> TrainingSession:
        """A session in a new folder, or that in the folder with what is to be done in it now.

        An unfinished session is gone on with. In a finished one a new run begins if the pictures or
        the parameters are others than before; if nothing changed, its result stands. Pictures are
        compared by their bytes, so that renaming and moving them changes nothing.

        Args:
            accept_changes: begin a new run where an unfinished session has other pictures.
            frozen_data: raise where a finished session has, too.
            numerics: "any" takes features over that were extracted by another version of the
                runtime or the decoders, or on another class of processor; "same" extracts anew.
            take_over: from a job that seems to be working on the session.
            threads, max_unreadable: see `ImageClassifier`.

        Raises:
            ModifiedTrainingDataError: an unfinished session was begun with other pictures.
            IncompatibleParametersError: or with other parameters.
            SessionInUseError: a job is working on it.
            CorruptSessionError: it is damaged.
            InvalidDataError, InvalidParameterError: the data or the parameters cannot serve.
            OSError: the folder cannot be made or written.
        """
        return make_session(
            DataSource.of(data),
            parameters or ModelParameters(),
            session_parameters,
            Options.checked(
                accept_changes, frozen_data, numerics, take_over, threads, max_unreadable
            ),
        )

    @classmethod
    def restore_training_session(
        cls,
        session_parameters: SessionParameters,
        *,
        data: Data | None = None,
        accept_changes: bool = False,
        frozen_data: bool = False,
        numerics: Literal["same", "any"] = "same",
        take_over: bool = False,
        threads: int | None = None,
        max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    ) -> TrainingSession:
        """The session in a folder, with its own parameters.

        Args:
            data: the pictures, where they lie elsewhere now; None: where they were.
            accept_changes, frozen_data, numerics, take_over, threads, max_unreadable: see
                `make_training_session`.

        Raises:
            InvalidParameterError: the folder holds no session.
            BackboneError: the extractor of the session is not there any more; says what to install.
            CorruptSessionError, ModifiedTrainingDataError, SessionInUseError: as for
                `make_training_session`.
        """
        return restore_session(
            session_parameters,
            None if data is None else DataSource.of(data),
            Options.checked(
                accept_changes, frozen_data, numerics, take_over, threads, max_unreadable
            ),
        )

    @classmethod
    def resume(cls, session: TrainingSession) -> Job[ImageClassifier]:
        """Go on with a session from where it stands; a finished one gives its result at once.

        Raises:
            SessionInUseError: a job is working on it.
            CorruptSessionError: it is damaged.
        """
        job: Job[ImageClassifier] = Job(
            program_of(session), cls._made, report_interval=session.parameters.report_interval
        )
        return job

    @classmethod
    def load(cls, path: StrPath) -> ImageClassifier:
        """The classifier that `write` saved as .onnx, metrics and all but the paths of mistakes.

        Raises:
            InvalidDataError: the file is missing, damaged, or not written by silverprint.
        """
        model, record = read_classifier(as_path(path))
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

    def write(
        self,
        path: StrPath,
        metadata: ModelMetadata | None = None,
        options: ExportOptions | None = None,
        *,
        pictures: Sequence[Picture] | None = None,
    ) -> Path | PackageSummary:
        """Save the model: ``.onnx``, which `load` reads again, or Core ML, which is proven first.

        The Core ML file is read back, compared with the model number by number, and executed on
        pictures in float32 and in its own precision, before it takes its place. What stood at
        `path` is replaced at once, or is as it was.

        Args:
            path: ends in ``.onnx``, ``.mlpackage`` (ML Program) or ``.mlmodel`` (NeuralNetwork).
            metadata: the author's words; None: those of the model.
            options: of a Core ML file; None: ``ExportOptions()``.
            pictures: of which 16 prove it; None: 16 of the training, or drawn ones where these
                are not there any more, as in a model that was loaded.

        Returns:
            The path of an .onnx file; of a Core ML file size, oldest system, Swift lines, proof.

        Raises:
            ExportError: another ending, a place that cannot be written, no Core ML here, or a file
                that does not compute what the model does.
            InvalidDataError: one of `pictures` cannot be read.
            InvalidParameterError: path, metadata, options or pictures are something else.
        """
        if not isinstance(metadata, ModelMetadata | None):
            raise InvalidParameterError("metadata", metadata, "sp.ModelMetadata(...)")
        record = self.record if metadata is None else replace(self.record, metadata=metadata)
        path = as_path(path)
        suffix = path.suffix
        if suffix in CORE_ML:
            from silverprint.classifier.core_ml import write_core_ml
            from silverprint.export.coreml import ExportOptions

            if not isinstance(options, ExportOptions | None):
                raise InvalidParameterError("options", options, "sp.coreml.ExportOptions(...)")
            return write_core_ml(
                self._model,
                record,
                path,
                options or ExportOptions(),
                pictures=pictures,
                examples=self._examples,
            )
        if suffix != ".onnx":
            raise ExportError(f"{path}: a model is written as .onnx, .mlpackage or .mlmodel")
        if options is not None or pictures is not None:
            raise ExportError(f"{path}: options and pictures are for .mlpackage and .mlmodel")
        from silverprint.export.onnx_file import write_onnx

        return write_onnx(self._with(record), path)

    def _with(self, record: ClassifierRecord) -> bytes:
        if record is self.record:
            return self._model
        import onnx

        return with_record(onnx.ModelProto.FromString(self._model), record)


def _program(
    data: Data, parameters: ModelParameters | None, threads: int | None, max_unreadable: float
) -> ClassifierProgram:
    check_share("max_unreadable", max_unreadable)
    return ClassifierProgram(
        DataSource.of(data),
        parameters or ModelParameters(),
        threads=threads,
        max_unreadable=max_unreadable,
        cache=FeatureCache.default(),
    )
