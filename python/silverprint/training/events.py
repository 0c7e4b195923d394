"""What happens in a job, told to any number of readers, callbacks and waiting threads."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Literal, TypeVar

from silverprint.errors import SilverprintError
from silverprint.features.shutdown import hold_at_exit
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.progress import Progress, title

_log = logging.getLogger("silverprint")

_POLL = 0.2
"""Seconds between looks for Ctrl-C, which wakes no waiting thread on Windows."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class JobEvent:
    """Something that happened in a job; `str` gives a line for people.

    Immutable: threads may share it.

    Attributes:
        kind: "phase": a phase began. "progress": some iterations were done. "checkpoint": what was
            done is on disk.
        progress: where the job stood then.
        checkpoint: what was saved, where `kind` is "checkpoint".
    """

    kind: Literal["phase", "progress", "checkpoint"]
    progress: Progress
    checkpoint: Checkpoint | None = None

    def __str__(self) -> str:
        saved = self.checkpoint
        if saved is not None:
            return f"Saved  {title(saved.phase)}, iteration {saved.iteration}"
        metrics = (
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in self.progress.metrics.items()
        )
        return "  ".join([str(self.progress), *metrics])


class Feed:
    """The events of one job, and its end.

    Phases and checkpoints are kept, of progress only the newest: readers that are slow or come late
    cost no memory. Thread-safe; only the thread `writer` calls `publish` and `end`.
    """

    def __init__(self, writer: threading.Thread) -> None:
        self._writer = writer
        self._process = os.getpid()
        # A plain lock: unlike a Condition's, no interrupt leaves it taken.
        self._lock = threading.Lock()
        self._kept: list[JobEvent] = []
        self._latest: JobEvent | None = None
        self._ended = False
        self._bells: set[Callable[[], None]] = set()
        self._callbacks: list[_Callback] = []

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """Those published so far."""
        with self._lock:
            return [event.checkpoint for event in self._kept if event.checkpoint is not None]

    def publish(self, event: JobEvent) -> None:
        """Tell everybody; callbacks have returned when this does."""
        with self._lock:
            if event.kind == "progress":
                self._latest = event
            else:
                self._kept.append(event)
                self._latest = None
            bells, callbacks = self._listeners()
        _tell(bells, callbacks)

    def end(self) -> None:
        """Nothing more will happen."""
        with self._lock:
            self._ended = True
            bells, callbacks = self._listeners()
        _tell(bells, callbacks)

    def add_callback(self, function: Callable[[JobEvent], object]) -> None:
        """See `Job.add_callback`."""
        callback = _Callback(self, function)
        with self._lock:
            if any(known.function == function for known in self._callbacks):
                return
            self._callbacks.append(callback)
            ended = self._ended
        if ended:
            callback.catch_up()

    def wait(self, look: Callable[[], Found | None], timeout: float | None = None) -> Found | None:
        """What `look` finds, now or once something has happened; None after `timeout` seconds.

        Raises:
            SilverprintError: nothing would happen while this thread waits.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        calls: SimpleQueue[None] = SimpleQueue()
        bell = partial(calls.put, None)
        try:
            while (found := self._look(look, bell)) is None:
                left = _POLL if deadline is None else min(_POLL, deadline - time.monotonic())
                if left <= 0:
                    break
                with suppress(Empty):
                    calls.get(timeout=left)
            return found
        finally:
            self._forget(bell)
            hold_at_exit()

    async def wait_async(self, look: Callable[[], Found | None]) -> Found:
        """`wait` without a limit, for the running event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        called = asyncio.Event()

        def bell() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(called.set)

        try:
            while (found := self._look(look, bell)) is None:
                await called.wait()
                called.clear()
            return found
        finally:
            self._forget(bell)

    def ended(self) -> Literal[True] | None:
        """Whether nothing more will happen; to wait for."""
        return True if self._ended else None

    def unread(self, place: _Place) -> tuple[JobEvent, ...] | None:
        """The next event after `place`; (): there will be none; None: there is none yet."""
        if place.read < len(self._kept):
            place.read += 1
            return (self._kept[place.read - 1],)
        if self._latest is not None and self._latest is not place.newest:
            place.newest = self._latest
            return (self._latest,)
        return () if self._ended else None

    def unread_now(self, place: _Place) -> tuple[JobEvent, ...] | None:
        """`unread` for those who do not wait for it."""
        with self._lock:
            return self.unread(place)

    def refuse_to_wait(self) -> None:
        """Raise SilverprintError where waiting would never end."""
        if threading.current_thread() is self._writer:
            raise SilverprintError(
                "a callback waits for its own job, which waits for the callback; wait in another "
                "thread (job.cancel() does not wait)"
            )
        if os.getpid() != self._process:
            raise SilverprintError(
                "the job runs in the process that this one was forked from; wait there, or start "
                'a new program instead (in Python: multiprocessing\'s "spawn" or "forkserver")'
            )

    def _look(self, look: Callable[[], Found | None], bell: Callable[[], None]) -> Found | None:
        """What `look` finds; where that is nothing, `bell` is rung once something has happened."""
        if not self._ended:
            self.refuse_to_wait()
        with self._lock:
            found = look()
            if found is None:
                self._bells.add(bell)
            return found

    def _forget(self, bell: Callable[[], None]) -> None:
        with self._lock:
            self._bells.discard(bell)

    def _listeners(self) -> tuple[set[Callable[[], None]], list[_Callback]]:
        bells, self._bells = self._bells, set()
        return bells, list(self._callbacks)


class Reader(Iterator[JobEvent], AsyncIterator[JobEvent]):
    """Every phase and checkpoint of a job from the first on, and the newest progress.

    Thread-safe: of several threads that read, each event goes to one.
    """

    def __init__(self, feed: Feed, interrupted: Callable[[], None]) -> None:
        self._feed = feed
        self._interrupted = interrupted
        self._place = _Place()

    def __next__(self) -> JobEvent:
        try:
            events = self._feed.wait(self._unread)
        except KeyboardInterrupt:
            self._interrupted()
            raise
        if not events:
            raise StopIteration
        return events[0]

    async def __anext__(self) -> JobEvent:
        events = await self._feed.wait_async(self._unread)
        if not events:
            raise StopAsyncIteration
        return events[0]

    def _unread(self) -> tuple[JobEvent, ...] | None:
        return self._feed.unread(self._place)


@dataclass
class _Place:
    """How far somebody has read."""

    read: int = 0
    newest: JobEvent | None = None


class _Callback:
    """A function that reads."""

    def __init__(self, feed: Feed, function: Callable[[JobEvent], object]) -> None:
        self.function = function
        self._feed = feed
        self._place = _Place()

    def catch_up(self) -> None:
        """Call the function with all that it has not been called with."""
        while events := self._feed.unread_now(self._place):
            try:
                self.function(*events)
            except BaseException:
                _log.exception("a callback of a job raised; the job goes on")


def _tell(bells: Iterable[Callable[[], None]], callbacks: Iterable[_Callback]) -> None:
    for bell in bells:
        bell()
    for callback in callbacks:
        callback.catch_up()
