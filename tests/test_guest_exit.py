"""Ctrl-C and the end of the interpreter end our work cleanly, whoever started it and where."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from support.children import run_python
from support.classifier_sets import draw_set
from support.guests import interrupted

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

START = """
import sys, atexit, threading, time
import numpy as np
late = []
atexit.register(lambda: [act() for act in late])  # after silverprint's own, which comes later
import silverprint as sp
from silverprint import _core
from silverprint.training.job import Job
from silverprint.training.progress import Phase

pictures = [np.full((300, 300, 3), i, np.uint8) for i in range(8)] * 500
extractor = sp.ScenePrint()
extractor.function
started = threading.Event()

def compute(cancel=None):
    tensor = np.zeros((1, 3, 224, 224), np.float32)
    token = cancel or _core.runtime.CancelToken()
    while not token.cancelled:
        extractor.function.run_tensor(tensor)
        started.set()

class Program:
    phase, item_count, total_item_count, metrics = Phase.TRAINING, 0, None, {}
    iteration = 0
    advance = staticmethod(compute)
    def save(self): return ()
    def close(self): pass

def ready(*ignored):
    if not started.is_set():
        print("ready", flush=True)
    started.set()
"""

WAITING = {
    "extract": "extractor.extract(pictures, progress=lambda done, total: done and ready())",
    "stream": "for block in extractor.stream(pictures, block_size=4): ready()",
    "result": """
job = Job(Program())
assert started.wait(60)
print("ready", flush=True)
job.result()
""",
    "events": """
job = Job(Program())
assert started.wait(60)
print("ready", flush=True)
for event in job: pass
""",
    "another thread's result": """
job = Job(Program())
assert started.wait(60)
waiter = threading.Thread(target=lambda: job.wait(), daemon=True)
waiter.start()
print("ready", flush=True)
try:
    while job.wait(0.1) is False: pass
finally:
    job.stop()
""",
}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("where", WAITING)
def test_ctrl_c_is_a_keyboard_interrupt_wherever_we_wait(where: str, times: int) -> None:
    done = interrupted(START + WAITING[where], times=times)
    assert done.returncode == -signal.SIGINT, done.stderr
    assert "KeyboardInterrupt" in done.stderr
    assert "terminate" not in done.stderr


@pytest.mark.parametrize(
    "call",
    [
        "sp.ImageClassifier(sys.argv[1], progress=told)",
        "model.probabilities(many, progress=told)",
        "model.evaluation(sp.DataSource.of({'red': many}), progress=told)",
    ],
    ids=["constructor", "probabilities", "evaluation"],
)
def test_ctrl_c_in_the_classifier_leaves_a_usable_program(call: str, tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 40, "green": 40})
    code = f"""
        import sys, threading
        import silverprint as sp

        model = sp.ImageClassifier(
            sys.argv[1], sp.ModelParameters(validation=None), progress=False
        )
        many = [f"{{sys.argv[1]}}/red/{{i}}.png" for i in range(40)]

        def told(*state):
            print("ready", flush=True)
            threading.Event().wait(60)  # so few pictures are done too soon

        try:
            {call}
            print("not interrupted")
        except KeyboardInterrupt:
            print("interrupted")
        names = [t.name for t in threading.enumerate() if t.name.startswith("silverprint-")]
        print(names, model.prediction(many[0]))
    """
    done = interrupted(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "interrupted\n[] red\n"


ENDINGS = {
    "a job runs": "job = Job(Program()); assert started.wait(60)",
    "a job was never waited for, in another thread": """
thread = threading.Thread(target=lambda: globals().update(job=Job(Program())))
thread.start(); thread.join(); assert started.wait(60)
""",
    "a daemon thread waits for a job": """
threading.Thread(target=lambda: Job(Program()).result(), daemon=True).start()
assert started.wait(60)
""",
    "daemon threads read the events of a job": """
job = Job(Program())
for _ in range(3): threading.Thread(target=lambda: print(len(list(job))), daemon=True).start()
assert started.wait(60)
""",
    "daemon threads extract again and again": """
def work():
    while True:
        extractor.extract(pictures[:3]); started.set()
for _ in range(3): threading.Thread(target=work, daemon=True).start()
assert started.wait(60)
""",
    "daemon threads are inside the core": """
for _ in range(4): threading.Thread(target=compute, daemon=True).start()
assert started.wait(60)
""",
    "a stream is left half read": "blocks = extractor.stream(pictures, block_size=4); next(blocks)",
    "atexit extracts": "atexit.register(lambda: print(extractor.extract(pictures[:3]).shape))",
    "atexit extracts after us": "late.append(lambda: print(extractor.extract(pictures[:3]).shape))",
    "atexit starts a job after us": "late.append(lambda: (Job(Program()), started.wait(60)))",
    "a job extracts while the program ends": """
from silverprint.features import shutdown
class Extracts(Program):
    def advance(self, cancel):
        started.set()
        assert shutdown._exiting.wait(60)
        print(extractor.extract(pictures[:3]).shape)
job = Job(Extracts())
assert started.wait(60)
""",
    "sys.exit in a callback of the extraction": """
extractor.extract(pictures, progress=lambda done, total: done > 9 and sys.exit(0))
""",
}


@pytest.mark.parametrize("when", ENDINGS)
def test_a_program_may_end_when(when: str) -> None:
    done = run_python(START + ENDINGS[when], check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_sys_exit_in_a_callback_of_the_training_ends_the_program(tmp_path: Path) -> None:
    code = """
        import sys
        import silverprint as sp
        sp.ImageClassifier(sys.argv[1], progress=lambda progress: sys.exit(7))
    """
    done = run_python(code, draw_set(tmp_path), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_asyncio_run_may_be_interrupted_while_a_job_is_awaited() -> None:
    code = """
        import asyncio
        async def wait():
            job = Job(Program())
            while not started.is_set(): await asyncio.sleep(0.01)
            print("ready", flush=True)
            await job
        asyncio.run(wait())
    """
    done = interrupted(START + dedent(code))
    assert done.returncode == -signal.SIGINT, done.stderr
    assert done.stderr.endswith("KeyboardInterrupt\n")
