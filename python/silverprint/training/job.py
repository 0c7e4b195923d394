"""A training under way on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from silverprint import _core
from silverprint.errors import TrainingCancelled
from silverprint.features.shutdown import hold_at_exit, stop_at_exit
from silverprint.training.program import Program
from silverprint.training.progress import Phase, Progress

Result = TypeVar("Result")

_POLL = 0.2
"""Seconds between looks for Ctrl-C while waiting."""


class Job(Generic[Result]):
    """A training that was started; it goes on whether or not anybody waits.

    Thread-safe: all members may be used from any thread. The job can be awaited.

    Args:
        program: what to carry out.
        finish: makes the job's result of the program's; None: it is the program's.
    """

    def __init__(
        self, program: Program[Any], finish: Callable[[Any], Result] | None = None
    ) -> None:
        self._program = program
        self._finish = finish
        self._cancel = _core.runtime.CancelToken()
        self._future: Future[Result] = Future()
        self._future.set_running_or_notify_cancel()
        self._started = self._phase_started = time.monotonic()
        self._phase = program.phase
        self.start_date = datetime.now(UTC)
        self._thread = threading.Thread(target=self._run, name="silverprint-job", daemon=True)
        stop_at_exit(self)
        self._thread.start()

    @property
    def phase(self) -> Phase:
        """What the job is doing."""
        return self._program.phase

    @property
    def progress(self) -> Progress:
        """Where the job stands."""
        program = self._program
        while True:
            phase = program.phase
            now = time.monotonic()
            progress = Progress(
                phase,
                program.item_count,
                program.total_item_count,
                now - self._started,
                now - self._phase_started,
                dict(program.metrics),
            )
            # The job goes on meanwhile: counts must not be those of the next phase.
            if program.phase is phase:
                return progress

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancel.cancelled

    @property
    def is_done(self) -> bool:
        """Whether there is a result, or an error in its place."""
        return self._future.done()

    def cancel(self) -> None:
        """Ask the job to stop; `result` then raises TrainingCancelled."""
        self._cancel.cancel()

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result. Ctrl-C cancels the job.

        Raises:
            TrainingCancelled: the job was cancelled.
            TimeoutError: it is not done after `timeout` seconds; it goes on.
        """
        try:
            if not self.wait(timeout):
                raise TimeoutError(f"not done after {timeout} seconds")
            hold_at_exit()
            return self._future.result()
        except KeyboardInterrupt:
            self.stop()
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is done, or for `timeout` seconds; returns `is_done`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._future.done():
            left = _POLL if deadline is None else min(_POLL, deadline - time.monotonic())
            if left <= 0:
                return False
            wait([self._future], left)
        return True

    def stop(self) -> None:
        """Cancel, and wait until the job's threads have ended."""
        self.cancel()
        if self._thread.is_alive():  # at exit it may not have been started
            self._thread.join()

    def __await__(self) -> Generator[object, None, Result]:
        import asyncio

        return asyncio.wrap_future(self._future).__await__()

    def _run(self) -> None:
        try:
            try:
                while self._program.phase is not Phase.DONE:
                    if self._cancel.cancelled:
                        raise TrainingCancelled("the training was cancelled")
                    if self._program.phase is not self._phase:
                        self._phase = self._program.phase
                        self._phase_started = time.monotonic()
                    self._program.advance(self._cancel)
                result = self._program.result()
            finally:
                self._program.close()
            self._future.set_result(self._finish(result) if self._finish else result)
        except BaseException as error:
            self._future.set_exception(error)
