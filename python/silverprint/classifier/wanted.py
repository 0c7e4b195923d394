"""A training that is asked for, in the terms of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from silverprint import _core
from silverprint.classifier import saved_parameters
from silverprint.classifier.extraction import feature_identity, grouped, sources
from silverprint.classifier.parameters import ModelParameters
from silverprint.classifier.program import ClassifierProgram
from silverprint.data.saved import from_bytes, to_bytes
from silverprint.data.source import DataSource
from silverprint.data.splits import Split
from silverprint.features.kind import kind_of
from silverprint.training.store.documents import Key
from silverprint.training.store.run import new_run
from silverprint.training.store.store import SessionWriter


@dataclass(frozen=True)
class Wanted:
    """A training that can be begun.

    Attributes:
        data: the pictures to train on, with their groups.
        parameters: how to train, but for what makes the groups.
        sources: all pictures, by part.
        settings: what a run records of it: the parameters, and what features depend on, by part.
    """

    data: DataSource
    parameters: ModelParameters
    sources: Mapping[str, DataSource]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, data: DataSource, parameters: ModelParameters) -> Wanted:
        """Check all that can be checked before a picture is read.

        Raises:
            InvalidDataError, InvalidParameterError: the data or the parameters cannot serve.
            BackboneError, OnnxRuntimeError: the extractor cannot be made ready.
        """
        data = grouped(data, parameters)
        split = parameters.validation
        if isinstance(split, Split):  # the groups stand with the pictures now
            parameters = replace(parameters, validation=replace(split, group_by=None))
        ClassifierProgram(data, parameters)  # refuses what it could not carry out
        parts = sources(data, parameters)
        settings = {
            "task": "image_classifier",
            "silverprint": _core.build.version,
            "parameters": saved_parameters.to_json(parameters),
            "numerics": kind_of(parameters.extractor).numerics,
            "features": {part: feature_identity(parameters, part) for part in parts},
        }
        return cls(data, parameters, parts, settings)


def begin(
    writer: SessionWriter, number: int, wanted: Wanted, changes: str, delete: Iterable[Key] = ()
) -> None:
    """Make a new run durable; `changes` says what is other than in the one before."""
    put = new_run(number, {**wanted.settings, "changes": changes})
    for part, source in wanted.sources.items():
        put[Key(number, "data", part)] = to_bytes(source)
    writer.commit(put, delete)


def saved_sources(documents: Mapping[Key, bytes], number: int) -> dict[str, DataSource]:
    """The pictures that a run was begun with, by part."""
    parts = [key.name for key in documents if key.run == number and key.kind == "data"]
    return {part: from_bytes(documents[Key(number, "data", part)]) for part in parts}
