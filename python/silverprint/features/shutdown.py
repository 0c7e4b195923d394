"""Threads that must not outlive the interpreter, which would tear them down inside the core."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Protocol
from weakref import WeakSet


class Stoppable(Protocol):
    """Something with threads of its own."""

    def stop(self) -> None:
        """Ask the threads to end, and wait until they have."""
        ...


_running: WeakSet[Stoppable] = WeakSet()
_lock = threading.Lock()
_exiting = threading.Event()


def stop_at_exit(work: Stoppable) -> None:
    """Have `work` stopped when the interpreter exits, if it still exists."""
    hold_at_exit()
    with _lock:
        _running.add(work)


class JoinedThread(threading.Thread):
    """A daemon thread that `Stoppable.stop` joins."""


def hold_at_exit() -> None:
    """Keep a daemon thread here once the interpreter exits, unless somebody waits for its end."""
    thread = threading.current_thread()
    if _exiting.is_set() and thread.daemon and not isinstance(thread, JoinedThread):
        threading.Event().wait()


@atexit.register
def _stop_all() -> None:
    with _lock:
        _exiting.set()
        running = list(_running)
    for work in running:
        work.stop()


def _forget() -> None:
    """In a forked child, which has none of the threads."""
    global _running, _lock
    _running, _lock = WeakSet(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
