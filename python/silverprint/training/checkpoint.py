"""What a session keeps of a training on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from silverprint.training.progress import Phase


@dataclass(frozen=True)
class Checkpoint:
    """A point that a training had reached, on disk.

    Immutable: threads may share it.

    Attributes:
        phase: what the training was doing.
        iteration: outer steps of the optimiser in this phase; pictures while extracting.
        date: when it was saved, in UTC.
        url: the file that holds it.
        metrics: what was known then, such as ``{"loss": 0.41, "validation_accuracy": 0.93}``.
    """

    phase: Phase
    iteration: int
    date: datetime
    url: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
