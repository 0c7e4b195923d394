"""How far a job has come, in Create ML's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_WINDOW = 10.0
"""Seconds over which the rate is taken."""


class Phase(StrEnum):
    """What a job is doing."""

    INITIALIZED = "initialized"
    EXTRACTING_FEATURES = "extracting_features"
    TRAINING = "training"
    EVALUATING = "evaluating"
    DONE = "done"


def title(phase: Phase) -> str:
    """The phase for people."""
    return "Starting" if phase is Phase.INITIALIZED else phase.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Progress:
    """Where a job stands; `str` gives a line for people.

    Immutable: threads may share it.

    Attributes:
        phase: what it is doing.
        item_count: pictures read while extracting, fits of the head finished while training;
            with those of earlier runs of the session.
        total_item_count: how many there will be; None where that is not known.
        elapsed: seconds since the job started.
        phase_elapsed: seconds since it entered the phase.
        rate: items of this phase per second, lately; None where that is not known.
        metrics: what is known so far, such as ``{"validation_accuracy": 0.93}``.
    """

    phase: Phase
    item_count: int = 0
    total_item_count: int | None = None
    elapsed: float = 0.0
    phase_elapsed: float = 0.0
    rate: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float | None:
        """Share of this phase that is done, 0 to 1; None where that is not known."""
        if self.phase is Phase.DONE:
            return 1.0
        if not self.total_item_count:
            return None
        return min(1.0, self.item_count / self.total_item_count)

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to the end of this phase; None where that is not known."""
        if not self.rate or self.total_item_count is None:
            return None
        return max(0, self.total_item_count - self.item_count) / self.rate

    def __str__(self) -> str:
        parts = [title(self.phase)]
        if self.total_item_count:
            parts.append(f"{self.item_count}/{self.total_item_count}")
        if self.phase is Phase.EXTRACTING_FEATURES and self.rate:
            parts.append(f"{self.rate:.0f} pictures/s")
            if self.remaining is not None:
                parts.append(f"{self.remaining:.0f} s left")
        return "  ".join(parts)


class Pace:
    """How fast the items of a phase go by.

    What was done before, by an earlier run or from a cache, does not count for long: the rate is
    taken over the last ten seconds. One thread writes, any may read.
    """

    def __init__(self, phase: Phase, item_count: int, now: float) -> None:
        self.phase = phase
        self.started = now
        self._marks = [(now, item_count)]

    def mark(self, item_count: int, now: float) -> None:
        """Remember that `item_count` items are done."""
        if now - self._marks[-1][0] < 1.0:
            return
        marks = [*self._marks, (now, item_count)]
        while len(marks) > 2 and marks[1][0] <= now - _WINDOW:
            del marks[0]
        self._marks = marks

    def rate(self, item_count: int, now: float) -> float | None:
        """Items a second; None before the first."""
        then, before = self._marks[0]
        return (item_count - before) / (now - then) if item_count > before and now > then else None
