"""Showing a job's progress to a person: a live bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal

from silverprint.errors import InvalidParameterError
from silverprint.training.job import Job
from silverprint.training.progress import Phase, Progress

_INTERVAL = 0.2
_LINE_INTERVAL = 5.0

_TITLES = {
    Phase.INITIALIZED: "Starting",
    Phase.EXTRACTING_FEATURES: "Extracting features",
    Phase.TRAINING: "Training",
    Phase.EVALUATING: "Evaluating",
    Phase.DONE: "Done",
}


def check_display(how: object) -> None:
    """Raise InvalidParameterError unless `how` is what `show_progress` takes."""
    if how is not None and how is not False and not callable(how):
        raise InvalidParameterError("progress", how, "a function, None or False")


@contextmanager
def show_progress(
    job: Job[Any], how: Callable[[Progress], None] | Literal[False] | None
) -> Iterator[None]:
    """Show `job` while the block runs.

    Args:
        how: a function called with a `Progress` a few times a second; None: a bar if standard
            error is a terminal; False: nothing.
    """
    if how is None and sys.stderr.isatty():
        how = Bar()
    if not how:
        yield
        return
    report: Callable[[Progress], None] = how
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_INTERVAL):
            report(job.progress)

    watcher = threading.Thread(target=watch, name="silverprint-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        report(job.progress)
        if isinstance(how, Bar):
            how.close()


def describe(progress: Progress) -> str:
    """One line: phase, count, rate and time left."""
    parts = [_TITLES[progress.phase]]
    if progress.total_item_count:
        parts.append(f"{progress.item_count}/{progress.total_item_count}")
    if progress.phase is Phase.EXTRACTING_FEATURES and progress.rate:
        parts.append(f"{progress.rate:.0f} pictures/s")
        if progress.remaining is not None:
            parts.append(f"{progress.remaining:.0f} s left")
    return "  ".join(parts)


class Lines:
    """Plain lines: one for each phase, and one every few seconds within it."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._phase: Phase | None = None
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase is self._phase and now < self._next:
            return
        if progress.phase is self._phase is Phase.DONE:
            return
        self._phase, self._next = progress.phase, now + _LINE_INTERVAL
        print(describe(progress), file=self._stream, flush=True)


class Bar:
    """A live bar on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True)
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def __call__(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            description=describe(progress),
            completed=progress.item_count if progress.phase is not Phase.DONE else 1,
            total=progress.total_item_count if progress.phase is not Phase.DONE else 1,
        )

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.stop()
