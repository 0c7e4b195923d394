"""Wherever the power fails, a training in a session goes on from what it has saved.

A child trains, saving after every unit of work; then each folder that a power loss at some moment
may leave is gone on with. support/disk.py says what may be lost, `Training.goes_on` what may not.
The short version takes a sample of the moments; `pytest -m long` takes all.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import silverprint as sp
from silverprint.training.store.run import feature_records
from silverprint.training.store.store import SessionStore
from support.disk import Disk
from support.sessions import SHORT, Training, advance, resumed, session_of, short_training

REUSE = """
import sys
from pathlib import Path
from support.sessions import main, session_of

folder, golden, name = map(Path, sys.argv[1:])
session_of(folder, name).reuse_extracted_features(session_of(folder, golden))
print("reused", flush=True)
sys.exit(main([folder, name]))
"""

some_or_all = pytest.mark.parametrize(
    "count", [pytest.param(100, id="some"), pytest.param(None, id="all", marks=pytest.mark.long)]
)


@pytest.fixture(scope="module")
def training() -> Iterator[Training]:
    with short_training() as training:
        yield training


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")


@pytest.fixture
def place(training: Training) -> Iterator[Path]:
    """Where a session may lie, in a new folder of the failing disk."""
    with tempfile.TemporaryDirectory(dir=training.folder) as disk:
        yield Path(disk, "new", "session")


def fail_while_training(
    training: Training,
    place: Path,
    count: int | None,
    *before: object,
    promised: str = "",
    **conditions: bool,
) -> None:
    """`before` is put before the command that trains; for the others see `Training.goes_on`."""
    with Disk(place.parent.parent) as disk:
        done = disk.run([*before, *training.command(place)])
        assert done.returncode == 0, done.stderr
        for crash in disk.crashes(seed=0, count=count):
            session = crash.folder / "new" / "session"
            training.goes_on(session, promised + crash.printed, **conditions)


@some_or_all
def test_of_a_new_session(training: Training, place: Path, count: int | None) -> None:
    """As long as nothing was promised there may be none; the training begins then."""
    fail_while_training(training, place, count)


def test_of_a_session_in_a_folder_that_was_made_just_before(
    training: Training, place: Path
) -> None:
    place.parent.mkdir()
    first = ("sh", "-c", 'mkdir "$0" && exec "$@"', place)
    fail_while_training(training, place, 30, *first)


@some_or_all
def test_of_a_second_run(training: Training, place: Path, count: int | None) -> None:
    """It takes over the features of the first, which go when they are safe."""
    resumed(session_of(training.folder, place, iterations=1))
    fail_while_training(training, place, count, known=True)


@some_or_all
def test_of_a_run_that_goes_on(training: Training, place: Path, count: int | None) -> None:
    advance(session_of(training.folder, place), sp.Phase.TRAINING, 3)
    fail_while_training(training, place, count, promised="begun\ntraining 3\n")


@some_or_all
def test_of_a_run_whose_head_is_trained_anew(
    training: Training, place: Path, count: int | None
) -> None:
    """Its checkpoints are kept meanwhile, though the training comes by them once more."""
    advance(session_of(training.folder, place), sp.Phase.TRAINING, 3)
    (state,) = (place / "training").iterdir()
    state.write_bytes(b"")
    fail_while_training(training, place, count, promised="begun\ntraining 3\n", damaged=True)


@some_or_all
def test_of_a_session_that_takes_over_the_features_of_another(
    training: Training, place: Path, count: int | None
) -> None:
    """Once it has said so they are there; until then they may be, or it extracts its own."""
    command = [sys.executable, "-c", REUSE, training.folder, "golden", place]
    with Disk(place.parent.parent) as disk:
        done = disk.run(command)
        assert done.returncode == 0, done.stderr
        for crash in disk.crashes(seed=0, count=count):
            session = crash.folder / "new" / "session"
            known = "reused" in crash.printed or reused(session) == SHORT
            training.goes_on(session, crash.printed, known=known)


def reused(folder: Path) -> int:
    """How many pictures' features a session has from another one."""
    if not SessionStore.is_session(folder):
        return 0
    documents = SessionStore(folder).read()
    matrices = [key for key in documents if key.kind == "matrix" and not key.run]
    return sum(len(feature_records(documents, 0, key.name).rows) for key in matrices)
