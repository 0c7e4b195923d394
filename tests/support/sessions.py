"""A training that is killed, and the same one that is not.

Run as a program it trains in a session, saving after every unit of work, and may kill itself:

    python -m support.sessions FOLDER SESSION [KIND PHASE NUMBER]

FOLDER is what `training_set` made; KIND is "commit", "committed" or "checkpoint". It prints what
may not be lost any more: "begun", then the phase and iteration of each commit, then "finished". An
error that a user may see ends it with status 5 and one line.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import silverprint as sp
from silverprint import _core
from silverprint.classifier import extraction
from silverprint.classifier.program import ClassifierProgram
from silverprint.classifier.resuming import program_of
from silverprint.training import job as jobs
from silverprint.training.store.run import RunStore, feature_records
from silverprint.training.store.store import SessionStore
from support.classifier_sets import COLOURS, draw_set
from support.graphs import PLAIN
from support.guests import tiny_extractor

PICTURES = 48
SHORT = 12


def training_set(folder: Path, pictures: int = PICTURES) -> Path:
    """Pictures and a backbone in `folder`."""
    draw_set(folder / "pictures", dict.fromkeys(COLOURS, pictures // len(COLOURS)))
    tiny_extractor(folder)
    return folder


def parameters(folder: Path) -> sp.ModelParameters:
    """Those of the training: of `SHORT` pictures it has no search, and fewer units of work."""
    extractor = sp.CustomFeatureExtractor(folder / "tiny.onnx", **PLAIN)  # type: ignore[arg-type]
    common: dict[str, Any] = {"feature_extractor": extractor, "max_iterations": 4}
    if len(sp.DataSource.of(folder / "pictures")) == SHORT:
        common |= {"classifier": sp.LogisticRegressor(l2=0.1), "validation": sp.Split(0.34)}
    return sp.ModelParameters(**common)


def session_of(
    folder: Path, name: str | Path = "session", iterations: int | None = None
) -> sp.TrainingSession:
    """The session of the training, begun or restored."""
    kept = sp.SessionParameters(folder / name, checkpoint_interval=2, iterations=iterations)
    return sp.ImageClassifier.make_training_session(folder / "pictures", parameters(folder), kept)


def save_always(monkeypatch: Any = None) -> None:
    """Have jobs of this process save after every unit of work, of two pictures or one step."""
    for module, name, value in (
        (jobs, "SAVE_INTERVAL", 0.0),
        (jobs, "_SAVE_SHARE", 0),
        (extraction, "BLOCK_SIZE", 2),
    ):
        if monkeypatch is None:
            setattr(module, name, value)
        else:
            monkeypatch.setattr(module, name, value)


def recorded(session: sp.TrainingSession) -> int:
    """How many pictures' features the session holds."""
    return len(feature_records(session.store.read(), session.number, "training").rows)


def resumed(session: sp.TrainingSession) -> tuple[sp.ImageClassifier, ClassifierProgram | None]:
    """The model of a session, gone on with in this process, and the program that did."""
    program = program_of(session)
    model = jobs.Job(program, sp.ImageClassifier._made).result()
    return model, program if isinstance(program, ClassifierProgram) else None


def contents(model: sp.ImageClassifier, folder: Path) -> tuple[Any, ...]:
    """All that has to be the same, however often a training was interrupted."""
    path = folder / "contents.onnx"
    model.write(path)
    validation, training = model.validation_metrics, model.training_metrics
    assert validation is not None
    assert training is not None
    return (
        path.read_bytes(),
        validation,
        validation.mistakes,
        training,
        training.mistakes,
        model.duplicates,
    )


def models(session: sp.TrainingSession) -> dict[int, bytes]:
    """The model that each checkpoint of the training makes, by iteration."""
    kept = [one for one in session.checkpoints if one.phase is sp.Phase.TRAINING]
    return {one.iteration: sp.ImageClassifier(checkpoint=one)._model for one in kept}


def advance(session: sp.TrainingSession, phase: sp.Phase, iteration: int) -> None:
    """Go on with a session up to there, saving after every unit of work, and stop."""
    program, cancel = program_of(session), _core.runtime.CancelToken()
    while (program.phase, program.iteration) != (phase, iteration):
        program.advance(cancel)
        program.save()
    program.close()


@dataclass(frozen=True)
class Training:
    """A short training, and what it gives when nothing happens.

    Attributes:
        folder: of `training_set`, on a disk as fast as memory where there is one.
        contents: of its model.
        models: of its checkpoints.
    """

    folder: Path
    contents: tuple[Any, ...]
    models: dict[int, bytes]

    def command(self, session: Path) -> list[object]:
        """What trains in a session, as a program."""
        return [sys.executable, "-m", "support.sessions", self.folder, session]

    def goes_on(
        self, folder: Path, printed: str = "", *, known: bool = False, damaged: bool = False
    ) -> None:
        """Check that the session in a folder ends well after its program printed that.

        What was promised is there, checkpoints are whole, the model is the same, no picture is
        decoded that the session holds, or an earlier run of it if `known`, and nothing needs to be
        repaired unless it was `damaged` before.
        """
        assert "begun" not in printed or SessionStore.is_session(folder)
        session = session_of(self.folder, folder)
        commits = [line.split() for line in printed.splitlines() if " " in line]
        places = [(_PHASES.index(phase), int(iteration)) for phase, iteration in commits]
        assert (_PHASES.index(session.phase), session.iteration) >= (places or [(0, 0)])[-1]
        trained = max((i for phase, i in places if phase >= _PHASES.index("training")), default=0)
        kept, held = models(session), recorded(session)
        assert kept.keys() >= {iteration for iteration in self.models if iteration <= trained}
        assert kept.items() <= self.models.items()
        with _warnings() as warnings:
            model, program = resumed(session)
        assert damaged or not [warning for warning in warnings if "anew" in warning]
        assert contents(model, self.folder) == self.contents
        assert models(session) == self.models
        decoded = program.counts.decoded if program else 0
        assert decoded == (0 if known or program is None else SHORT - held)


_PHASES = [str(phase) for phase in sp.Phase]


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What silverprint logs meanwhile."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("silverprint").addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger("silverprint").removeHandler(handler)


@contextmanager
def short_training() -> Iterator[Training]:
    """A training of `SHORT` pictures, in a folder of its own."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(
        prefix="silverprint-", dir=memory, ignore_cleanup_errors=True
    ) as place:
        folder = training_set(Path(place).resolve(), SHORT)
        session = session_of(folder, "golden")
        model, _ = resumed(session)
        yield Training(folder, contents(model, folder), models(session))


def train_in_child(folder: Path, *kill: object) -> subprocess.CompletedProcess[str]:
    """Run this file as a program."""
    variables = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "SILVERPRINT_CACHE": "off",
    }
    return subprocess.run(
        [sys.executable, "-m", "support.sessions", str(folder), "session", *map(str, kill)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _kill_at(kind: str, phase: str, number: int) -> None:
    """Have this process killed at the `number`-th event of a kind in a phase."""
    count = 0

    def happens(now: object) -> None:
        nonlocal count
        count += now == phase
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind == "checkpoint":
        put = RunStore.put_checkpoint

        def put_checkpoint(self: RunStore, *arguments: Any) -> None:
            put(self, *arguments)
            happens(sp.Phase.TRAINING)

        RunStore.put_checkpoint = put_checkpoint  # type: ignore[method-assign]
        return
    commit = RunStore.commit

    def commit_or_die(self: RunStore, now: sp.Phase, *arguments: Any) -> Any:
        if kind == "commit":
            happens(now)
        done = commit(self, now, *arguments)
        if kind == "committed":
            happens(now)
        return done

    RunStore.commit = commit_or_die  # type: ignore[method-assign]


def _tell_commits() -> None:
    """Have this process print what it may not lose any more."""
    commit = RunStore.commit

    def commit_and_tell(self: RunStore, phase: sp.Phase, iteration: int, *arguments: Any) -> Any:
        done = commit(self, phase, iteration, *arguments)
        print(phase, iteration, flush=True)
        return done

    RunStore.commit = commit_and_tell  # type: ignore[method-assign]


def main(arguments: Sequence[str]) -> int:
    folder, name, *kill = arguments
    if kill:
        _kill_at(kill[0], kill[1], int(kill[2]))
    _tell_commits()
    save_always()
    try:
        session = session_of(Path(folder), name)
        print("begun", flush=True)
        sp.ImageClassifier.resume(session).result()
    except (sp.SilverprintError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 5
    print("finished", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
