"""Sessions of classifiers: begun, gone on with, compared with the data of today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from silverprint.classifier import saved_parameters
from silverprint.classifier.differences import (
    Differences,
    adopted,
    is_extracting,
    picture_changes,
    with_groups_of,
)
from silverprint.classifier.extraction import TRAINING_PART, VALIDATION_PART
from silverprint.classifier.parameters import ModelParameters
from silverprint.classifier.wanted import Wanted, begin, saved_sources
from silverprint.data.changes import Changes
from silverprint.data.saved import from_bytes, to_bytes
from silverprint.data.source import DataSource
from silverprint.errors import IncompatibleParametersError, InvalidParameterError
from silverprint.features.cache import FeatureCache
from silverprint.features.digests import digests_of
from silverprint.features.extraction import worker_count
from silverprint.features.failures import check_share
from silverprint.training.session import SessionParameters, TrainingSession
from silverprint.training.store.documents import Key
from silverprint.training.store.run import RunRecord, runs_of
from silverprint.training.store.store import SessionStore, SessionWriter, decoded, encoded


@dataclass(frozen=True)
class Options:
    """How a session is to be gone on with; see `ImageClassifier.make_training_session`."""

    accept_changes: bool
    frozen_data: bool
    numerics: str
    take_over: bool
    threads: int | None
    max_unreadable: float
    cache: FeatureCache | None

    @classmethod
    def checked(
        cls,
        accept_changes: bool,
        frozen_data: bool,
        numerics: str,
        take_over: bool,
        threads: int | None,
        max_unreadable: float,
    ) -> Options:
        """The options that a user gave, with the cache of the environment.

        Raises:
            InvalidParameterError: one has a value that is not allowed.
        """
        if accept_changes and frozen_data:
            raise InvalidParameterError("frozen_data", True, "False beside accept_changes=True")
        if numerics not in ("same", "any"):
            raise InvalidParameterError("numerics", numerics, "'same' or 'any'")
        worker_count(threads)
        check_share("max_unreadable", max_unreadable)
        return cls(
            accept_changes,
            frozen_data,
            numerics,
            take_over,
            threads,
            max_unreadable,
            FeatureCache.default(),
        )


def check_unused(accept_changes: bool, frozen_data: bool, numerics: str, take_over: bool) -> None:
    """Refuse what means nothing without a session.

    Raises:
        InvalidParameterError: one of them is given.
    """
    for name, value, default in (
        ("accept_changes", accept_changes, False),
        ("frozen_data", frozen_data, False),
        ("numerics", numerics, "same"),
        ("take_over", take_over, False),
    ):
        if value != default:
            raise InvalidParameterError(name, value, f"{default!r}, as there is no session")


def make_session(
    data: DataSource,
    parameters: ModelParameters,
    session: SessionParameters,
    options: Options,
) -> TrainingSession:
    """A new session, or the one in the folder with what is to be done in it now.

    See `ImageClassifier.make_training_session`.
    """
    _check_kind(session)
    # All that can be wrong with the data and the parameters shows before a folder is made.
    wanted = Wanted.of(data, saved_parameters.with_iterations(parameters, session.iterations))
    folder = session.folder
    store = SessionStore(folder) if SessionStore.is_session(folder) else SessionStore.create(folder)
    return _in_store(store, wanted, session, options, compare=True)


def restore_session(
    session: SessionParameters,
    data: DataSource | None,
    options: Options,
) -> TrainingSession:
    """The session in a folder, as it is; see `ImageClassifier.restore_training_session`."""
    _check_kind(session)
    store = SessionStore(session.folder)
    documents = store.read()
    runs = runs_of(documents)
    if not runs:
        raise InvalidParameterError(
            "session_directory", str(session.folder), "a session that was begun; this is empty"
        )
    last = runs[-1]
    body = documents[Key(last.number, "data", TRAINING_PART)]
    validation = documents.get(Key(last.number, "data", VALIDATION_PART))
    parameters = saved_parameters.from_json(
        last.settings["parameters"],
        None if validation is None else from_bytes(validation),
        last.settings["silverprint"],
    )
    now = saved_parameters.with_iterations(parameters, session.iterations)
    # Pictures whose features are there may be gone: they are looked at where it was asked for, and
    # where a new run will need them.
    compare = data is not None or options.accept_changes or options.frozen_data
    if not compare and now == parameters:
        return TrainingSession(last.number, session, partial(from_bytes, body), parameters, options)
    given = from_bytes(body)
    if data is not None:
        given = _grouped_as_before(documents, last, given, data, options)
    return _in_store(
        store, Wanted.of(given, now), session, options, compare=compare or last.is_finished
    )


def _check_kind(session: object) -> None:
    if not isinstance(session, SessionParameters):
        raise InvalidParameterError(
            "session_parameters", session, 'SessionParameters("folder", ...)'
        )


def _in_store(
    store: SessionStore,
    wanted: Wanted,
    session: SessionParameters,
    options: Options,
    *,
    compare: bool,
) -> TrainingSession:
    with store.writer(take_over=options.take_over) as writer:
        documents = store.read()
        runs = runs_of(documents)
        if runs:
            number, data = _go_on(writer, documents, runs[-1], wanted, options, compare)
        else:
            number, data = 1, wanted.data
            begin(writer, number, wanted, "")
    return TrainingSession(number, session, lambda: data, wanted.parameters, options)


def _go_on(
    writer: SessionWriter,
    documents: Mapping[Key, bytes],
    last: RunRecord,
    wanted: Wanted,
    options: Options,
    compare: bool,
) -> tuple[int, DataSource]:
    """The number of the run to go on with, and its pictures."""
    before = saved_sources(documents, last.number)
    extracting = is_extracting(last)
    if not last.is_finished:
        saved_parameters.check_same(
            last.settings["parameters"],
            wanted.settings["parameters"],
            extracting=extracting,
            version=last.settings["silverprint"],
        )
    changes = {
        part: _changes(documents, last, part, before.get(part), source, options)
        if compare
        else Changes(places=tuple(range(len(source))))
        for part, source in wanted.sources.items()
    }
    differences = Differences.of(last, wanted, before, changes, options.numerics)
    may_begin = last.is_finished or options.accept_changes
    if differences.modified and (options.frozen_data or not may_begin):
        raise differences.error()
    if last.is_finished:
        if not differences:
            return last.number, wanted.data
    elif not differences.modified:
        if extracting or not differences.regrouped:
            return last.number, _adopt(writer, last, documents, before, wanted, changes)
        if not options.accept_changes:
            old, new = before[TRAINING_PART].groups, wanted.data.groups
            raise IncompatibleParametersError("groups", _groups(old), _groups(new, "other "))
    text = str(differences)
    if not last.is_finished and last.settings["changes"]:
        text = f"{last.settings['changes']}, then {text}"
    begin(writer, last.number + 1, wanted, text, [Key(last.number, "state")])
    return last.number + 1, wanted.data


def _adopt(
    writer: SessionWriter,
    last: RunRecord,
    documents: Mapping[Key, bytes],
    before: Mapping[str, DataSource],
    wanted: Wanted,
    changes: Mapping[str, Changes],
) -> DataSource:
    """Go on with a run whose pictures may have moved and whose parameters may have changed."""
    put: dict[Key, bytes] = {}
    parameters = wanted.settings["parameters"]
    if parameters != last.settings["parameters"]:
        record = decoded(documents[Key(last.number, "run")])
        record["settings"] = {**last.settings, "parameters": parameters}
        put[Key(last.number, "run")] = encoded(record)
    now = {
        part: adopted(source, wanted.sources[part], changes[part].places)
        for part, source in before.items()
    }
    for part, source in now.items():
        if (source.items, source.groups) != (before[part].items, before[part].groups):
            put[Key(last.number, "data", part)] = to_bytes(source)
    if put:
        writer.commit(put)
    return now[TRAINING_PART]


def _grouped_as_before(
    documents: Mapping[Key, bytes],
    last: RunRecord,
    before: DataSource,
    now: DataSource,
    options: Options,
) -> DataSource:
    """`now`, with the groups of `before` where it has none of its own."""
    if before.groups is None or now.groups is not None:
        return now
    changes = _changes(documents, last, TRAINING_PART, before, now, options)
    if not changes:
        return with_groups_of(before, now, changes.places)
    if last.is_finished or options.accept_changes:
        raise InvalidParameterError(
            "data",
            now.origin,
            f"pictures with groups, DataSource.grouped(...), as the session's have: {changes}",
        )
    return now


def _changes(
    documents: Mapping[Key, bytes],
    run: RunRecord,
    part: str,
    before: DataSource | None,
    now: DataSource,
    options: Options,
) -> Changes:
    def read(paths: Sequence[Path]) -> list[bytes]:
        return digests_of(paths, options.cache, options.threads)

    return picture_changes(documents, run, part, before, now, read)


def _groups(groups: tuple[str, ...] | None, which: str = "") -> str:
    return "no groups" if groups is None else f"{len(set(groups))} {which}groups"
