"""The `silverprint` command in a process of its own that waits where a test wants it to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from support.guests import HEARING

_WAITING = """
import sys, threading
from silverprint.classifier.program import ClassifierProgram
from silverprint.cli.main import main
from silverprint.errors import TrainingCancelled
from support.sessions import save_always

save_always()
advance, count = ClassifierProgram.advance, 0

def advance_or_wait(self, cancel):
    global count
    count += self.phase == sys.argv[1]
    if count > 4:
        print("ready", flush=True)
        while not cancel.cancelled:
            threading.Event().wait(0.001)
        raise TrainingCancelled("stopped")
    advance(self, cancel)

ClassifierProgram.advance = advance_or_wait
sys.exit(main(sys.argv[2:]))
"""


@contextmanager
def waiting(phase: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command with `arguments`, which does four units of work of a phase and then waits.

    It saves after every unit, of two pictures or one iteration, and goes on only to be cancelled.
    """
    path = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING + _WAITING, phase, *arguments],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if "ready\n" not in process.stdout:
            raise AssertionError(process.communicate())
        yield process
    finally:
        process.kill()
        process.communicate()
