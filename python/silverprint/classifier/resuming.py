"""From a session to the work that is left of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from silverprint import _core
from silverprint.classifier import saved_parameters
from silverprint.classifier.differences import fits, is_extracting
from silverprint.classifier.evaluation import TrainedClassifier
from silverprint.classifier.extraction import (
    TRAINING_PART,
    VALIDATION_PART,
    feature_identity,
)
from silverprint.classifier.head_training import head_of
from silverprint.classifier.parameters import ModelParameters
from silverprint.classifier.program import ClassifierProgram
from silverprint.classifier.results import read_result
from silverprint.classifier.wanted import Wanted, begin
from silverprint.data.records import Records
from silverprint.errors import CorruptSessionError, InvalidParameterError, SilverprintError
from silverprint.features.feature_set import KnownRows
from silverprint.features.kind import kind_of
from silverprint.features.matrix import map_matrix
from silverprint.model.compose import ClassifierRecord, compose
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.progress import Phase
from silverprint.training.session import TrainingSession, settings_of
from silverprint.training.store.documents import Key
from silverprint.training.store.run import (
    RunRecord,
    RunStore,
    feature_records,
    files_of,
    read_state,
    runs_of,
)
from silverprint.training.store.store import SessionStore, SessionWriter, decoded, encoded

_log = logging.getLogger("silverprint")


class FinishedProgram:
    """A program with nothing left to do; see `silverprint.training.program.Program`."""

    phase = Phase.DONE
    item_count = 0
    total_item_count = None
    iteration = 0

    def __init__(self, trained: TrainedClassifier) -> None:
        self._trained = trained
        known = {"training": trained.training_metrics, "validation": trained.validation_metrics}
        self.metrics = {f"{of}_accuracy": one.accuracy for of, one in known.items() if one}

    def advance(self, cancel: _core.runtime.CancelToken) -> None:
        """Nothing."""

    def save(self) -> Sequence[Checkpoint]:
        return ()

    def result(self) -> TrainedClassifier:
        return self._trained

    def close(self) -> None:
        """Nothing."""


def program_of(session: TrainingSession) -> ClassifierProgram | FinishedProgram:
    """What is left to do of a session.

    Raises:
        SessionInUseError: another job is working on it.
        CorruptSessionError: it is damaged.
        SilverprintError: a run was begun in its folder since the session was made or restored.
    """
    if not isinstance(session, TrainingSession):
        raise InvalidParameterError(
            "session", session, "what make_training_session or restore_training_session gave"
        )
    options, store = session.options, session.store
    run = _run_of(session, store.read())
    if run.result is not None:
        try:
            return FinishedProgram(read_result(store.folder, run.result))
        except CorruptSessionError as error:
            _log.warning("%s %s: trained anew", error.path, error.what)
    writer = store.writer(take_over=options.take_over)
    try:
        documents = store.read()
        run = _run_of(session, documents)
        writer.sweep(files_of(documents))
        if run.result is not None:
            place = encoded({"phase": Phase.TRAINING, "iteration": 0})
            writer.commit({Key(run.number, "place"): place}, [Key(run.number, "result")])
        elif is_extracting(run):
            session.number = _ready_to_extract(writer, documents, run, session)
        documents = store.read()
        return ClassifierProgram(
            session.data,
            session.model_parameters,
            threads=options.threads,
            max_unreadable=options.max_unreadable,
            cache=options.cache,
            known=_known(documents, session),
            run=RunStore(writer, session.number, documents),
            checkpoint_interval=session.parameters.checkpoint_interval,
        )
    except BaseException:
        writer.close()
        raise


def _run_of(session: TrainingSession, documents: Mapping[Key, bytes]) -> RunRecord:
    run = runs_of(documents)[-1]
    if run.number != session.number:
        raise SilverprintError(
            f"{session.store.folder}: run {run.number} was begun since this session of run "
            f"{session.number} was made; make or restore it once more"
        )
    return run


def _ready_to_extract(
    writer: SessionWriter, documents: Mapping[Key, bytes], run: RunRecord, session: TrainingSession
) -> int:
    """The number of the run in which the extraction can go on, here and now."""
    number = run.number
    of_run = {
        kind: [key for key in documents if (key.run, key.kind) == (number, kind)]
        for kind in ("rows", "unreadable", "matrix")
    }
    numerics = kind_of(session.model_parameters.extractor).numerics
    if session.options.numerics == "any" or numerics == run.settings["numerics"]:
        # Pictures that could not be read are tried again: a disk may be there now.
        if of_run["unreadable"]:
            writer.commit({}, of_run["unreadable"])
        return number
    wanted = Wanted.of(session.data, session.model_parameters)
    if not of_run["rows"]:
        record = decoded(documents[Key(number, "run")])
        record["settings"] |= wanted.settings
        delete = of_run["unreadable"] + of_run["matrix"]
        writer.commit({Key(number, "run"): encoded(record)}, delete)
        return number
    _log.warning(
        "the session's features were extracted with %s, here it is %s: they are extracted anew "
        '(numerics="any" or --numerics any takes them as they are)',
        run.settings["numerics"],
        numerics,
    )
    begin(writer, number + 1, wanted, run.settings["changes"])
    return number + 1


def _known(documents: Mapping[Key, bytes], session: TrainingSession) -> dict[str, list[KnownRows]]:
    """The features of earlier runs that each part can take over, the newest first."""
    parameters: ModelParameters = session.model_parameters
    parts = (TRAINING_PART, VALIDATION_PART)
    wanted = {part: feature_identity(parameters, part) for part in parts}
    found: dict[str, list[KnownRows]] = {part: [] for part in parts}
    for key in sorted((k for k in documents if k.kind == "matrix"), reverse=True):
        record = decoded(documents[key])
        numerics = session.options.numerics
        fitting = [part for part in parts if fits(record["of"], wanted[part], numerics)]
        if key.run == session.number or not fitting:
            continue
        file = session.store.folder / record["files"]["matrix"]["name"]
        matrix = map_matrix(file, record["shape"])
        if matrix is not None:
            rows = KnownRows(matrix, feature_records(documents, key.run, key.name).rows)
            for part in fitting:
                found[part].append(rows)
    return found


def from_checkpoint(checkpoint: Checkpoint) -> TrainedClassifier:
    """A working model from a checkpoint of the training.

    Raises:
        InvalidParameterError: it is one of the extraction, or its session does not hold it.
        CorruptSessionError: its file is damaged.
        BackboneError: the backbone is not there any more.
    """
    if not isinstance(checkpoint, Checkpoint) or checkpoint.phase is not Phase.TRAINING:
        raise InvalidParameterError(
            "checkpoint", checkpoint, "a checkpoint of the phase 'training', of session.checkpoints"
        )
    folder = Path(os.path.abspath(checkpoint.url)).parent.parent
    documents = SessionStore(folder).read()
    for key, body in documents.items():
        if key.kind != "checkpoint" or key.name != f"{checkpoint.iteration:08}":
            continue
        record = decoded(body)
        if folder / record["files"]["checkpoint"]["name"] == Path(os.path.abspath(checkpoint.url)):
            return _composed(folder, record, settings_of(documents, key.run))
    raise InvalidParameterError("checkpoint", checkpoint, "one that its session still holds")


def _composed(
    folder: Path, record: Mapping[str, Any], settings: Mapping[str, Any]
) -> TrainedClassifier:
    state = read_state(folder, record).get(str(record["iteration"]))
    state.values.update(record["values"])
    extractor = saved_parameters.extractor_of(settings["parameters"], settings["silverprint"])
    made = ClassifierRecord.from_json(state.values["record"])
    model = compose(extractor.backbone.graph, head_of(state), made)
    return TrainedClassifier(model, made, None, made.validation_metrics, Records())
