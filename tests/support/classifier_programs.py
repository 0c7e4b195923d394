"""Training programs made of plain functions, to see what a job does with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from silverprint._core.runtime import CancelToken
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.progress import Phase

ORDER = tuple(Phase)


@dataclass
class Steps:
    """A program that calls `step` `units` times in each phase and then gives `answer`.

    `saved` is called to save; `saves` counts the calls.
    """

    step: Callable[[CancelToken], None] = lambda cancel: None
    units: int = 1
    saved: Callable[[], Sequence[Checkpoint]] = tuple
    answer: str = "answer"
    phase: Phase = Phase.INITIALIZED
    item_count: int = 0
    total_item_count: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    closed: int = 0
    saves: int = 0

    @property
    def iteration(self) -> int:
        return self.item_count

    def advance(self, cancel: CancelToken) -> None:
        self.step(cancel)
        self.item_count += 1
        if self.item_count == self.units:
            self.phase, self.item_count = ORDER[ORDER.index(self.phase) + 1], 0

    def save(self) -> Sequence[Checkpoint]:
        self.saves += 1
        return self.saved()

    def checkpoint(self) -> Checkpoint:
        """One of where the program stands."""
        return Checkpoint(self.phase, self.iteration, datetime.now(UTC), Path("checkpoint"))

    def result(self) -> str:
        return self.answer

    def close(self) -> None:
        self.closed += 1


@dataclass
class Gate:
    """A step that waits until the test lets it go on."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, cancel: CancelToken) -> None:
        self.reached.set()
        assert self.opened.wait(60)


@dataclass
class Clock:
    """In place of the module `time`: it passes when a program says so."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now
