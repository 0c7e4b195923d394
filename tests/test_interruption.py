"""Ctrl-C, SIGTERM and SIGUSR1 pause the job of a command, which saves and says how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.guests import HEARING

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

START = """
import os, sys, threading
from contextlib import suppress
from silverprint.cli.interruption import interruptible
from silverprint.cli.main import main
from silverprint.errors import TrainingCancelled
from silverprint.training.display import result_of
from silverprint.training.job import Job
from support.classifier_programs import Steps

def say(text):
    os.write(1, text.encode() + b"\\n")

listening = threading.Event()

def until_cancelled(cancel):
    assert listening.wait(60)
    say("training")
    while not cancel.cancelled:
        threading.Event().wait(0.001)
    raise TrainingCancelled("stopped")

def save():
    say("saved")
    return ()

def fit(program):
    job = Job(program)
    with interruptible(job, "Go on with: the same command"):
        listening.set()
        return result_of(job, None)
"""

NOTICE = "Stopping; what is done is being saved. Ctrl-C again stops at once."


@contextmanager
def child(code: str) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING + START + textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], list[str]]:
    """Status, and the lines left on both streams."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), [text for text in err.splitlines() if text]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)]
)
def test_a_signal_saves_says_how_to_go_on_and_ends(number: signal.Signals, status: int) -> None:
    with child("fit(Steps(until_cancelled, saved=save))") as process:
        assert line(process) == "training"
        process.send_signal(number)
        assert ended(process) == (status, ["saved"], [NOTICE, "Go on with: the same command"])


SAVING = """
def save():
    say("saving")
    sys.stdin.readline()  # until the test lets it go on
    say("saved")
    return ()
fit(Steps(until_cancelled, saved=save))
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_ctrl_c_after_that_is_immediate(first: signal.Signals) -> None:
    with child(SAVING) as process:
        assert line(process) == "training"
        process.send_signal(first)
        assert line(process) == "saving"
        process.send_signal(signal.SIGINT)
        assert ended(process) == (-signal.SIGINT, [], [NOTICE])


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_may_send_several_signals(second: signal.Signals) -> None:
    with child(SAVING) as process:
        assert line(process) == "training"
        process.send_signal(signal.SIGUSR1)
        assert line(process) == "saving"
        for _ in range(3):
            process.send_signal(second)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert ended(process) == (143, ["saved"], [NOTICE, "Go on with: the same command"])


def test_a_signal_while_the_message_is_printed_ends_the_process() -> None:
    code = """
        class Slow:
            def __getattr__(self, name):
                return getattr(sys.__stderr__, name)

            def write(self, text):
                if text.startswith("Go on"):
                    say("printing")
                    threading.Event().wait(60)
                return sys.__stderr__.write(text)

        sys.stderr = Slow()
        fit(Steps(until_cancelled, saved=save))
    """
    with child(code) as process:
        assert line(process) == "training"
        process.send_signal(signal.SIGTERM)
        assert [line(process), line(process)] == ["saved", "printing"]
        process.send_signal(signal.SIGTERM)
        status, _, err = ended(process)
        assert (status, err) == (-signal.SIGTERM, [NOTICE])


def test_a_signal_before_anybody_listens_ends_the_process_as_it_would_any() -> None:
    code = """
        job = Job(Steps(lambda cancel: say("training") or until_cancelled(cancel)))
        job.result()
    """
    with child(code) as process:
        assert line(process) == "training"
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (-signal.SIGTERM, [], [])


def test_a_job_that_was_cancelled_before_a_signal_came_says_how_to_go_on_all_the_same() -> None:
    code = """
        import signal
        job = Job(Steps(until_cancelled, saved=save))
        job.cancel()
        with interruptible(job, "Go on with: the same command"):
            signal.raise_signal(signal.SIGTERM)
            listening.set()
            job.result()
    """
    with child(code) as process:
        status, _, err = ended(process)
        assert (status, err) == (143, [NOTICE, "Go on with: the same command"])


def test_a_job_that_cannot_save_has_its_own_error() -> None:
    code = """
        def full():
            raise OSError(28, "No space left on device")
        try:
            fit(Steps(until_cancelled, saved=full))
        except OSError as error:
            say(f"{error}")
    """
    with child(code) as process:
        assert line(process) == "training"
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, ["[Errno 28] No space left on device"], [NOTICE])


def test_a_job_that_was_about_to_end_still_stops_the_command() -> None:
    code = """
        def step(cancel):
            if program.phase == "evaluating":
                with suppress(TrainingCancelled):  # it is done all the same
                    until_cancelled(cancel)
        program = Steps(step, saved=save)
        fit(program)
        say("went on")
    """
    with child(code) as process:
        assert [line(process) for _ in range(4)] == ["saved"] * 3 + ["training"]
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (143, ["saved"], [NOTICE, "Go on with: the same command"])


def test_before_and_after_the_job_signals_mean_what_they_did() -> None:
    code = """
        import signal
        before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
        assert fit(Steps()) == "answer"
        try:
            fit(Steps(lambda cancel: 1 / 0))
        except ZeroDivisionError:
            pass
        after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
        assert before == after
        say("ready")
        threading.Event().wait(60)
    """
    with child(code) as process:
        assert line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (-signal.SIGTERM, [], [])


def test_a_job_cancelled_by_somebody_else_is_an_error_as_ever() -> None:
    code = """
        listening.set()
        job = Job(Steps(until_cancelled))
        job.cancel()
        try:
            with interruptible(job, "never said"):
                job.result()
        except TrainingCancelled:
            say("cancelled")
    """
    with child(code) as process:
        assert ended(process)[1][-1:] == ["cancelled"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_were_ignored_from_the_start_stay_ignored(number: signal.Signals) -> None:
    """As for a command in the background of a shell script, or under nohup."""
    code = f"""
        import signal
        signal.signal({int(number)}, signal.SIG_IGN)
        fit(Steps(until_cancelled, saved=save))
    """
    with child(code) as process:
        assert line(process) == "training"
        process.send_signal(number)
        process.send_signal(signal.SIGUSR1)
        assert line(process) == "saved"
        assert ended(process) == (143, [], [NOTICE, "Go on with: the same command"])


def test_in_a_thread_the_signals_are_left_to_the_program() -> None:
    code = """
        found = []
        thread = threading.Thread(target=lambda: found.append(fit(Steps())))
        thread.start()
        thread.join()
        say(found[0])
    """
    with child(code) as process:
        assert ended(process) == (0, ["answer"], [])


def test_an_interruption_passes_through_the_command_line() -> None:
    code = """
        from silverprint.cli import info

        def fake(*arguments, **names):
            fit(Steps(until_cancelled, saved=save))

        import typer
        import silverprint.cli.main as command
        application = typer.Typer()
        application.command()(lambda: fake())
        command._app = lambda: application
        sys.exit(main([]))
    """
    with child(code) as process:
        assert line(process) == "training"
        process.send_signal(signal.SIGUSR1)
        assert ended(process) == (143, ["saved"], [NOTICE, "Go on with: the same command"])
