"""When a job saves what was done, and what its failing means."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import silverprint as sp
from silverprint._core.runtime import CancelToken
from silverprint.training import job as job_module
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.job import Job
from silverprint.training.progress import Phase
from support.classifier_programs import Clock, Gate, Steps

PATIENCE = 60.0
PHASES = [phase.value for phase in Phase]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(job_module, "time", clock)
    return clock


def saves(clock: Clock, *, cost: float = 0.0, step: float = 0.25, units: int = 40) -> list[int]:
    """Iterations at which a program is saved within a phase."""
    seen: list[int] = []
    program = Steps(lambda cancel: setattr(clock, "now", clock.now + step), units)
    program.phase = Phase.EVALUATING

    def save() -> Sequence[Checkpoint]:
        clock.now += cost
        seen.append(program.iteration)
        return ()

    program.saved = save
    Job(program).result(PATIENCE)
    return seen


def test_what_is_done_is_saved_every_second_and_at_the_end(clock: Clock) -> None:
    assert saves(clock) == [4, 8, 12, 16, 20, 24, 28, 32, 36, 0]


def test_saving_takes_a_small_share_of_the_time(clock: Clock) -> None:
    # Each takes 1/8 s, so that 25/8 s or more pass between them: thirteen iterations of 1/4 s.
    assert saves(clock, cost=0.125) == [4, 17, 30, 0]


def test_every_phase_is_saved_at_its_end() -> None:
    program, seen = Steps(units=3), list[str]()
    program.saved = lambda: seen.append(program.phase.value) or ()  # type: ignore[func-returns-value]
    Job(program).result()
    assert seen == PHASES[1:]


@pytest.mark.parametrize("phase", PHASES[:-1])
def test_cancelling_saves_what_was_done(phase: str) -> None:
    program = Steps(units=3)

    def step(cancel: CancelToken) -> None:
        if program.phase == phase and program.item_count == 1:
            job.cancel()
            raise sp.TrainingCancelled("stopped")

    gate = Gate()
    program.step = lambda cancel: (gate(cancel), step(cancel))[1]
    program.saved = lambda: [program.checkpoint()]
    job = Job(program)
    gate.opened.set()
    with pytest.raises(sp.TrainingCancelled):
        job.result(PATIENCE)
    assert (job.checkpoints[-1].phase, job.checkpoints[-1].iteration) == (phase, 1)
    assert program.closed == 1


def test_cancelling_between_units_saves_too() -> None:
    gate = Gate()
    program = Steps(gate, units=1000)
    program.saved = lambda: [program.checkpoint()]
    job = Job(program)
    assert gate.reached.wait(PATIENCE)
    job.cancel()
    gate.opened.set()
    with pytest.raises(sp.TrainingCancelled):
        job.result(PATIENCE)
    assert [checkpoint.iteration for checkpoint in job.checkpoints] == [1]


def full() -> Sequence[Checkpoint]:
    raise OSError(28, "No space left on device")


def test_a_save_that_fails_ends_the_job_with_its_error() -> None:
    program = Steps()
    program.saved = full
    job = Job(program)
    with pytest.raises(OSError, match="No space left"):
        job.result()
    assert program.saves == 1
    assert program.closed == 1


def test_a_pause_that_could_not_be_saved_is_no_pause() -> None:
    def step(cancel: CancelToken) -> None:
        raise sp.TrainingCancelled("stopped")

    program = Steps(step)
    program.saved = full
    with pytest.raises(OSError, match="No space left"):
        Job(program).result()


def test_what_was_done_is_saved_where_a_unit_fails() -> None:
    def step(cancel: CancelToken) -> None:
        if program.item_count == 3:
            raise MemoryError

    program = Steps(step, units=5)
    program.saved = lambda: [program.checkpoint()]
    job = Job(program)
    with pytest.raises(MemoryError):
        job.result()
    assert [checkpoint.iteration for checkpoint in job.checkpoints] == [3]


def test_a_second_failure_does_not_hide_the_first(caplog: pytest.LogCaptureFixture) -> None:
    def step(cancel: CancelToken) -> None:
        raise sp.InvalidDataError("cat.jpg", "truncated")

    program = Steps(step)
    program.saved = full
    with pytest.raises(sp.InvalidDataError, match="truncated"):
        Job(program).result()
    assert "is not saved: [Errno 28] No space left on device" in caplog.text
