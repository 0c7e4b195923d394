"""Other processes: a fork is refused with the remedy; spawn and forkserver compute the same."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from copy import copy, deepcopy
from pathlib import Path

import numpy as np
import pytest

import silverprint as sp
from support.children import run_python
from support.classifier_sets import draw_set
from support.guests import pictures, tiny_extractor, tiny_model

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

REMEDY = 'start a new program instead (in Python: multiprocessing\'s "spawn" or "forkserver")'

FORKED = {
    "a pool": """
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply(ask))
""",
    "a process pool executor": """
context = multiprocessing.get_context("fork")
with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
    print(pool.submit(ask).result())
""",
    "os.fork": """
child = os.fork()
if child == 0:
    signal.alarm(30)
    print(ask())
    sys.exit(0)  # through atexit, as a program that daemonises does
print("status", os.waitpid(child, 0)[1])
""",
    # As torch.utils.data.DataLoader does it: a worker loops over indices and sends items back.
    "a data loader": """
class Pictures:
    def __getitem__(self, i):
        return ask()

def worker(data, indices, items):
    for i in iter(indices.get, None):
        items.put(data[i])

context = multiprocessing.get_context("fork")
indices, items = context.Queue(), context.Queue()
process = context.Process(target=worker, args=(Pictures(), indices, items), daemon=True)
process.start()
indices.put(0); indices.put(None)
print(items.get(timeout=60))
process.join(60)
""",
}
START = """
import concurrent.futures, multiprocessing, os, signal, sys, warnings
import numpy as np
import silverprint as sp

warnings.simplefilter("ignore")  # Python 3.12 warns of every fork with threads
model = sp.load(sys.argv[1])
picture = np.full((40, 40, 3), 9, np.uint8)

def ask():
    try:
        return model.prediction(picture)
    except sp.SilverprintError as error:
        return error

"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@forks
@pytest.mark.parametrize("how", FORKED)
def test_a_fork_of_a_process_that_used_silverprint_is_refused(how: str, path: Path) -> None:
    code = START + "model.prediction(picture)\n" + FORKED[how]
    done = run_python(code, path)
    assert REMEDY in done.stdout
    assert done.stderr == ""
    assert "status" not in done.stdout or "status 0" in done.stdout


@forks
@pytest.mark.parametrize("how", FORKED)
def test_a_fork_before_the_first_use_computes(how: str, path: Path) -> None:
    done = run_python(START + FORKED[how], path)
    assert done.stdout.split()[0] == sp.load(path).prediction(np.full((40, 40, 3), 9, np.uint8))
    assert done.stderr == ""


@forks
def test_a_fork_does_not_end_the_job_of_its_parent() -> None:
    code = """
        import os, sys, threading, warnings
        from silverprint.training.job import Job
        from silverprint.training.progress import Phase

        class Program:
            phase, item_count, total_item_count, metrics = Phase.TRAINING, 0, None, {}
            iteration = 0
            go_on = threading.Event()
            def advance(self, cancel):
                assert self.go_on.wait(60)
                self.phase = Phase.DONE
            def save(self): return ()
            def result(self): return "answer"
            def close(self): pass

        warnings.simplefilter("ignore")
        job = Job(Program())
        child = os.fork()
        if child == 0:
            sys.exit(0)
        print(os.waitpid(child, 0)[1])
        Program.go_on.set()
        print(job.result(60), job.is_cancelled)
    """
    assert run_python(code).stdout == "0\nanswer False\n"


@forks
def test_a_child_makes_what_a_thread_of_its_parent_was_making() -> None:
    code = """
        import os, signal, threading, warnings
        from silverprint.features.once import once

        parent, begun, go_on = os.getpid(), threading.Event(), threading.Event()

        class Owner:
            @once
            def value(self):
                if os.getpid() == parent:
                    begun.set()
                    assert go_on.wait(60)
                return 5

        warnings.simplefilter("ignore")
        owner = Owner()
        thread = threading.Thread(target=lambda: owner.value)
        thread.start()
        assert begun.wait(60)
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            os._exit(owner.value)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        go_on.set()
        thread.join()
    """
    assert run_python(code).stdout == "5\n"


def test_what_another_thread_makes_meanwhile_does_not_disturb_a_copy(
    tmp_path: Path, path: Path
) -> None:
    class Meanwhile(str):
        """A name whose comparison stands for the moment in which the other thread runs."""

        state: dict[str, object]
        __hash__ = str.__hash__

        def __ne__(self, other: object) -> bool:
            self.state["made"] = 1
            return True

    for value in (sp.load(path), tiny_extractor(tmp_path)):
        name = Meanwhile("name")
        name.state = vars(value)
        name.state[name] = 1
        assert set(value.__getstate__()) >= {"name"}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_processes_give_the_same_bytes(method: str, path: Path) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    code = """
        import multiprocessing, sys
        import silverprint as sp

        sys.path.insert(0, sys.argv[2])
        from support.guests import pictures

        if __name__ == "__main__":
            model = sp.load(sys.argv[1])
            expected = model.probabilities(pictures(12)).tobytes()
            with multiprocessing.get_context(sys.argv[3]).Pool(2) as pool:
                parts = pool.map(model.probabilities, [pictures(12)] * 3)
                extractor = sp.ScenePrint()
                features = pool.apply(extractor.extract, (pictures(2),))
            print({part.tobytes() == expected for part in parts})
            print((features == extractor.extract(pictures(2))).all())
    """
    done = run_python(code, path, Path(__file__).parent, method)
    assert done.stdout == "{True}\nTrue\n"
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a small file system matter")
def test_all_that_users_hold_can_be_pickled_and_copied(tmp_path: Path, path: Path) -> None:
    model = sp.load(path)
    extractor = tiny_extractor(tmp_path)
    data = sp.DataSource.of(draw_set(tmp_path / "set"))
    parameters = sp.ModelParameters(feature_extractor=extractor, validation=sp.Split(0.2))
    metrics = model.evaluation(data)
    expected = model.probabilities(pictures(4)).tobytes(), extractor.extract(pictures(4)).tobytes()
    for duplicate in (lambda it: pickle.loads(pickle.dumps(it)), copy, deepcopy):
        for value in (data, extractor, sp.ScenePrint(), parameters, metrics, model.record):
            assert duplicate(value) == value
        again = duplicate(model), duplicate(extractor)
        assert again[0].probabilities(pictures(4)).tobytes() == expected[0]
        assert again[0].labels == model.labels
        assert again[1].extract(pictures(4)).tobytes() == expected[1]


def test_errors_come_back_from_other_processes_as_they_were() -> None:
    for error in (
        sp.InvalidDataError("cat.jpg", "truncated"),
        sp.InvalidParameterError("l2", -1, "a positive number"),
        sp.BackboneError("broken"),
        sp.OnnxRuntimeError("missing"),
        sp.ExportError("no place"),
        sp.TrainingCancelled("stopped"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
        assert vars(again) == vars(error)
