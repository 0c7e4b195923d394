"""A training that is kept in a folder: what it has done, and what is left of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from silverprint.checks import whole
from silverprint.errors import InvalidParameterError
from silverprint.features.once import once
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.progress import Phase, title
from silverprint.training.store.documents import Key
from silverprint.training.store.reuse import reuse_features
from silverprint.training.store.run import (
    RunRecord,
    checkpoints_of,
    files_of,
    runs_of,
)
from silverprint.training.store.store import SessionStore, decoded


@dataclass(frozen=True)
class SessionParameters:
    """Where and how often a training is kept.

    Immutable: threads may share it.

    Args:
        session_directory: a folder that is new, empty or holds a session.
        report_interval: iterations between progress events.
        checkpoint_interval: iterations between checkpoints. Work is saved about once a second
            whatever it is.
        iterations: solver iterations of each fit at most, in place of the model parameters'
            `max_iterations`; may be raised for a session that exists. None: what those say.

    Raises:
        InvalidParameterError: a parameter has a value that is not allowed.
    """

    session_directory: str | os.PathLike[str]
    report_interval: int = 5
    checkpoint_interval: int = 10
    iterations: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.session_directory, (str, os.PathLike)) or not os.fspath(
            self.session_directory
        ):
            raise InvalidParameterError("session_directory", self.session_directory, "a folder")
        for name in ("report_interval", "checkpoint_interval"):
            allowed = "a whole number of iterations above 0"
            object.__setattr__(self, name, whole(name, getattr(self, name), allowed, 1))
        if self.iterations is not None:
            allowed = "None or a whole number above 0"
            object.__setattr__(self, "iterations", whole("iterations", self.iterations, allowed, 1))

    @property
    def folder(self) -> Path:
        """`session_directory` as an absolute path."""
        return Path(self.session_directory).absolute()


@dataclass(frozen=True)
class Run:
    """One training of a session, finished or not.

    Immutable: threads may share it.

    Attributes:
        number: from 1.
        date: when it began, in UTC.
        phase: where it stands.
        changes: what had changed in the data since the run before; empty of the first.
        pictures: how many it learned from; None while it is unfinished.
        accuracy, accuracy_interval: on pictures that the answering head never saw; None without.
        model: the file of the finished model, without metadata, which `load` reads.
        checkpoints: that of the extraction, which the newest run has, then those of the training.
    """

    number: int
    date: datetime
    phase: Phase
    changes: str
    pictures: int | None
    accuracy: float | None
    accuracy_interval: tuple[float, float] | None
    model: Path | None
    checkpoints: tuple[Checkpoint, ...]

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.phase is Phase.DONE

    @classmethod
    def of(cls, record: RunRecord, folder: Path, documents: Mapping[Key, bytes]) -> Run:
        """What a user sees of a record."""
        result: Mapping[str, Any] = record.result or {}
        interval = result.get("accuracy_interval")
        return cls(
            record.number,
            record.started,
            record.phase,
            record.settings["changes"],
            result.get("pictures"),
            result.get("accuracy"),
            None if interval is None else (interval[0], interval[1]),
            folder / result["files"]["model"]["name"] if result else None,
            tuple(checkpoints_of(folder, documents, record.number)),
        )

    def __str__(self) -> str:
        parts = [f"run {self.number} of {self.date:%Y-%m-%d %H:%M} UTC"]
        if self.changes:
            parts.append(self.changes)
        parts.append("finished" if self.is_finished else f"unfinished, {self.phase}")
        if self.pictures is not None:
            parts.append(f"{self.pictures} pictures")
        if self.accuracy is not None and self.accuracy_interval is not None:
            parts.append(f"accuracy {accuracy_text(self.accuracy, self.accuracy_interval)}")
        return ": ".join([parts[0], ", ".join(parts[1:])])


def accuracy_text(accuracy: float, interval: tuple[float, float]) -> str:
    """An accuracy and half the width of its 95 % interval: ``0.913 ± 0.021``."""
    return f"{accuracy:.3f} ± {(interval[1] - interval[0]) / 2:.3f}"


class SessionView:
    """A session as it lies in its folder now, also while a job goes on with it.

    Thread-safe: threads may share it.

    Raises:
        InvalidParameterError: the folder holds no session.
        CorruptSessionError: it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.store = SessionStore(folder)

    @property
    def date(self) -> datetime:
        """When the session was made, in UTC."""
        return self.store.created

    @property
    def phase(self) -> Phase:
        """What the newest run is doing, as far as it is on disk."""
        runs = runs_of(self.store.read())
        return runs[-1].phase if runs else Phase.INITIALIZED

    @property
    def iteration(self) -> int:
        """Solver iterations of that phase, or pictures while extracting."""
        runs = runs_of(self.store.read())
        return runs[-1].iteration if runs else 0

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints of the newest run: that of the extraction, then those of the training."""
        runs = self.runs
        return list(runs[-1].checkpoints) if runs else []

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, oldest first; none where the process that made the session was killed then."""
        documents = self.store.read()
        return tuple(Run.of(one, self.store.folder, documents) for one in runs_of(documents))

    @property
    def size_on_disk(self) -> int:
        """Bytes that the folder takes."""
        return self.store.size_on_disk

    def summary(self) -> str:
        """The session in a few lines for people."""
        runs, holder, status = self.runs, self.store.holder, self.store.status
        count = sum(len(run.checkpoints) for run in runs)
        size = f"{self.size_on_disk / 1e6:.1f} MB"
        lines = [
            f"session of {self.date:%Y-%m-%d %H:%M} UTC in {self.store.folder}",
            *(map(str, runs) if runs else ["nothing begun"]),
            f"{count} checkpoint{'' if count == 1 else 's'}, {size}",
        ]
        if holder is not None:
            done, total = status.get("item_count"), status.get("total_item_count")
            of = f", {done} of {total}" if total else ""
            lines.append(f"in use by {holder}: {title(self.phase).lower()}{of}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()


class TrainingSession(SessionView):
    """A training in a folder, made by `make_training_session` or `restore_training_session`.

    It shows what is on disk now, also while a job of this or another process goes on with it.
    Thread-safe: threads may share it.

    Attributes:
        parameters: the `SessionParameters`.
        model_parameters: how the model is trained.
        number: of the run that `resume` goes on with.
        options: how it does so.
    """

    def __init__(
        self,
        number: int,
        parameters: SessionParameters,
        data: Callable[[], Any],
        model_parameters: Any,
        options: Any,
    ) -> None:
        super().__init__(parameters.folder)
        self.parameters = parameters
        self.model_parameters = model_parameters
        self._load_data = data
        self.number = number
        self.options = options

    @once
    def data(self) -> Any:
        """What it is trained on."""
        return self._load_data()

    def remove_checkpoints(self, predicate: Callable[[Checkpoint], bool]) -> int:
        """Delete the checkpoints of the training for which `predicate` is true.

        What the session has done is not lost: resuming goes on from its own state. The checkpoint
        of the extraction, on which everything rests, stays.

        Returns:
            How many were deleted.

        Raises:
            SessionInUseError: a job is working on the session.
        """
        with self.store.writer() as writer:
            documents = self.store.read()
            delete = []
            for run in runs_of(documents):
                for checkpoint in checkpoints_of(self.store.folder, documents, run.number):
                    if checkpoint.phase is Phase.TRAINING and predicate(checkpoint):
                        name = f"{checkpoint.iteration:08}"
                        delete.append(Key(run.number, "checkpoint", name))
            if delete:
                writer.commit({}, delete)
                writer.sweep(files_of(self.store.read()))
        return len(delete)

    def reuse_extracted_features(self, from_: TrainingSession) -> int:
        """Take over what another session has extracted, before this one has begun to.

        Pictures are known by their bytes.

        Returns:
            Of how many pictures.

        Raises:
            InvalidParameterError: `from_` has not finished its extraction, or extracted other
                features; or this session has begun.
            SessionInUseError: a job is working on this session.
        """
        if not isinstance(from_, TrainingSession):
            raise InvalidParameterError("from_", from_, "a training session")
        wanted = settings_of(self.store.read(), self.number)["features"].values()
        theirs = settings_of(from_.store.read(), from_.number)["features"].values()
        ignored = {"numerics"} if self.options.numerics == "any" else set()
        if not any(
            _without(one, ignored) == _without(other, ignored) for one in wanted for other in theirs
        ):
            raise InvalidParameterError(
                "from_",
                str(from_.store.folder),
                "a session with the same extractor, picture rule and augmentation and, unless "
                'numerics="any", the same runtime, decoders and processor',
            )
        return reuse_features(self.store, from_.store)


def settings_of(documents: Mapping[Key, bytes], number: int) -> Mapping[str, Any]:
    """What a run was begun with."""
    settings: Mapping[str, Any] = decoded(documents[Key(number, "run")])["settings"]
    return settings


def _without(record: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}
