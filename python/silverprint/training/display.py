"""Showing a job's progress to a person: a live bar on a terminal, lines in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import IO, Literal, TypeVar

from silverprint.errors import InvalidParameterError
from silverprint.training.job import Job
from silverprint.training.progress import Phase, Progress

Result = TypeVar("Result")

_INTERVAL = 0.2
_LINE_INTERVAL = 5.0


def check_display(how: object) -> None:
    """Raise InvalidParameterError unless `how` is what `result_of` takes."""
    if how is not None and how is not False and not callable(how):
        raise InvalidParameterError("progress", how, "a function, None or False")


def result_of(job: Job[Result], how: Callable[[Progress], None] | Literal[False] | None) -> Result:
    """Wait for the result of `job` and show its progress meanwhile.

    Args:
        how: a function called with a `Progress` a few times a second, from this thread; what it
            raises ends the job, as Ctrl-C does. None: a bar if standard error is a terminal,
            lines in a notebook. False: nothing.
    """
    report = _display() if how is None else how
    if not report:
        return job.result()
    try:
        while not job.wait(_INTERVAL):
            report(job.progress)
        report(job.progress)
        return job.result()
    except BaseException:
        job.stop()
        raise
    finally:
        if isinstance(report, Bar):
            report.close()


def _display() -> Callable[[Progress], None] | None:
    if in_notebook():
        # A live bar there needs ipywidgets; standard error is shown as if something had failed.
        return Lines(sys.stdout)
    return Bar() if sys.stderr is not None and sys.stderr.isatty() else None


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook; IPython is asked only where it is loaded."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


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
        print(progress, file=self._stream, flush=True)


class Bar:
    """A live bar on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            console=Console(stderr=True, force_jupyter=False),
            auto_refresh=False,  # no thread of its own
            redirect_stdout=False,  # which is another stream, and the program's
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def __call__(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            description=str(progress),
            completed=progress.item_count if progress.phase is not Phase.DONE else 1,
            total=progress.total_item_count if progress.phase is not Phase.DONE else 1,
            refresh=True,
        )

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.stop()
