"""A folder on a disk that fails: a child's calls to it are logged, failed or ended, and replayed.

    with Disk(folder) as disk:                    # skips without Linux, glibc and a C compiler
        disk.run([sys.executable, "train.py"])
        disk.counts["fsync"]                      # how many calls of a kind that took
        disk.run(..., fail=Fail("write", 3))      # the third write fails with EIO
        disk.run(..., kill=Kill("rename", 1))     # SIGKILL before the first rename
        for crash in disk.crashes(seed=0):        # of the last run
            check(crash.folder, crash.printed)

Crashes are folders as a power loss may leave them, under this model:

- The content of a file may lose any suffix of the writes and truncations since it was last
  flushed (fsync, fdatasync). The last one kept may be torn, where 512 bytes of the file end.
- A folder may lose any suffix of the creations, renames and removals in it since it was last
  flushed. A rename between two folders is kept in both or in neither.
- Files and folders lose independently of each other, and flushing one says nothing of another.
- What was there before `Disk.run` is on the disk. A flush that fails has flushed nothing.

After each run the replay of all calls is compared with the folder itself: what the log missed
(stdio, mappings; see tests/native/failing_disk.c) is an error, not a test that tests nothing.
"""

from __future__ import annotations

import atexit
import copy
import errno
import functools
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from support.replay import KINDS, LOSSES, Call, Model, read_log

_SOURCE = Path(__file__).resolve().parent.parent / "native" / "failing_disk.c"
_LOG_SIZE = 1 << 30  # of a sparse file: it takes what is logged
_MOMENTS = ("before", "half", "after")  # as failing_disk.c numbers them


@dataclass(frozen=True)
class Fail:
    """The `n`-th call of a kind fails with `error`, or with `always` all from then on.

    Kinds are "open" (readers, too), "write", "truncate", "fsync", "rename", "unlink" (and rmdir),
    "mkdir", "link" (and symlink), "close" (of a file open for writing) and "any". Writes that
    always fail with ENOSPC begin with a short one, as on a disk that fills up.
    """

    kind: str
    n: int
    error: int = errno.EIO
    always: bool = False


@dataclass(frozen=True)
class Kill:
    """SIGKILL at the `n`-th call of a kind. "half" writes half of the bytes of a write first, and
    is "after" for other kinds.
    """

    kind: str
    n: int
    moment: Literal["before", "half", "after"] = "before"


@dataclass(frozen=True)
class Run:
    """How a child ended. `hits` is how many of its calls were failed or killed: with 0 a loop
    over n is through.
    """

    returncode: int
    stdout: str
    stderr: str
    hits: int


@dataclass(frozen=True)
class Crash:
    """What a power loss left in `folder`, whose path says when; `printed` is all that was on
    standard output by then: what the program had promised.
    """

    folder: Path
    printed: str


class Disk:
    """A folder, and what the processes that `run` starts do to it; see above.

    `calls` are those of the last run, in the order in which they happened. Nothing but the child
    may change the folder during a run, and no process of it may outlive it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.calls: list[Call] = []
        self._shim = _shim()

    def __enter__(self) -> Disk:
        self._scratch = Path(tempfile.mkdtemp(prefix=".failing-disk-", dir=self.folder.parent))
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._scratch)

    @property
    def counts(self) -> Counter[str]:
        """How many calls of each kind the last run made, failing ones included; "any" is all."""
        counts = Counter(call.kind for call in self.calls if call.kind != "print")
        counts["any"] = counts.total()
        return counts

    def run(
        self,
        command: Sequence[object],
        *,
        fail: Fail | None = None,
        kill: Kill | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> Run:
        """Run a command in the folder, with the packages of this process, and log what it does.

        Raises AssertionError: the log does not explain what is in the folder now.
        """
        self._before = Model(self.folder)
        log = self._scratch / "log"
        log.write_bytes(b"")
        os.truncate(log, _LOG_SIZE)
        variables = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **(env or {}),
            "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {self._shim}".strip(),
            "SHIM_ROOT": str(self.folder),
            "SHIM_LOG": str(log),
        }
        if fail:
            kind = KINDS.index(fail.kind)
            variables["SHIM_FAIL"] = f"{kind}:{fail.n}:{fail.error}:{fail.always:d}"
        if kill:
            kind, moment = KINDS.index(kill.kind), _MOMENTS.index(kill.moment)
            variables["SHIM_KILL"] = f"{kind}:{kill.n}:{moment}"
        done = subprocess.run(
            [*map(str, command)],
            env=variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert "failing_disk:" not in done.stderr, done.stderr
        hits, self.calls = read_log(log)
        self._compare()
        return Run(done.returncode, done.stdout, done.stderr, hits)

    def crashes(self, seed: int, count: int | None = None) -> Iterator[Crash]:
        """The folder after a power loss at every moment of the last run, for each of `LOSSES`.

        A moment is just before a call that changes the disk, or the end. With `count`, only so
        many, chosen by the seed; the end with all lost that can be lost is always among them. A
        crash's folder has the name of the original and is removed when the next is asked for.
        """
        moments = [i for i, call in enumerate(self.calls) if call.changes_disk] + [len(self.calls)]
        chosen = [(moment, loss) for moment in moments for loss in LOSSES]
        if count is not None and count < len(chosen):
            end = chosen.pop(chosen.index((len(self.calls), "all")))
            chosen = [*sorted(random.Random(seed).sample(chosen, count - 1)), end]
        for moment, loss in chosen:
            call = self.calls[moment] if moment < len(self.calls) else None
            when = f"call {moment} {call.kind} {Path(call.path).name}" if call else "the end"
            place = self._scratch / f"before {when}, {loss} lost, seed {seed}"
            printed = b"".join(c.data for c in self.calls[:moment] if c.kind == "print")
            try:
                self._replay(moment, loss, seed).root.write(place / self.folder.name)
                yield Crash(place / self.folder.name, printed.decode())
            finally:
                shutil.rmtree(place)

    def _replay(self, moment: int, loss: str, seed: int = 0) -> Model:
        model = copy.deepcopy(self._before)
        for call in self.calls[:moment]:
            model.apply(call)
        model.lose(loss, random.Random(f"{seed} {moment} {loss}"))
        return model

    def _compare(self) -> None:
        replayed = self._replay(len(self.calls), "nothing").root.listing()
        found = Model(self.folder).root.listing()
        names = sorted(p for p in {*replayed, *found} if replayed.get(p, 0) != found.get(p, 0))
        assert not names, f"{names}: changed by calls that failing_disk.c does not see"


@functools.cache
def _shim() -> Path:
    """failing_disk.c, compiled once for all tests."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or sys.maxsize < 1 << 32:
        pytest.skip("failing_disk.c needs 64-bit Linux with glibc")
    if compiler is None:
        pytest.skip("no C compiler for failing_disk.c")
    folder = tempfile.mkdtemp(prefix="failing-disk-")
    atexit.register(shutil.rmtree, folder)
    library = Path(folder, "failing_disk.so")
    options = ("-shared", "-fPIC", "-O1", "-pthread")
    command = [compiler, *options, "-o", str(library), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library
