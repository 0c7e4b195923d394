"""What a job carries out: phases, each of which does one unit of work at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from silverprint import _core
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.progress import Phase

Result = TypeVar("Result", covariant=True)


class Program(Protocol[Result]):
    """A training as a state machine; `Job` advances it on a thread of its own.

    Methods are called on that thread, properties on any.
    """

    @property
    def phase(self) -> Phase:
        """The phase that the next unit of work belongs to; `Phase.DONE` at the end."""
        ...

    @property
    def iteration(self) -> int:
        """Outer steps of the optimiser in this phase so far; pictures while extracting."""
        ...

    @property
    def item_count(self) -> int:
        """Items of this phase that are done."""
        ...

    @property
    def total_item_count(self) -> int | None:
        """Items of this phase in all; None where that is not known."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """What is known so far."""
        ...

    def advance(self, cancel: _core.runtime.CancelToken) -> None:
        """One unit of work. Cancelling `cancel` makes it raise TrainingCancelled soon."""
        ...

    def save(self) -> Sequence[Checkpoint]:
        """Make durable what was done since the last call; returns the checkpoints it made so.

        Also called after `advance` has raised. Does nothing without a session.
        """
        ...

    def result(self) -> Result:
        """What came of it, once the phase is DONE."""
        ...

    def close(self) -> None:
        """Let go of threads and files, finished or not."""
        ...
