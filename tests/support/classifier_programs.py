"""Training programs made of plain functions, to see what a job does with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from silverprint._core.runtime import CancelToken
from silverprint.training.progress import Phase

ORDER = tuple(Phase)


@dataclass
class Steps:
    """A program that calls `step` `units` times in each phase and then gives `answer`."""

    step: Callable[[CancelToken], None] = lambda cancel: None
    units: int = 1
    answer: str = "answer"
    phase: Phase = Phase.INITIALIZED
    item_count: int = 0
    total_item_count: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    closed: int = 0

    def advance(self, cancel: CancelToken) -> None:
        self.step(cancel)
        self.item_count += 1
        if self.item_count == self.units:
            self.phase, self.item_count = ORDER[ORDER.index(self.phase) + 1], 0

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
