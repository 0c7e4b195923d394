"""A training under way on a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from silverprint import _core
from silverprint.errors import TrainingCancelled
from silverprint.features.shutdown import JoinedThread, stop_at_exit
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.events import Feed, JobEvent, Reader
from silverprint.training.program import Program
from silverprint.training.progress import Pace, Phase, Progress

Result = TypeVar("Result")

_log = logging.getLogger("silverprint")

SAVE_INTERVAL = 1.0
"""Least seconds between two saves within a phase."""

_SAVE_SHARE = 25
"""Least time between two saves, in times the last one took."""

_EVENT_INTERVAL = 0.1
"""Least seconds between two progress events."""


class Job(Generic[Result]):
    """A training that was started; it goes on whether or not anybody waits.

    Wait for its `result`, iterate over its events, have them call you (`add_callback`), or use
    ``await job`` and ``async for event in job``: docs/jobs.md. Any number of readers may do so at
    once, at any time: each is told every phase and checkpoint from the start, and of progress the
    newest. Iteration ends with the job, however that ends; `result` tells.

    Thread-safe: all members may be used from any thread.

    Args:
        program: what to carry out.
        finish: makes the job's result of the program's; None: it is the program's.
        report_interval: iterations between progress events, of which at most ten a second happen.
    """

    def __init__(
        self,
        program: Program[Any],
        finish: Callable[[Any], Result] | None = None,
        *,
        report_interval: int = 5,
    ) -> None:
        self._program: Program[Any] | None = program
        self._report_interval = report_interval
        self._cancel = _core.runtime.CancelToken()
        self._future: Future[Result] = Future()
        self._started = self._saved = self._told = time.monotonic()
        self._save_duration = 0.0
        self._told_iteration = 0
        self._pace = Pace(program.phase, program.item_count, self._started)
        self._last: Progress | None = None
        self.start_date = datetime.now(UTC)
        self._thread = JoinedThread(
            target=self._run, args=(program, finish), name="silverprint-job", daemon=True
        )
        self._feed = Feed(self._thread)
        stop_at_exit(self)
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C, when nobody has the job yet
            self.cancel()
            raise

    @property
    def phase(self) -> Phase:
        """What the job is doing."""
        return self.progress.phase

    @property
    def progress(self) -> Progress:
        """Where the job stands; once it has ended, where it stood then."""
        while True:
            program = self._program
            if program is None:
                assert self._last is not None
                return self._last
            phase, pace, now = program.phase, self._pace, time.monotonic()
            count = program.item_count
            same = pace.phase is phase
            progress = Progress(
                phase,
                count,
                program.total_item_count,
                now - self._started,
                now - pace.started if same else 0.0,
                pace.rate(count, now) if same else None,
                dict(program.metrics),
            )
            # The job goes on meanwhile: counts must not be those of the next phase.
            if program.phase is phase:
                return progress

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """What this job has saved so far."""
        return self._feed.checkpoints

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancel.cancelled

    @property
    def is_done(self) -> bool:
        """Whether there is a result, or an error in its place."""
        return self._feed.ended() is True

    def cancel(self) -> None:
        """Ask the job to stop; `result` then raises TrainingCancelled.

        What was done is saved first, where there is a session: cancelling is pausing.
        """
        self._cancel.cancel()

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result. Ctrl-C cancels the job.

        Raises:
            TrainingCancelled: the job was cancelled, and what was done is saved.
            TimeoutError: it is not done after `timeout` seconds; it goes on.
            SilverprintError: called in a callback of this job, which would wait for itself.
        """
        try:
            if not self.wait(timeout):
                raise TimeoutError(f"not done after {timeout} seconds")
            return self._future.result()
        except KeyboardInterrupt:
            self.stop()
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is done, or for `timeout` seconds; returns `is_done`."""
        return self._feed.wait(self._feed.ended, timeout) is True

    def stop(self) -> None:
        """Cancel, and wait until the job's threads have ended."""
        self.cancel()
        if self._thread.is_alive():  # at exit it may not have been started
            self._feed.refuse_to_wait()
            self._thread.join()

    def add_callback(self, function: Callable[[JobEvent], object]) -> None:
        """Have `function` called with every event, those that have happened first.

        It is called on the job's thread, which waits for it: be quick. After the end of the job it
        is called at once, on this thread. What it raises is logged and hurts nothing. A function
        that was added before is not added again.
        """
        self._feed.add_callback(function)

    def __iter__(self) -> Iterator[JobEvent]:
        """Events as they happen. Ctrl-C while waiting for one cancels the job."""
        return Reader(self._feed, self.stop)

    def __aiter__(self) -> AsyncIterator[JobEvent]:
        return Reader(self._feed, self.stop)

    def __await__(self) -> Generator[object, None, Result]:
        return self._awaited().__await__()

    async def _awaited(self) -> Result:
        await self._feed.wait_async(self._feed.ended)
        return self._future.result()

    def _run(self, program: Program[Any], finish: Callable[[Any], Result] | None) -> None:
        try:
            try:
                self._carry_out(program)
                found = program.result()
            finally:
                program.close()
            result = finish(found) if finish else found
            self._tell(program, "phase")
            self._future.set_result(result)
        except BaseException as error:
            self._future.set_exception(error)
        finally:
            try:
                # Whoever keeps the job need not keep the features.
                self._last = self.progress
                self._program = None
            finally:
                self._feed.end()

    def _carry_out(self, program: Program[Any]) -> None:
        self._tell(program, "phase")
        while program.phase is not Phase.DONE:
            try:
                if self._cancel.cancelled:
                    raise TrainingCancelled("the training was cancelled")
                program.advance(self._cancel)
            except TrainingCancelled:
                self._save(program)
                raise
            except BaseException:
                self._save_after_failure(program)
                raise
            self._follow(program)

    def _follow(self, program: Program[Any]) -> None:
        """Save and tell what a unit of work has done."""
        entered = program.phase is not self._pace.phase
        pause = max(SAVE_INTERVAL, _SAVE_SHARE * self._save_duration)
        if entered or time.monotonic() - self._saved >= pause:
            self._save(program)
        now = time.monotonic()
        if entered:
            self._pace = Pace(program.phase, program.item_count, now)
            if program.phase is not Phase.DONE:  # told once there is a result
                self._tell(program, "phase")
            return
        self._pace.mark(program.item_count, now)
        iterations = program.iteration - self._told_iteration
        if iterations >= self._report_interval and now - self._told >= _EVENT_INTERVAL:
            self._tell(program, "progress")

    def _save(self, program: Program[Any]) -> None:
        started = time.monotonic()
        checkpoints = program.save()
        self._saved = time.monotonic()
        self._save_duration = self._saved - started
        for checkpoint in checkpoints:
            self._feed.publish(JobEvent("checkpoint", self.progress, checkpoint))

    def _save_after_failure(self, program: Program[Any]) -> None:
        try:
            self._save(program)
        except Exception as error:  # the first failure is the one to raise
            _log.warning("what was done since the last save is not saved: %s", error)

    def _tell(self, program: Program[Any], kind: Literal["phase", "progress"]) -> None:
        self._told, self._told_iteration = time.monotonic(), program.iteration
        self._feed.publish(JobEvent(kind, self.progress))
