"""One run of a session on disk: what its program puts down and finds again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from silverprint.errors import CorruptSessionError, InvalidDataError
from silverprint.features.disk import make_folder
from silverprint.features.feature_set import ROW_RECORD, Done, FeatureSet
from silverprint.features.matrix import FLOAT32
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.progress import Phase
from silverprint.training.state import State
from silverprint.training.store.documents import REMEDY, Key
from silverprint.training.store.files import FileReference, read_file
from silverprint.training.store.store import SessionWriter, decoded, encoded

_EXTRACTION = "extraction"


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run.

    Attributes:
        number: from 1.
        settings: what it was begun with, as its task wrote it.
        phase, iteration: where it stands.
        started: when it began.
        result: what came of it, as its task wrote it; None while it is unfinished.
    """

    number: int
    settings: Mapping[str, Any]
    phase: Phase
    iteration: int
    started: datetime
    result: Mapping[str, Any] | None

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.result is not None


def runs_of(documents: Mapping[Key, bytes]) -> list[RunRecord]:
    """The runs of a session, in order."""
    found = []
    for number in sorted(key.run for key in documents if key.kind == "run"):
        place = decoded(documents[Key(number, "place")])
        result = documents.get(Key(number, "result"))
        settings = decoded(documents[Key(number, "run")])
        found.append(
            RunRecord(
                number,
                settings["settings"],
                Phase(place["phase"]),
                place["iteration"],
                datetime.fromisoformat(settings["started"]),
                None if result is None else decoded(result),
            )
        )
    return found


def new_run(number: int, settings: Mapping[str, Any]) -> dict[Key, bytes]:
    """The records of a run that begins."""
    started = datetime.now(UTC).isoformat()
    return {
        Key(number, "run"): encoded({"settings": settings, "started": started}),
        Key(number, "place"): encoded({"phase": Phase.INITIALIZED, "iteration": 0}),
    }


def checkpoints_of(folder: Path, documents: Mapping[Key, bytes], run: int) -> list[Checkpoint]:
    """The checkpoints of a run: that of the extraction, then those of the training."""
    found = [
        (key.name, decoded(body))
        for key, body in documents.items()
        if key.run == run and key.kind == "checkpoint"
    ]
    found.sort(key=lambda entry: (entry[1]["phase"] == Phase.TRAINING, entry[1]["iteration"]))
    return [_checkpoint(folder, record) for _, record in found]


def files_of(documents: Mapping[Key, bytes]) -> set[str]:
    """The names of all files that records refer to."""
    names = set()
    for key, body in documents.items():
        if key.kind in ("matrix", "state", "checkpoint", "result"):
            names |= {entry["name"] for entry in decoded(body).get("files", {}).values()}
    return names


def feature_records(documents: Mapping[Key, bytes], run: int, part: str) -> Done:
    """The pictures of a part that are done."""
    rows, failures = [np.zeros(0, ROW_RECORD)], []
    for key, body in sorted(documents.items()):
        if key.run != run or key.name.partition("/")[0] != part:
            continue
        if key.kind == "rows":
            rows.append(np.frombuffer(body, ROW_RECORD))
        elif key.kind == "unreadable":
            failures += [
                (position, InvalidDataError(file, reason))
                for position, file, reason in decoded(body)
            ]
    return Done(np.concatenate(rows), failures)


@dataclass
class RunStore:
    """What a program keeps of its run; nothing is durable before `commit`.

    Args:
        writer: the right to write to the session.
        number: of the run.
        documents: the session's records when the job began.
    """

    writer: SessionWriter
    number: int
    documents: Mapping[Key, bytes]
    _put: dict[Key, bytes] = field(default_factory=dict)
    _delete: list[Key] = field(default_factory=list)
    _groups: dict[str, int] = field(default_factory=dict)
    _matrices: dict[str, str] = field(default_factory=dict)
    _useless: list[str] = field(default_factory=list)
    _state_file: str = ""
    _files: int = 0
    _reached: Phase = Phase.INITIALIZED
    _checkpoints: State = field(default_factory=State)
    _records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        make_folder(self.writer.folder / "features")
        state = self.documents.get(Key(self.number, "state"))
        if state is not None:
            self._state_file = decoded(state)["files"]["arrays"]["name"]
        place = self.documents.get(Key(self.number, "place"))
        if place is not None:
            self._reached = Phase(decoded(place)["phase"])

    def feature_set(
        self,
        part: str,
        paths: Sequence[Any],
        views: int,
        dimension: int,
        identity: Mapping[str, Any],
        dtype: np.dtype[Any] = FLOAT32,
    ) -> FeatureSet:
        """The features of a part, with what earlier jobs have extracted.

        `identity` is recorded: what they depend on besides the pictures.
        """
        name = f"features/{self.number:04}-{part}.f{8 * dtype.itemsize}"
        self._matrices[part] = name
        key = Key(self.number, "matrix", part)
        shape = [len(paths), 1 + views, dimension]
        if key in self.documents and decoded(self.documents[key])["shape"] != shape:
            raise CorruptSessionError(self.writer.folder, "its features have another shape", REMEDY)
        features = FeatureSet(paths, views, dimension, self.writer.folder / name, dtype)
        done = feature_records(self.documents, self.number, part)
        features.restore(done)
        groups = [k for k in self.documents if k.run == self.number and k.name.startswith(part)]
        numbers = [int(k.name.partition("/")[2]) for k in groups if "/" in k.name]
        self._groups[part] = 1 + max(numbers, default=0)
        record = {"shape": shape, "files": {"matrix": {"name": name}}, "of": identity}
        if key not in self.documents:
            self._put[key] = encoded(record)
        return features

    def drop_older_features(self) -> None:
        """Those of earlier runs: what was wanted of them is in this one's."""
        for key, body in self.documents.items():
            if key.run == self.number:
                continue
            if key.kind == "matrix":
                self._useless.append(decoded(body)["files"]["matrix"]["name"])
            extraction = key.kind == "checkpoint" and key.name == _EXTRACTION
            if key.kind in ("matrix", "rows", "unreadable") or extraction:
                self._delete.append(key)

    def put_features(self, part: str, done: Done, iteration: int) -> None:
        """Record what was finished; its rows are on disk."""
        if not len(done.rows) and not done.failures:
            return
        name = f"{part}/{self._groups[part]:06}"
        self._groups[part] += 1
        if len(done.rows):
            self._put[Key(self.number, "rows", name)] = done.rows.tobytes()
        if done.failures:
            entries = [[i, str(error.file), error.reason] for i, error in done.failures]
            self._put[Key(self.number, "unreadable", name)] = json.dumps(entries).encode()
        record = {
            "phase": Phase.EXTRACTING_FEATURES,
            "iteration": iteration,
            "date": datetime.now(UTC).isoformat(),
            "files": {"checkpoint": {"name": self._matrices[part]}},
            "metrics": {},
        }
        self._put[Key(self.number, "checkpoint", _EXTRACTION)] = encoded(record)

    def put_state(self, state: State) -> None:
        """Replace the state of the training."""
        reference = self._write_arrays("training", state)
        if self._state_file:
            self._useless.append(self._state_file)
        self._state_file = reference.name
        self._put[Key(self.number, "state")] = encoded(
            {"files": {"arrays": reference.to_json()}, "values": state.values}
        )

    def state(self) -> State | None:
        """The state of the training; None before the first.

        Raises:
            CorruptSessionError: its file is damaged.
        """
        body = self.documents.get(Key(self.number, "state"))
        return None if body is None else read_state(self.writer.folder, decoded(body))

    def forget_state(self) -> None:
        """The training is to begin anew; its checkpoints stay."""
        self._delete.append(Key(self.number, "state"))
        self._state_file = ""
        self._reached = Phase.INITIALIZED

    def put_checkpoint(self, iteration: int, state: State, metrics: Mapping[str, float]) -> None:
        """Keep a point of the training."""
        self._checkpoints.put(str(iteration), State(state.arrays))
        record = {
            "phase": Phase.TRAINING,
            "iteration": iteration,
            "date": datetime.now(UTC).isoformat(),
            "values": state.values,
            "metrics": dict(metrics),
        }
        self._records.append(record)

    def put_result(self, model: bytes, values: Mapping[str, Any]) -> None:
        """Keep what came of the run; its state is of no use any more."""
        reference = self.writer.write(f"models/{self.number:04}.onnx", model)
        self._put[Key(self.number, "result")] = encoded(
            {"files": {"model": reference.to_json()}, **values}
        )
        self._delete.append(Key(self.number, "state"))
        if self._state_file:
            self._useless.append(self._state_file)
            self._state_file = ""

    def commit(
        self, phase: Phase, iteration: int, status: Mapping[str, Any]
    ) -> Sequence[Checkpoint]:
        """Make all of it durable; returns the checkpoints that became so.

        Raises:
            OSError: the disk is full, or fails; nothing has changed.
            SessionInUseError: somebody took the session over.
        """
        saved = self._write_checkpoints()
        place = {"phase": phase, "iteration": iteration}
        phases = list(Phase)
        # A program that comes by what was done before has not lost it.
        if phases.index(phase) >= phases.index(self._reached):
            self._put[Key(self.number, "place")] = encoded(place)
            self._reached = phase
        self.writer.commit(self._put, self._delete, {"run": self.number, **place, **status})
        self.writer.remove(self._useless)
        self._put, self._delete, self._useless = {}, [], []
        return saved

    def _write_checkpoints(self) -> list[Checkpoint]:
        """All that came since the last commit into one file: forcing one to disk takes long."""
        if not self._records:
            return []
        reference = self._write_arrays("checkpoints", self._checkpoints)
        saved = []
        for record in self._records:
            record["files"] = {"checkpoint": reference.to_json()}
            key = Key(self.number, "checkpoint", f"{record['iteration']:08}")
            self._put[key] = encoded(record)
            saved.append(_checkpoint(self.writer.folder, record))
        self._checkpoints, self._records = State(), []
        return saved

    def _write_arrays(self, folder: str, state: State) -> FileReference:
        from safetensors.numpy import save

        self._files += 1
        name = f"{folder}/{self.number:04}-{self._files:06}.safetensors"
        arrays = {key: np.ascontiguousarray(value) for key, value in state.arrays.items()}
        return self.writer.write(name, save(arrays))


def read_state(folder: Path, record: Mapping[str, Any]) -> State:
    """The arrays and values that a record tells of.

    Raises:
        CorruptSessionError: their file is missing or damaged.
    """
    from safetensors.numpy import load

    (reference,) = record["files"].values()
    return State(load(read_file(folder, FileReference(**reference))), dict(record["values"]))


def _checkpoint(folder: Path, record: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        Phase(record["phase"]),
        record["iteration"],
        datetime.fromisoformat(record["date"]),
        folder / record["files"]["checkpoint"]["name"],
        record["metrics"],
    )
