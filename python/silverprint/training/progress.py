"""How far a job has come, in Create ML's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """What a job is doing."""

    INITIALIZED = "initialized"
    EXTRACTING_FEATURES = "extracting_features"
    TRAINING = "training"
    EVALUATING = "evaluating"
    DONE = "done"


@dataclass(frozen=True)
class Progress:
    """Where a job stands.

    Immutable: threads may share it.

    Attributes:
        phase: what it is doing.
        item_count: pictures read while extracting, fits of the head finished while training.
        total_item_count: how many there will be; None where that is not known.
        elapsed: seconds since the job started.
        phase_elapsed: seconds since the phase started.
        metrics: what is known so far, such as ``{"validation_accuracy": 0.93}``.
    """

    phase: Phase
    item_count: int = 0
    total_item_count: int | None = None
    elapsed: float = 0.0
    phase_elapsed: float = 0.0
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
    def rate(self) -> float | None:
        """Items of this phase per second; None before the first."""
        return (
            self.item_count / self.phase_elapsed if self.item_count and self.phase_elapsed else None
        )

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to the end of this phase; None where that is not known."""
        if self.rate is None or self.total_item_count is None:
            return None
        return max(0, self.total_item_count - self.item_count) / self.rate
