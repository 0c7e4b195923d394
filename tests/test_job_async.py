"""A job in an event loop: awaited, its events iterated over, without polling."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import silverprint as sp
from silverprint._core.runtime import CancelToken
from silverprint.training.events import JobEvent
from silverprint.training.job import Job
from silverprint.training.progress import Phase
from support.classifier_programs import Gate, Steps

PATIENCE = 60.0
PHASES = [phase.value for phase in Phase]


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio and threads log what nobody caught."""
    yield
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def phases(events: list[JobEvent]) -> list[str]:
    return [event.progress.phase.value for event in events if event.kind == "phase"]


async def events_of(job: Job[Any]) -> list[JobEvent]:
    return [event async for event in job]


def fail(cancel: CancelToken) -> None:
    raise sp.InvalidDataError("cat.jpg", "truncated")


def test_awaiting_gives_the_result() -> None:
    async def main() -> tuple[str, str]:
        job = Job(Steps())
        return await job, await job

    assert asyncio.run(main()) == ("answer", "answer")


def test_awaiting_raises_what_result_raises() -> None:
    async def main() -> None:
        await Job(Steps(fail))

    with pytest.raises(sp.InvalidDataError, match="truncated"):
        asyncio.run(main())


@pytest.mark.parametrize("step", [lambda cancel: None, fail])
def test_async_for_gives_every_phase_and_ends_with_the_job(step: Any) -> None:
    found = phases(asyncio.run(events_of(Job(Steps(step)))))
    assert found == (["initialized"] if step is fail else PHASES)


def test_several_tasks_see_all_events_while_others_run() -> None:
    gate = Gate()

    async def main() -> list[list[JobEvent]]:
        job = Job(Steps(gate))
        tasks = [asyncio.create_task(events_of(job)) for _ in range(3)]
        await asyncio.sleep(0)  # the tasks wait for the job, and the loop goes on
        gate.opened.set()
        return await asyncio.gather(*tasks)

    one, *others = asyncio.run(main())
    assert phases(one) == PHASES
    assert [phases(other) for other in others] == [PHASES] * 2


def test_an_iteration_after_the_end_tells_what_happened() -> None:
    job = Job(Steps())
    job.result()
    assert phases(asyncio.run(events_of(job))) == PHASES


@pytest.mark.parametrize("how", ["await", "async for"])
def test_a_loop_that_waits_for_a_job_sleeps_until_it_is_called(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = threading.Semaphore(0)

    def step(cancel: CancelToken) -> None:
        assert slept.acquire(timeout=PATIENCE)

    async def main() -> list[JobEvent]:
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        select = selector.select

        def counted(timeout: float | None = None) -> Any:
            assert timeout in (None, 0)  # no clock wakes it
            if timeout is None:
                slept.release()
            return select(timeout)

        monkeypatch.setattr(selector, "select", counted)
        job = Job(Steps(step))
        if how == "await":
            await job
        return await events_of(job)

    assert phases(asyncio.run(main())) == PHASES


def test_cancelling_a_task_leaves_the_job_running() -> None:
    gate = Gate()

    async def main() -> Job[str]:
        job = Job(Steps(gate))
        for waiting in (events_of(job), wait_for(job)):
            task = asyncio.create_task(waiting)  # type: ignore[var-annotated]
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert job._feed._bells == set()
        return job

    async def wait_for(job: Job[str]) -> str:
        return await job

    job = asyncio.run(main())
    assert not job.is_cancelled
    gate.opened.set()
    assert job.result(PATIENCE) == "answer"


def test_wait_for_gives_up_and_the_job_goes_on() -> None:
    gate = Gate()

    async def main() -> Job[str]:
        job = Job(Steps(gate))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(job, 0.001)
        return job

    job = asyncio.run(main())
    gate.opened.set()
    assert job.result(PATIENCE) == "answer"


@pytest.mark.parametrize("step", [lambda cancel: None, fail])
@pytest.mark.parametrize("how", ["await", "async for"])
def test_a_loop_may_be_closed_while_it_waits(step: Any, how: str) -> None:
    gate = Gate()
    job = Job(Steps(lambda cancel: (gate(cancel), step(cancel))[1]))

    async def wait() -> None:
        if how == "await":
            await job
        async for _ in job:
            pass

    loop = asyncio.new_event_loop()
    waiting = wait()
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    assert not task.done()
    loop.close()
    gate.opened.set()
    job._thread.join(PATIENCE)
    assert job.is_done
    waiting.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # ours, left behind on purpose


def test_leaving_an_async_for_early_needs_no_care() -> None:
    async def main() -> None:
        job = Job(Steps())
        async for event in job:
            assert event.kind == "phase"
            break
        await job

    asyncio.run(main())


def test_jobs_may_be_awaited_from_two_loops_at_once() -> None:
    gate = Gate()
    job = Job(Steps(gate))
    answers: list[str] = []

    async def main() -> None:
        answers.append(await job)

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.opened.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == ["answer"] * 2
