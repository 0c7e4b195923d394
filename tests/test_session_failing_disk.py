"""A disk that fails while a training writes to it: one clear error, and a session that goes on.

A child trains, saving after every unit of work, on a disk whose n-th call fails, alone or with all
after it. The short version takes a sample of n; `pytest -m long` takes 1, 2, 3 ... until there is
no such call.
"""

from __future__ import annotations

import errno
import itertools
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import silverprint as sp
from silverprint.features.disk import REMEDY
from support.children import run_python
from support.disk import Disk, Fail, Run
from support.replay import Call
from support.sessions import SHORT, Training, advance, resumed, session_of, short_training

FAULTS = [(error, always) for error in (errno.EIO, errno.ENOSPC) for always in (False, True)]


@pytest.fixture(scope="module")
def training() -> Iterator[Training]:
    with short_training() as training:
        yield training


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")


def train(training: Training, fail: Fail | None, *, begun: bool) -> tuple[Run, list[Call]]:
    """Train, from the middle if `begun`, and check how that ends; returns all calls, too."""
    with tempfile.TemporaryDirectory(dir=training.folder) as place:
        session, before = Path(place, "session"), ""
        if begun:
            advance(session_of(training.folder, session), sp.Phase.TRAINING, 3)
            before = "begun\ntraining 3\n"
        with Disk(Path(place)) as disk:
            done = disk.run(training.command(session), fail=fail, timeout=60)
        if done.returncode:
            assert done.returncode == 5, done.stderr
            *others, line = done.stderr.splitlines()
            assert re.fullmatch(rf"OSError: {re.escape(place)}.*; {re.escape(REMEDY)}", line), line
            assert all(other.startswith(("stopped after max", "what was")) for other in others)
        assert ("finished" in done.stdout) == (done.returncode == 0)
        training.goes_on(session, before + done.stdout)
    return done, [call for call in disk.calls if call.kind != "print"]


@pytest.mark.parametrize(("begun", "step"), [(False, 1), (True, 3)])
def test_calls_of_all_sorts_fail(training: Training, begun: bool, step: int) -> None:
    """Where something is done to a sort of file for the first time, in one of the four ways."""
    _, calls = train(training, None, begun=begun)
    first: dict[tuple[str, str], int] = {}
    for n, call in enumerate(calls, 1):
        first.setdefault((call.kind, Path(call.path).suffix), n)
    for (error, always), n in zip(itertools.cycle(FAULTS), [*first.values()][::step]):
        done, _ = train(training, Fail("any", n, error, always), begun=begun)
        assert done.hits


@pytest.mark.long
@pytest.mark.parametrize("begun", [False, True], ids=["from the start", "in the middle"])
@pytest.mark.parametrize(("error", "always"), FAULTS)
def test_each_call_fails(training: Training, error: int, always: bool, begun: bool) -> None:
    n, hits = 0, 1
    while hits:
        n += 1
        done, _ = train(training, Fail("any", n, error, always), begun=begun)
        hits = done.hits
    assert n > 200
    assert done.returncode == 0


FULL_FOR_A_WHILE = """
import resource, sys
from pathlib import Path
from silverprint import ImageClassifier
from silverprint.training.store.run import RunStore
from support.sessions import resumed, save_always, session_of

folder, place, phase = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
commit = RunStore.commit

def make_full(full):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0 if full else hard, hard))

def commit_once_full(self, now, *arguments):
    make_full(now == phase)
    return commit(self, now, *arguments)

save_always()
RunStore.commit = commit_once_full
try:
    ImageClassifier.resume(session_of(folder, place)).result()
except OSError as error:
    print(error)
RunStore.commit = commit
make_full(False)
model, program = resumed(session_of(folder, place))
print(program.counts.decoded)
model.write(folder / "went-on.onnx")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit can be set there")
@pytest.mark.parametrize("phase", ["extracting_features", "training", "done"])
def test_a_disk_that_is_full_for_a_while(training: Training, phase: str) -> None:
    """No file may grow; when there is room again the same process goes on."""
    with tempfile.TemporaryDirectory(dir=training.folder) as place:
        done = run_python(FULL_FOR_A_WHILE, training.folder, place, phase)
    message, decoded = done.stdout.splitlines()
    assert message.startswith(place)
    assert message.endswith(REMEDY)
    assert int(decoded) == (SHORT if phase == "extracting_features" else 0)
    assert (training.folder / "went-on.onnx").read_bytes() == training.contents[0]


READ_ONLY = """
import ctypes, sys
from pathlib import Path
import silverprint as sp
from support.sessions import session_of

# Root may write everywhere until it gives that up.
version, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(version, nothing) == 0

folder, place = Path(sys.argv[1]), Path(sys.argv[2])
session = sp.ImageClassifier.restore_training_session(sp.SessionParameters(place))
print(len(sp.ImageClassifier(checkpoint=session.checkpoints[-1]).labels))
for use in (
    lambda: sp.ImageClassifier.resume(session).result().write(folder / "read-only.onnx"),
    lambda: session_of(folder, place),
    lambda: session_of(folder, place.parent / "empty" / "new"),
):
    try:
        print(use())
    except OSError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="drops root's rights as Linux has it")
@pytest.mark.parametrize("finished", [True, False])
def test_a_read_only_session_can_be_looked_at(training: Training, finished: bool) -> None:
    """It gives its checkpoints and its result; what would write to it says that it cannot."""
    with tempfile.TemporaryDirectory(dir=training.folder) as name:
        place = Path(name, "session")
        session = session_of(training.folder, place)
        if finished:
            resumed(session)
        else:
            advance(session, sp.Phase.TRAINING, 3)
        folders = [place, place.parent / "empty"]
        folders[1].mkdir()
        for folder in folders:
            folder.chmod(0o500)
        done = run_python(READ_ONLY, training.folder, place)
        labels, result, gone_on, new = done.stdout.splitlines()
        for folder in folders:
            folder.chmod(0o700)
    assert labels == "4"
    refused = re.compile(rf"{re.escape(name)}.*; {re.escape(REMEDY)}")
    assert finished == (result == str(training.folder / "read-only.onnx"))
    assert finished or refused.fullmatch(result)
    assert refused.fullmatch(gone_on)
    assert refused.fullmatch(new)
