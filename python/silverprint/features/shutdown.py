"""Threads that must not outlive the interpreter, which would tear them down inside the core."""

from __future__ import annotations

import atexit
from typing import Protocol
from weakref import WeakSet


class Stoppable(Protocol):
    """Something with threads of its own."""

    def stop(self) -> None:
        """Ask the threads to end, and wait until they have."""
        ...


_running: WeakSet[Stoppable] = WeakSet()


def stop_at_exit(work: Stoppable) -> None:
    """Have `work` stopped when the interpreter exits, if it still exists."""
    _running.add(work)


@atexit.register
def _stop_all() -> None:
    for work in list(_running):
        work.stop()
