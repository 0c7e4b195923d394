"""Events of a job: iterated over, or told to callbacks; and when what was done is saved."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import silverprint as sp
from silverprint._core.runtime import CancelToken
from silverprint.training import events as events_module
from silverprint.training import job as job_module
from silverprint.training.checkpoint import Checkpoint
from silverprint.training.events import JobEvent
from silverprint.training.job import Job
from silverprint.training.progress import Pace, Phase, Progress
from support.children import run_python
from support.classifier_programs import Clock, Gate, Steps

PATIENCE = 60.0
PHASES = [phase.value for phase in Phase]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(job_module, "time", clock)
    return clock


def phases(events: Sequence[JobEvent]) -> list[str]:
    return [event.progress.phase.value for event in events if event.kind == "phase"]


def saved_in_each(program: Steps) -> Callable[[], Sequence[Checkpoint]]:
    return lambda: [program.checkpoint()]


# Iterating


def test_iterating_gives_every_phase_and_ends_with_the_job() -> None:
    events = list(Job(Steps()))
    assert phases(events) == PHASES
    assert {event.kind for event in events} == {"phase"}


def test_checkpoints_are_events_and_a_list() -> None:
    program = Steps()
    program.saved = saved_in_each(program)
    job = Job(program)
    found = [event.checkpoint for event in job if event.kind == "checkpoint"]
    assert [checkpoint.phase.value for checkpoint in found if checkpoint] == PHASES[1:]
    assert job.checkpoints == found


def test_an_iteration_begun_after_the_end_tells_what_happened() -> None:
    program = Steps()
    program.saved = saved_in_each(program)
    job = Job(program)
    during = list(job)
    job.result()
    for _ in range(2):
        assert list(job) == during
    ended = iter(job)
    list(ended)
    assert list(ended) == []


@pytest.mark.parametrize("fails", [True, False])
def test_an_iteration_ends_however_the_job_ends(fails: bool) -> None:
    def step(cancel: CancelToken) -> None:
        if fails:
            raise sp.InvalidDataError("cat.jpg", "truncated")
        raise sp.TrainingCancelled("stopped")

    job = Job(Steps(step))
    assert phases(list(job)) == ["initialized"]
    with pytest.raises(sp.InvalidDataError if fails else sp.TrainingCancelled):
        job.result()


def reported(program: Steps, **names: Any) -> list[JobEvent]:
    """All events: the program waits in its first unit until somebody listens."""
    gate, step, seen = Gate(), program.step, list[JobEvent]()
    program.step = lambda cancel: (gate(cancel), step(cancel))[0]
    job = Job(program, **names)
    job.add_callback(seen.append)
    gate.opened.set()
    job.result(PATIENCE)
    return seen


def counted(events: Sequence[JobEvent]) -> list[int]:
    return [event.progress.item_count for event in events if event.kind == "progress"]


@pytest.mark.parametrize(("interval", "counts"), [(5, [5, 10, 15, 20]), (1, [*range(1, 23)])])
def test_progress_is_told_every_report_interval_iterations(
    interval: int, counts: list[int], clock: Clock
) -> None:
    program = Steps(lambda cancel: setattr(clock, "now", clock.now + 1), 23)
    program.phase = Phase.EVALUATING
    assert counted(reported(program, report_interval=interval)) == counts


def test_progress_is_told_at_most_ten_times_a_second(clock: Clock) -> None:
    program = Steps(lambda cancel: setattr(clock, "now", clock.now + 1 / 64), 64)
    program.phase = Phase.EVALUATING
    assert counted(reported(program, report_interval=1)) == [7, 14, 21, 28, 35, 42, 49, 56, 63]


def test_a_slow_reader_misses_progress_but_no_phase_and_no_checkpoint(clock: Clock) -> None:
    program = Steps(lambda cancel: setattr(clock, "now", clock.now + 1), 200)
    program.saved = saved_in_each(program)
    job = Job(program, report_interval=1)
    reader = iter(job)
    first = next(reader)
    job.result(PATIENCE)
    rest = list(reader)
    assert phases([first, *rest]) == PHASES
    assert [event.checkpoint for event in rest if event.checkpoint] == job.checkpoints
    assert len(counted(rest)) <= 1
    times = [event.progress.elapsed for event in rest]
    assert times == sorted(times)


def test_readers_do_not_take_events_from_each_other() -> None:
    program = Steps()
    program.saved = saved_in_each(program)
    gate = Gate()
    program.step = gate
    job = Job(program)
    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(list, job) for _ in range(4)]
        gate.opened.set()
        found = [reader.result(PATIENCE) for reader in reading]
    kept = [[event for event in events if event.kind != "progress"] for events in found]
    assert all(events == kept[0] for events in kept)
    assert phases(kept[0]) == PHASES


def test_of_two_threads_that_share_an_iterator_each_event_goes_to_one() -> None:
    program = Steps()
    program.saved = saved_in_each(program)
    job = Job(program)
    shared = iter(job)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(list, [shared, shared])
    assert sorted(phases(one + other), key=PHASES.index) == PHASES
    assert len(one) + len(other) == len(list(job))


def test_ctrl_c_while_waiting_for_an_event_cancels_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted(SimpleQueue[None]):
        def get(self, block: bool = True, timeout: float | None = None) -> None:
            raise KeyboardInterrupt

    def until_cancelled(cancel: CancelToken) -> None:
        while not cancel.cancelled:
            threading.Event().wait(0.001)

    monkeypatch.setattr(events_module, "SimpleQueue", Interrupted)
    job = Job(Steps(until_cancelled))
    with pytest.raises(KeyboardInterrupt):
        list(job)
    assert job.is_cancelled
    assert job.is_done


# Callbacks


def test_a_callback_is_called_on_the_jobs_thread_before_the_result_is_there() -> None:
    where: list[str] = []
    ended: list[bool] = []
    gate = Gate()
    job = Job(Steps(gate))

    def told(event: JobEvent) -> None:
        where.append(threading.current_thread().name)
        ended.append(job.is_done)

    job.add_callback(told)
    gate.opened.set()
    job.result()
    assert where == ["silverprint-job"] * len(PHASES)
    assert not any(ended)


def test_a_callback_added_late_is_told_what_happened_before(clock: Clock) -> None:
    gate, seen = Gate(), list[JobEvent]()
    program = Steps(gate, phase=Phase.EVALUATING)
    job = Job(program)
    assert gate.reached.wait(PATIENCE)
    job.add_callback(seen.append)
    gate.opened.set()
    job.result()
    assert phases(seen) == ["evaluating", "done"]


def test_a_callback_added_after_the_end_is_called_at_once() -> None:
    job = Job(Steps())
    job.result()
    seen: list[JobEvent] = []
    job.add_callback(seen.append)
    assert phases(seen) == PHASES


def test_a_callback_added_twice_is_called_once() -> None:
    gate, seen = Gate(), list[JobEvent]()
    job = Job(Steps(gate))
    for _ in range(3):
        job.add_callback(seen.append)
    gate.opened.set()
    job.result()
    job.add_callback(seen.append)
    assert phases(seen) == PHASES


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_callback_raises_is_logged_and_hurts_nothing(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[JobEvent] = []

    def fail(event: JobEvent) -> None:
        raise error

    gate = Gate()
    job = Job(Steps(gate))
    job.add_callback(fail)
    job.add_callback(seen.append)
    gate.opened.set()
    assert job.result() == "answer"
    assert phases(seen) == PHASES
    logged = [record for record in caplog.records if record.name == "silverprint"]
    assert [record.levelno for record in logged] == [logging.ERROR] * len(PHASES)
    assert {record.exc_info and record.exc_info[1] for record in logged} == {error}


def test_a_callback_may_cancel_its_job() -> None:
    gate = Gate()
    job = Job(Steps(gate, units=1000))
    job.add_callback(lambda event: job.cancel())
    gate.opened.set()
    with pytest.raises(sp.TrainingCancelled):
        job.result(PATIENCE)


@pytest.mark.parametrize("wait", ["result", "wait", "stop", "iterate", "await"])
def test_a_callback_that_waits_for_its_own_job_is_refused(wait: str) -> None:
    async def wait_for(job: Job[str]) -> str:
        return await job

    def asyncio_run(job: Job[str]) -> None:
        asyncio.run(wait_for(job))

    ways: dict[str, Callable[[Job[str]], object]] = {
        "result": Job.result,
        "wait": Job.wait,
        "stop": Job.stop,
        "iterate": list,
        "await": asyncio_run,
    }
    refused: list[str] = []

    def told(event: JobEvent) -> None:
        try:
            ways[wait](job)
        except sp.SilverprintError as error:
            refused.append(str(error))

    gate = Gate()
    job = Job(Steps(gate))
    job.add_callback(told)
    gate.opened.set()
    job.wait(PATIENCE)
    assert refused
    assert all("waits for its own job" in text for text in refused)


def test_callbacks_may_add_callbacks() -> None:
    added: list[list[JobEvent]] = []
    gate = Gate()
    job = Job(Steps(gate))

    def adds(event: JobEvent) -> None:
        job.add_callback(adds)
        added.append([])
        job.add_callback(added[-1].append)

    job.add_callback(adds)
    gate.opened.set()
    job.result()
    job._thread.join(PATIENCE)
    assert [phases(seen) for seen in added] == [PHASES] * len(PHASES)


def test_waits_that_ended_leave_nothing_behind() -> None:
    gate = Gate()
    job = Job(Steps(gate))
    assert gate.reached.wait(PATIENCE)
    for _ in range(100):
        assert not job.wait(0)
    assert job._feed._bells == set()
    gate.opened.set()
    job.result()


def test_jobs_that_ended_leave_nothing_behind() -> None:
    class Answer(str):
        pass

    threads = threading.active_count()
    left: list[weakref.ref[Any]] = []
    for number in range(1000):
        program = Steps(answer=Answer(number))
        program.saved = saved_in_each(program)
        job = Job(program)
        job.add_callback(lambda event: None)
        next(iter(job))
        assert job.result() == str(number)
        left += [weakref.ref(job), weakref.ref(program.answer)]
        if number % 2:
            job._thread.join(PATIENCE)
    del program, job
    for thread in threading.enumerate():
        if thread.name == "silverprint-job":
            thread.join(PATIENCE)
    gc.collect()
    assert [ref() for ref in left if ref() is not None] == []
    assert threading.active_count() == threads


def test_a_job_that_ended_lets_go_of_its_program() -> None:
    class Program(Steps):
        pass

    program = Program()
    reference = weakref.ref(program)
    job = Job(program)
    del program
    job.result()
    job._thread.join(PATIENCE)
    gc.collect()
    assert reference() is None
    assert job.progress.phase is Phase.DONE


def test_time_stands_still_after_the_end(clock: Clock) -> None:
    program = Steps(lambda cancel: setattr(clock, "now", clock.now + 2))
    job = Job(program)
    job.result()
    clock.now += 1000
    assert job.progress.elapsed == 2 * (len(PHASES) - 1)


# Lines and rates


def test_events_are_lines_for_people() -> None:
    progress = Progress(Phase.TRAINING, 3, 56, metrics={"validation_accuracy": 0.93251})
    saved = Checkpoint(Phase.TRAINING, 40, datetime.now(UTC), Path("40.safetensors"))
    assert str(JobEvent("progress", progress)) == "Training  3/56  validation accuracy 0.933"
    assert str(JobEvent("phase", Progress(Phase.INITIALIZED))) == "Starting"
    assert str(JobEvent("checkpoint", progress, saved)) == "Saved  Training, iteration 40"


def test_the_rate_counts_what_this_job_does_and_lately() -> None:
    pace = Pace(Phase.EXTRACTING_FEATURES, 9_000, now=0.0)  # an earlier job read those
    assert pace.rate(9_000, 1.0) is None
    assert pace.rate(9_020, 2.0) == 10.0
    pace.mark(10_000, 2.0)  # from a cache
    for second in range(3, 20):
        pace.mark(10_000 + 5 * (second - 2), float(second))
    assert pace.rate(10_085, 19.0) == 5.0


def test_a_job_reports_its_rate(clock: Clock) -> None:
    rates: list[tuple[int, float | None, float | None]] = []

    def step(cancel: CancelToken) -> None:
        progress = job.progress
        rates.append((progress.item_count, progress.rate, progress.remaining))
        clock.now += 0.5

    gate = Gate()
    program = Steps(units=4, phase=Phase.EVALUATING, total_item_count=4)
    program.step = lambda cancel: (gate(cancel), step(cancel))[1]
    job = Job(program)
    gate.opened.set()
    job.result()
    assert rates == [(0, None, None), (1, 2.0, 1.5), (2, 2.0, 1.0), (3, 2.0, 0.5)]


def test_items_that_were_known_do_not_count_for_long(clock: Clock) -> None:
    rates: list[float | None] = []

    def step(cancel: CancelToken) -> None:
        rates.append(job.progress.rate)
        clock.now += 0.001 if program.item_count < 100 else 1.0

    gate = Gate()
    program = Steps(units=120, phase=Phase.EXTRACTING_FEATURES)
    program.step = lambda cancel: (gate(cancel), step(cancel))[1]
    job = Job(program)
    gate.opened.set()
    job.result()
    assert rates[119] == 1.0


# Other processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_is_told_that_the_job_is_not_there() -> None:
    code = """
        import os, signal, sys, warnings
        from silverprint import SilverprintError
        from silverprint.training.job import Job
        from support.classifier_programs import Clock, Gate, Steps

        warnings.simplefilter("ignore")
        gate, done = Gate(), Job(Steps())
        done.result()
        job = Job(Steps(gate))
        assert gate.reached.wait(60)
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            try:
                next(job for _ in job if False)
            except SilverprintError as error:
                print(error, done.result(), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        gate.opened.set()
        print(job.result(60))
    """
    told, answer = run_python(code).stdout.splitlines()
    assert told.startswith("the job runs in the process that this one was forked from")
    assert told.endswith(" answer")
    assert answer == "answer"
