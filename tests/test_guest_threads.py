"""Many threads at once get the bytes of one; nothing is made twice, and nothing is left behind."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import silverprint as sp
from silverprint.features import extractor as extractor_module
from silverprint.features.extractor import GraphFunction
from silverprint.features.once import once
from support.guests import pictures, tiny_extractor, tiny_model

pytest.importorskip("psutil")
THREADS = 16


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def together(work: Callable[[int], Any]) -> list[Any]:
    """What `work` gives for 0 to 15, in threads that start at one moment."""
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        barrier.wait(60)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_every_public_class_says_what_threads_may_do() -> None:
    classes = [value for name in sp.__all__ if inspect.isclass(value := getattr(sp, name))]
    silent = [
        value.__name__
        for value in classes
        if not issubclass(value, (Exception, Enum)) and "thread" not in (value.__doc__ or "")
    ]
    assert silent == []


def test_sixteen_threads_ask_one_classifier(path: Path) -> None:
    asked = pictures(48)
    model = sp.load(path)
    expected = [model.probabilities([picture]).tobytes() for picture in asked]

    def ask(number: int) -> list[bool]:
        order = asked[number:] + asked[:number]
        rows = model.probabilities(order, threads=2)
        answers = expected[number:] + expected[:number]
        return [row.tobytes() == answer for row, answer in zip(rows, answers, strict=True)]

    assert {right for part in together(ask) for right in part} == {True}


def test_sixteen_threads_share_one_extractor(tmp_path: Path) -> None:
    extractor = tiny_extractor(tmp_path)
    alone = tiny_extractor(tmp_path).extract(pictures(24)).tobytes()
    streamed = together(
        lambda i: b"".join(
            block.features.tobytes() for block in extractor.stream(pictures(24), block_size=i + 1)
        )
    )
    assert set(streamed) == {alone}


@pytest.mark.parametrize("kind", ["classifier", "custom extractor", "ScenePrint"])
def test_threads_that_race_for_the_first_use_make_one_session(
    kind: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[GraphFunction] = []
    make = GraphFunction.__init__

    def counted(self: GraphFunction, *arguments: Any, **names: Any) -> None:
        made.append(self)
        make(self, *arguments, **names)

    ask = {
        "classifier": lambda: sp.load(path).probabilities,
        "custom extractor": lambda: tiny_extractor(tmp_path).extract,
        "ScenePrint": lambda: sp.ScenePrint().extract,
    }[kind]()
    monkeypatch.setattr(extractor_module.GraphFunction, "__init__", counted)
    answers = together(lambda i: ask(pictures(2)).tobytes())
    assert len(set(answers)) == 1
    # ScenePrint is read at first use, and tried once on a black picture.
    assert len(made) == (2 if kind == "ScenePrint" else 1)


def test_a_property_made_once_is_made_by_one_of_the_threads() -> None:
    made: list[int] = []

    class Owner:
        @once
        def value(self) -> object:
            made.append(threading.get_ident())
            threading.Event().wait(0.05)
            return object()

    owner, other = Owner(), Owner()
    assert len({id(value) for value in together(lambda i: owner.value)}) == 1
    assert len(made) == 1
    assert other.value is not owner.value
    assert isinstance(Owner.value, once)


def test_making_one_instances_value_holds_up_no_other_instance() -> None:
    class Owner:
        def __init__(self, make: Callable[[], object]) -> None:
            self.make = make

        @once
        def value(self) -> object:
            return self.make()

    begun, made = threading.Event(), threading.Event()
    slow = Owner(lambda: begun.set() or made.wait(20))
    quick = Owner(lambda: "quick")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: slow.value)
        assert begun.wait(20)
        assert quick.value == "quick"
        made.set()
        assert waiting.result(20) is True


def test_sixteen_trainings_at_once_give_one_model(tmp_path: Path) -> None:
    from support.classifier_sets import draw_set

    folder = draw_set(tmp_path / "set")
    extractor = tiny_extractor(tmp_path)
    parameters = sp.ModelParameters(feature_extractor=extractor)
    jobs = together(lambda i: sp.ImageClassifier.train(folder, parameters, threads=1))
    written = set()
    for number, job in enumerate(jobs):
        file = tmp_path / f"{number}.onnx"
        job.result().write(file)
        written.add(file.read_bytes())
    assert len(written) == 1


def test_a_job_may_be_watched_from_sixteen_threads() -> None:
    from support.classifier_programs import Gate, Steps

    gate = Gate()
    job = sp.Job(Steps(gate, units=20))

    def watch(number: int) -> str:
        while not job.wait(0.001):
            assert job.progress.phase in tuple(sp.Phase)
            gate.opened.set()
        return job.result()

    assert set(together(watch)) == {"answer"}


@pytest.mark.parametrize("kind", ["classifier", "extractor"])
def test_a_thousand_cycles_leave_nothing_behind(kind: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-m", "support.cycles", kind, tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    windows = json.loads(done.stdout)
    # Sessions of this graph that stayed would take forty megabytes a window; allocators keep some.
    assert min(window["bytes"] for window in windows) < 1 << 20
    assert min(window["handles"] for window in windows) == 0
    assert min(window["threads"] for window in windows) == 0
