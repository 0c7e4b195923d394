"""Ctrl-C and the signals of batch systems, while a command waits for a job."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from silverprint.errors import TrainingCancelled
from silverprint.training.job import Job

_STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 143}
"""What the shell sees; SIGUSR1 is how clusters announce the end of the time."""

_NOTICE = b"\nStopping; what is done is being saved. Ctrl-C again stops at once.\n"
_SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def interruptible(job: Job[Any], how_to_go_on: str) -> Iterator[None]:
    """While inside, a signal pauses `job` and then ends the command.

    The first SIGINT (Ctrl-C), SIGTERM or SIGUSR1 cancels the job, which saves what was done; then
    `how_to_go_on` is printed and the command exits with 130 or 143. Ctrl-C after that ends the
    process at once; the others are ignored then, as schedulers send several. A job that could not
    save ends the command with its own error. Signals that the process was started to ignore stay
    ignored; in another thread than the main one nothing changes.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            return
        received.append(_STATUS[signal.Signals(number).name])
        job.cancel()
        if signal.SIGINT in before:  # the system ends the process, whatever Python is doing
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        with suppress(OSError):  # print() may not be used while the bar prints
            os.write(2, _NOTICE + (_SHOW_CURSOR if os.isatty(2) else b""))

    try:
        for number in _signals():
            before[number] = signal.signal(number, stop)
        yield
    except TrainingCancelled:
        if not received:
            raise
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
    if received:
        print(how_to_go_on, file=sys.stderr)
        raise SystemExit(received[0])


def _signals() -> list[signal.Signals]:
    """Those to listen to, which only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return []
    known = [signal.Signals[name] for name in _STATUS if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]
