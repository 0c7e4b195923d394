"""A job trains on a thread of its own: it can be watched, awaited, cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import silverprint as sp
from silverprint._core.runtime import CancelToken
from silverprint.classifier.program import ClassifierProgram
from silverprint.features import extraction
from silverprint.training import events
from silverprint.training import job as job_module
from silverprint.training.display import Lines, result_of
from silverprint.training.job import Job
from silverprint.training.progress import Phase, Progress
from support.children import run_python
from support.classifier_programs import Gate, Steps
from support.classifier_sets import draw_set

PATIENCE = 60.0
PHASES = ["initialized", "extracting_features", "training", "evaluating", "done"]


def our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("silverprint-")]


class Interrupted(SimpleQueue[None]):
    """What a waiting thread waits for, when Ctrl-C comes."""

    def get(self, block: bool = True, timeout: float | None = None) -> None:
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def no_threads_remain() -> Any:
    yield
    for thread in our_threads():
        thread.join(PATIENCE)
    assert our_threads() == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("pictures"))


def test_the_result_is_the_programs() -> None:
    job = Job(Steps(answer="here"))
    assert job.result() == "here"
    assert job.result(timeout=0) == "here"
    assert job.is_done
    assert not job.is_cancelled
    assert job.phase is Phase.DONE


def test_a_result_can_be_finished_by_a_function() -> None:
    job: Job[str] = Job(Steps(answer="here"), str.upper)
    assert job.result() == "HERE"


def test_a_job_goes_through_its_phases_in_order() -> None:
    seen: list[Phase] = []
    program = Steps(units=2)
    program.step = lambda cancel: seen.append(program.phase)
    assert Job(program).result() == "answer"
    assert list(dict.fromkeys(seen)) == PHASES[:-1]
    assert seen == sorted(seen, key=list(Phase).index)


def test_waiting_has_a_limit_and_the_job_goes_on() -> None:
    gate = Gate()
    job = Job(Steps(gate))
    with pytest.raises(TimeoutError, match=r"not done after 0\.01 seconds"):
        job.result(timeout=0.01)
    assert not job.is_done
    gate.opened.set()
    assert job.result(PATIENCE) == "answer"


def test_a_job_that_ends_just_when_the_wait_does_has_a_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()
    job = Job(Steps(gate))

    class EndsLate(SimpleQueue[None]):
        def get(self, block: bool = True, timeout: float | None = None) -> None:
            gate.opened.set()
            job._thread.join(PATIENCE)
            raise Empty

    monkeypatch.setattr(events, "SimpleQueue", EndsLate)
    assert job.result() == "answer"


def test_an_error_in_the_program_is_raised_by_result() -> None:
    def fail(cancel: CancelToken) -> None:
        raise sp.InvalidDataError("cat.jpg", "no such file")

    program = Steps(fail)
    job = Job(program)
    for _ in range(2):
        with pytest.raises(sp.InvalidDataError, match=r"cat\.jpg: no such file"):
            job.result()
    assert job.is_done
    assert job.phase is Phase.INITIALIZED


def test_a_timeout_inside_the_program_is_its_error_not_the_waits() -> None:
    def fail(cancel: CancelToken) -> None:
        raise TimeoutError("the disk did not answer")

    with pytest.raises(TimeoutError, match="the disk did not answer"):
        Job(Steps(fail)).result()


@pytest.mark.parametrize("fails", [True, False])
def test_the_program_is_closed_before_the_result_is_there(fails: bool) -> None:
    def step(cancel: CancelToken) -> None:
        if fails:
            raise ValueError("broken")

    closed: list[int] = []
    program = Steps(step)
    gate = Gate()
    program.step = lambda cancel: (gate(cancel), step(cancel))[1]
    job = Job(program)
    job._future.add_done_callback(lambda future: closed.append(program.closed))
    gate.opened.set()
    job._thread.join(PATIENCE)
    assert job.is_done
    assert closed == [1]


def test_cancelling_ends_it_between_units() -> None:
    gate = Gate()
    job = Job(Steps(gate, units=1000))
    assert gate.reached.wait(PATIENCE)
    job.cancel()
    assert job.is_cancelled
    gate.opened.set()
    with pytest.raises(sp.TrainingCancelled):
        job.result(PATIENCE)


def test_cancelling_what_is_done_changes_nothing() -> None:
    job = Job(Steps())
    assert job.result() == "answer"
    job.cancel()
    assert job.result() == "answer"


def test_ctrl_c_while_waiting_cancels_the_job_and_waits_for_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled = threading.Event()

    def until_cancelled(cancel: CancelToken) -> None:
        while not cancel.cancelled:
            cancelled.wait(0.001)
        raise sp.TrainingCancelled("stopped")

    program = Steps(until_cancelled)
    job = Job(program)

    monkeypatch.setattr(events, "SimpleQueue", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.result()
    assert job.is_cancelled
    assert program.closed == 1
    assert our_threads() == []


def test_ctrl_c_before_anybody_has_the_job_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(self: threading.Thread) -> None:
        start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(job_module.JoinedThread, "start", interrupted)
    program = Steps(lambda cancel: None, units=1_000_000_000)
    with pytest.raises(KeyboardInterrupt):
        Job(program)
    for thread in our_threads():
        thread.join(PATIENCE)
    assert program.closed == 1


def test_a_job_can_be_awaited() -> None:
    async def wait() -> str:
        return await Job(Steps(answer="soon"))

    assert asyncio.run(wait()) == "soon"


def test_jobs_can_be_awaited_together_and_errors_come_through() -> None:
    def fail(cancel: CancelToken) -> None:
        raise sp.TrainingCancelled("stopped")

    async def wait() -> list[Any]:
        jobs = (Job(Steps(answer="one")), Job(Steps(fail)))
        return await asyncio.gather(*jobs, return_exceptions=True)

    one, other = asyncio.run(wait())
    assert one == "one"
    assert isinstance(other, sp.TrainingCancelled)


def test_progress_in_numbers() -> None:
    progress = Progress(Phase.TRAINING, 3, 12, rate=0.5)
    assert progress.fraction == 0.25
    assert progress.remaining == 18.0
    unknown = Progress(Phase.EVALUATING)
    assert (unknown.fraction, unknown.rate, unknown.remaining) == (None, None, None)
    assert Progress(Phase.TRAINING, 3, 12, rate=0.0).remaining is None
    assert Progress(Phase.DONE).fraction == 1.0


def test_the_start_is_a_date_with_its_time_zone() -> None:
    job = Job(Steps())
    assert abs(datetime.now(UTC) - job.start_date) < timedelta(minutes=1)
    job.result()


def watched(job: Job[Any], until: Callable[[], bool]) -> list[Progress]:
    seen = []
    while not until():
        seen.append(job.progress)
        job._thread.join(0.001)
    return [*seen, job.progress]


def test_a_training_reports_every_phase_in_order_and_progress_that_only_grows(
    pictures: Path,
) -> None:
    job = sp.ImageClassifier.train(pictures)
    seen = watched(job, lambda: job.is_done)
    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == sorted(phases, key=list(Phase).index)
    assert phases[-1] is Phase.DONE
    assert {"extracting_features", "training"} <= set(phases)
    for phase in phases:
        own = [progress for progress in seen if progress.phase is phase]
        counts = [progress.item_count for progress in own]
        assert counts == sorted(counts), phase
        assert len({p.total_item_count for p in own}) == 1, phase
        assert all(p.fraction is None or 0 <= p.fraction <= 1 for p in own)
    extracting = [p for p in seen if p.phase == "extracting_features"]
    assert {p.total_item_count for p in extracting} == {32}
    assert seen[-1].metrics["validation_accuracy"] == 1.0
    assert isinstance(job.result(), sp.ImageClassifier)


def test_pictures_read_are_never_counted_back(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow picture holds its block back while those of the next one are read."""
    monkeypatch.setattr(extraction, "_POLL", 0.001)
    counts: list[int] = []
    ahead = threading.Event()
    decode = extraction.decode
    paths = sorted(pictures.rglob("*.png"))
    first = paths[0].read_bytes()

    def slow(picture: Any, *arguments: Any, **names: Any) -> npt.NDArray[np.uint8]:
        assert picture != first or ahead.wait(PATIENCE)
        return decode(picture, *arguments, **names)

    def progress(done: int, total: int) -> None:
        counts.append(done)
        if done >= 7:  # all of two blocks but the slow picture
            ahead.set()

    monkeypatch.setattr(extraction, "decode", slow)
    blocks = sp.ScenePrint().stream(paths, block_size=4, threads=2, progress=progress)
    assert sum(len(block.positions) for block in blocks) == 32
    assert counts == sorted(counts)
    assert counts[-1] == 32


class _MovesOn(Steps):
    """A program that goes from reading pictures to training while it is being looked at."""

    watched = False

    def __getattribute__(self, name: str) -> Any:
        look = object.__getattribute__
        if name == "item_count" and look(self, "watched") and look(self, "phase") == PHASES[1]:
            self.phase, self.item_count = Phase.TRAINING, 0
        return object.__getattribute__(self, name)


def test_a_look_at_the_progress_never_mixes_two_phases() -> None:
    gate = Gate()
    program = _MovesOn(gate, phase=Phase.EXTRACTING_FEATURES)
    program.item_count = 480
    job = Job(program)
    assert gate.reached.wait(PATIENCE)
    program.watched = True
    progress = job.progress
    program.item_count = 0
    gate.opened.set()
    job.result()
    assert (progress.phase, progress.item_count) in (
        (Phase.EXTRACTING_FEATURES, 480),
        (Phase.TRAINING, 0),
    )


def test_cancelling_while_pictures_are_read(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    decode = extraction.decode

    def slow(*arguments: Any, **names: Any) -> npt.NDArray[np.uint8]:
        reading.set()
        assert go_on.wait(PATIENCE)
        return decode(*arguments, **names)

    monkeypatch.setattr(extraction, "decode", slow)
    job = sp.ImageClassifier.train(pictures)
    assert reading.wait(PATIENCE)
    assert job.phase is Phase.EXTRACTING_FEATURES
    job.cancel()
    go_on.set()
    with pytest.raises(sp.TrainingCancelled):
        job.result(PATIENCE)
    assert job.phase is Phase.EXTRACTING_FEATURES


@pytest.mark.parametrize("phase", ["initialized", "extracting_features", "training"])
def test_a_classifier_can_be_cancelled_in_every_phase(
    phase: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    advance = ClassifierProgram.advance

    def gated(self: ClassifierProgram, cancel: CancelToken) -> None:
        if self.phase == phase:
            gate(cancel)
        advance(self, cancel)

    monkeypatch.setattr(ClassifierProgram, "advance", gated)
    job = sp.ImageClassifier.train(pictures)
    assert gate.reached.wait(PATIENCE)
    assert job.phase == phase
    job.cancel()
    gate.opened.set()
    with pytest.raises(sp.TrainingCancelled):
        job.result(PATIENCE)


def test_ctrl_c_in_the_constructor_ends_the_training(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SimpleQueue", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        sp.ImageClassifier(pictures, progress=False)
    assert our_threads() == []


def test_bad_data_is_refused_before_a_thread_starts(tmp_path: Path) -> None:
    with pytest.raises(sp.InvalidDataError, match="empty"):
        sp.ImageClassifier.train(tmp_path)
    assert our_threads() == []


def test_a_function_is_told_the_progress_and_at_last_the_end(pictures: Path) -> None:
    seen: list[Progress] = []
    sp.ImageClassifier(pictures, progress=seen.append)
    assert seen[-1].phase is Phase.DONE


@pytest.mark.parametrize("progress", [True, 3, "bar"])
def test_progress_is_a_function_or_nothing(pictures: Path, progress: Any) -> None:
    with pytest.raises(sp.InvalidParameterError, match="progress"):
        sp.ImageClassifier(pictures, progress=progress)


def test_plain_lines_say_phase_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Phase.EXTRACTING_FEATURES, 50, 200, rate=25.0)
    assert str(progress) == "Extracting features  50/200  25 pictures/s  6 s left"
    assert str(Progress(Phase.TRAINING, 3, 56)) == "Training  3/56"
    assert str(Progress(Phase.INITIALIZED)) == "Starting"
    lines = Lines()
    for each in (progress, progress, Progress(Phase.EVALUATING), Progress(Phase.DONE)):
        lines(each)
        lines(each)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [str(progress), "Evaluating", "Done"]


def test_nothing_is_shown_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    for how in (None, False):
        assert result_of(Job(Steps()), how) == "answer"  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", "")


def test_a_process_may_end_while_a_job_runs() -> None:
    done = run_python(
        """
        import threading
        import numpy as np
        from silverprint import _core
        from silverprint.training.job import Job
        from silverprint.training.progress import Phase

        class Endless:
            phase, item_count, total_item_count, metrics = Phase.TRAINING, 0, None, {}
            iteration = 0
            reached = threading.Event()

            def advance(self, cancel):
                x = np.random.default_rng(0).normal(size=(3000, 300)).astype(np.float32)
                y = (np.arange(3000) % 30).astype(np.int32)
                rows = np.arange(3000)
                solver = _core.solve.LogisticRegression(x, rows, y, 30, 1e-6, None, 1e-12)
                self.reached.set()
                while solver.step(cancel):
                    pass

            def save(self):
                return ()

            def close(self):
                pass

        job = Job(Endless())
        assert Endless.reached.wait(60)
        """,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
