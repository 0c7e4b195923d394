"""What the whole process shares: instruction set, threads, and what a fork does to them."""

from __future__ import annotations

import os
import sys

import pytest

from silverprint import _core
from support.children import run_python

ISAS = _core.build.available_isas()
SHOW = "from silverprint import _core; print(_core.build.active_isa(), _core.build.threads())"


def shown(env: dict[str, str]) -> list[str]:
    without = ("SILVERPRINT_ISA", "SILVERPRINT_THREADS")
    return run_python(SHOW, env=env, without=without).stdout.split()


def test_the_strongest_instruction_set_and_every_core_are_the_default() -> None:
    isa, threads = shown({})
    assert isa == ISAS[-1]
    assert 1 <= int(threads) <= (os.cpu_count() or 1)
    assert shown({"SILVERPRINT_ISA": "", "SILVERPRINT_THREADS": ""}) == [isa, threads]


@pytest.mark.parametrize("isa", ISAS)
def test_an_instruction_set_can_be_forced(isa: str) -> None:
    assert shown({"SILVERPRINT_ISA": isa})[0] == isa


@pytest.mark.parametrize(
    "use", ["_core.build.active_isa()", "_core.image.prepare(x, 2, 2, 'scale_fit')"]
)
def test_an_unknown_instruction_set_is_an_error_that_names_those_there(use: str) -> None:
    code = f"""
        import numpy as np
        from silverprint import _core
        x = np.zeros((4, 4, 3), np.uint8)
        for _ in range(2):  # and stays one
            try:
                {use}
            except ValueError as error:
                print(error)
    """
    message = f"SILVERPRINT_ISA=sse9: expected one of {', '.join(ISAS)}"
    output = run_python(code, env={"SILVERPRINT_ISA": "sse9"}).stdout
    assert output.splitlines() == [message, message]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_can_be_set(threads: str) -> None:
    assert shown({"SILVERPRINT_THREADS": threads})[1] == threads


@pytest.mark.parametrize("threads", ["0", "-2", "1025", "two", "2x", "1.5"])
def test_a_wrong_number_of_threads_is_an_error(threads: str) -> None:
    done = run_python(SHOW, env={"SILVERPRINT_THREADS": threads}, check=False)
    assert done.returncode == 1
    assert f"ValueError: SILVERPRINT_THREADS={threads}: expected a number of threads" in done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this system")
def test_a_process_bound_to_one_core_uses_one_thread() -> None:
    code = """
        import os
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        from silverprint import _core
        print(_core.build.threads())
    """
    assert run_python(code, without=("SILVERPRINT_THREADS",)).stdout == "1\n"


def test_a_program_can_end_while_the_pool_is_waiting() -> None:
    code = """
        import numpy as np
        from silverprint import _core
        x = np.random.default_rng(0).normal(size=(500, 9)).astype(np.float32)
        labels = np.arange(500, dtype=np.int32) % 2
        solver = _core.solve.LogisticRegression(x, np.arange(500), labels, 2, 0.1)
        print(solver.step(_core.runtime.CancelToken()))
    """
    assert run_python(code, env={"SILVERPRINT_THREADS": "3"}).stdout == "True\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_after_a_fork_work_is_done_or_refused_but_never_waited_for() -> None:
    # The threads of the pool do not exist in a forked child.
    code = """
        import os, signal, warnings
        import numpy as np
        from silverprint import _core

        def fit():
            x = np.random.default_rng(0).normal(size=(500, 70)).astype(np.float32)
            labels = (x[:, 0] > 0).astype(np.int32)
            solver = _core.solve.LogisticRegression(x, np.arange(500), labels, 2, 0.1)
            token = _core.runtime.CancelToken()
            while solver.step(token):
                pass
            return solver.value()

        expected = fit()
        warnings.simplefilter("ignore")  # Python 3.12 warns of every fork with threads
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            try:
                os._exit(0 if fit() == expected else 1)
            except Exception as error:
                os._exit(0 if "spawn" in str(error) else 2)
        print(os.waitpid(child, 0)[1])
    """
    assert run_python(code, env={"SILVERPRINT_THREADS": "2"}).stdout == "0\n"


@pytest.mark.skipif(sys.platform == "win32", reason="forkserver is for POSIX")
def test_a_child_started_anew_computes_the_same() -> None:
    code = """
        import multiprocessing
        import numpy as np
        from silverprint import _core

        if __name__ == "__main__":
            picture = np.eye(9, dtype=np.uint8)[:, :, None].repeat(3, 2) * 99
            here = _core.image.prepare(picture, 4, 4, "scale_fit")
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                there = pool.apply(_core.image.prepare, (picture, 4, 4, "scale_fit"))
            print((here == there).all())
    """
    assert run_python(code).stdout == "True\n"
