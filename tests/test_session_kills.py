"""A training that is killed, wherever that is, and resumed ends as one that never was.

The short version runs always; `pytest -m long` adds the others.
"""

from __future__ import annotations

import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from silverprint.export.coreml import available
from support.disk import Disk, Kill
from support.sessions import (
    PICTURES,
    contents,
    recorded,
    resumed,
    session_of,
    train_in_child,
    training_set,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

PHASES = ("extracting_features", "training", "evaluating", "done")
EVENTS = [("commit", phase) for phase in PHASES] + [("committed", phase) for phase in PHASES]
EVENTS.append(("checkpoint", "training"))
MOST = 20
CALLS = ("write", "fsync", "rename", "unlink", "open")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_set(tmp_path_factory.mktemp("kills"))


@pytest.fixture(scope="module")
def golden(folder: Path) -> tuple[Any, ...]:
    """What an uninterrupted training gives, saving now and then."""
    model, _ = resumed(session_of(folder, "golden"))
    return contents(model, folder)


@pytest.fixture(autouse=True)
def _without_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that what is not in the session is extracted again, and counted."""
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    yield
    shutil.rmtree(folder / "session", ignore_errors=True)


def ends_well(folder: Path, golden: tuple[Any, ...]) -> None:
    """The session as it is now is resumed, and nothing that it holds is done again."""
    session = session_of(folder)
    held = recorded(session)
    model, program = resumed(session)
    assert contents(model, folder) == golden
    if program is not None:
        assert program.counts.decoded == PICTURES - held


@pytest.mark.parametrize(
    ("kind", "phase", "number"),
    [
        ("commit", "extracting_features", 1),
        ("committed", "extracting_features", 9),
        ("commit", "training", 7),
        ("committed", "training", 12),
        ("checkpoint", "training", 3),
        ("committed", "evaluating", 1),
        ("commit", "done", 1),
        ("committed", "done", 1),
    ],
)
def test_killed_at_an_event(
    folder: Path, golden: tuple[Any, ...], kind: str, phase: str, number: int
) -> None:
    done = train_in_child(folder, kind, phase, number)
    assert done.returncode == -signal.SIGKILL, done.stderr
    ends_well(folder, golden)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "phase"), EVENTS)
def test_killed_at_every_event(
    folder: Path, golden: tuple[Any, ...], kind: str, phase: str
) -> None:
    killed = 0
    for number in range(1, MOST + 1):
        done = train_in_child(folder, kind, phase, number)
        killed += done.returncode == -signal.SIGKILL
        ends_well(folder, golden)
        shutil.rmtree(folder / "session")
        if not done.returncode:  # there are not so many
            break
    assert killed == MOST or (killed and phase not in ("extracting_features", "training"))


@pytest.mark.parametrize(
    "kill",
    [Kill("write", 60, "half"), Kill("rename", 9), Kill("fsync", 100, "after"), Kill("unlink", 30)],
)
def test_killed_in_a_system_call(folder: Path, golden: tuple[Any, ...], kill: Kill) -> None:
    assert _killed_in(folder, golden, kill)


def _killed_in(folder: Path, golden: tuple[Any, ...], kill: Kill) -> bool:
    """Kill a training there and check what is left; False: there is no such call."""
    (folder / "session").mkdir(mode=0o700)
    with Disk(folder / "session") as disk:
        command = [sys.executable, "-m", "support.sessions", folder, "session"]
        done = disk.run(command, kill=kill, env={"SILVERPRINT_CACHE": "off"})
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    ends_well(folder, golden)
    shutil.rmtree(folder / "session")
    return done.returncode != 0


@pytest.mark.long
@pytest.mark.parametrize("kind", CALLS)
def test_killed_in_many_system_calls(folder: Path, golden: tuple[Any, ...], kind: str) -> None:
    """Sixty, evenly over the whole training: at least twenty in each phase that has as many."""
    (folder / "session").mkdir(mode=0o700)
    with Disk(folder / "session") as disk:
        disk.run(
            [sys.executable, "-m", "support.sessions", folder, "session"],
            env={"SILVERPRINT_CACHE": "off"},
        )
        total = disk.counts[kind]
    shutil.rmtree(folder / "session")
    moments = ("before", "half", "after")
    for i in range(60):
        number = 1 + i * (total - 1) // 59
        assert _killed_in(folder, golden, Kill(kind, number, moments[i % 3])), number  # type: ignore[arg-type]


@pytest.mark.long
def test_killed_at_random_times(folder: Path, golden: tuple[Any, ...]) -> None:
    import os
    import subprocess
    import threading

    rng = random.Random(0)
    for _ in range(50):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "SILVERPRINT_CACHE": "off",
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "support.sessions", str(folder), "session"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        timer = threading.Timer(rng.uniform(0, 2.5), child.kill)
        timer.start()
        child.communicate()
        timer.cancel()
        ends_well(folder, golden)
        shutil.rmtree(folder / "session")


def test_killed_again_and_again(folder: Path, golden: tuple[Any, ...]) -> None:
    """Each time a little further."""
    for kind, phase in (
        ("committed", "extracting_features"),
        ("commit", "extracting_features"),
        ("checkpoint", "training"),
        ("committed", "training"),
    ):
        assert train_in_child(folder, kind, phase, 3).returncode == -signal.SIGKILL
    ends_well(folder, golden)
    if available() is None:
        assert package(folder, "session") == package(folder, "golden")


def package(folder: Path, session: str) -> dict[str, bytes]:
    """The files of a finished session's model as a Core ML package."""
    path = folder / f"{session}.mlpackage"
    resumed(session_of(folder, session))[0].write(path)
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
