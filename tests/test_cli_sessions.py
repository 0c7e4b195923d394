"""`silverprint train` comes back to what it has done, and says what is other than before."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import silverprint as sp
from silverprint.classifier import classifier
from silverprint.classifier.resuming import program_of
from silverprint.cli.main import main
from support.classifier_sets import COLOURS, draw_set
from support.graphs import backbone, saved
from support.waiting import waiting

OK, USAGE, BAD_DATA, ENVIRONMENT = 0, 2, 3, 5
EXTRACTING, TRAINING = sp.Phase.EXTRACTING_FEATURES, sp.Phase.TRAINING
Train = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """24 pictures in photos/ of the current folder, and a small backbone that says what it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    draw_set(Path("photos"), dict.fromkeys(COLOURS, 6))
    saved(backbone(metadata={"mean": "0", "std": "1"}), Path("tiny.onnx"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield tmp_path
    root.handlers[:] = handlers
    root.setLevel(level)


LINE = ("train", "classifier", "photos", "-o", "Pets.onnx", "--extractor", "tiny.onnx")


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str]) -> Train:
    """The same line, with further options; exit status, standard output and standard error."""

    def call(*options: object) -> tuple[int, str, str]:
        status = main([*LINE, *map(str, options)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err, err
        return status, out, err

    return call


def training(phase: sp.Phase, *options: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """The same line in a process of its own that does four units of a phase, and waits."""
    return waiting(phase, *LINE, *options)


def decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many pictures the trainings of this process have decoded."""
    programs: list[Any] = []

    def remember(session: sp.TrainingSession) -> Any:
        programs.append(program_of(session))
        return programs[-1]

    monkeypatch.setattr(classifier, "program_of", remember)
    return lambda: sum(one.counts.decoded for one in programs if hasattr(one, "counts"))


class TestWhereTheWorkIsKept:
    @pytest.mark.parametrize(
        ("output", "folder"),
        [("Pets.onnx", "Pets"), ("v1.0", "v1.0"), ("v1.1", "v1.1"), ("models/A.onnx", "models/A")],
    )
    def test_beside_the_output(self, train: Train, output: str, folder: str) -> None:
        Path("models").mkdir()
        status, out, _ = train("-o", output)
        assert status == OK
        kept = Path(output).parent / ".silverprint" / Path(folder).name
        assert f"The work is kept in {kept}: the same line goes on after a stop." in out
        session = sp.ImageClassifier.restore_training_session(sp.SessionParameters(kept))
        assert session.runs[-1].is_finished

    def test_in_a_folder_that_is_named(self, train: Train) -> None:
        assert train("--session", "runs/pets")[0] == OK
        assert not Path(".silverprint").exists()
        assert Path("runs/pets/session.sqlite").is_file()

    def test_nowhere(self, train: Train) -> None:
        status, out, _ = train("--no-session", "--json")
        assert status == OK
        assert json.loads(out)["session"] is None
        assert not Path(".silverprint").exists()

    @pytest.mark.parametrize(
        "options",
        [
            ("--session", "runs/pets"),
            ("--accept-changes",),
            ("--frozen-data",),
            ("--take-over",),
            ("--numerics", "any"),
        ],
    )
    def test_what_is_about_sessions_needs_one(self, train: Train, options: tuple[str, ...]) -> None:
        status, _, err = train("--no-session", *options)
        assert status == USAGE
        assert options[0].removeprefix("--").replace("-", "_") in err
        assert not Path("Pets.onnx").exists()

    def test_pictures_and_output_may_lie_in_one_folder(self, train: Train) -> None:
        for _ in range(2):
            status, out, _ = train("-o", "photos/Pets.onnx")
            assert status == OK
            assert "24 pictures, 4 labels" in out
        assert "Nothing has changed" in out


class TestGoingOn:
    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
    @pytest.mark.parametrize(("phase", "missing"), [(EXTRACTING, 16), (TRAINING, 0)])
    def test_after_a_kill(
        self, train: Train, monkeypatch: pytest.MonkeyPatch, phase: sp.Phase, missing: int
    ) -> None:
        assert train("-o", "Golden.onnx")[0] == OK
        with training(phase) as process:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=60)
        count = decoded(monkeypatch)
        status, out, _ = train()
        assert status == OK
        unit = "8 pictures" if phase is EXTRACTING else "4 iterations"
        title = "extracting features" if phase is EXTRACTING else "training"
        assert f"Going on with what .silverprint/Pets keeps: {title}, {unit} done." in out
        assert count() == missing
        assert Path("Pets.onnx").read_bytes() == Path("Golden.onnx").read_bytes()

    @pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)]
    )
    def test_after_a_signal_which_says_how(
        self, train: Train, number: signal.Signals, status: int
    ) -> None:
        assert train("-o", "Golden.onnx")[0] == OK
        with training(TRAINING) as process:
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert process.returncode == status, err
        assert err.splitlines()[-1] == "Saved in .silverprint/Pets. The same line goes on."
        assert "Traceback" not in err
        assert not Path("Pets.onnx").exists()
        status, out, _ = train()
        assert status == OK
        assert "training, 4 iterations done." in out
        assert Path("Pets.onnx").read_bytes() == Path("Golden.onnx").read_bytes()

    @pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
    def test_without_a_session_there_is_the_cache(self) -> None:
        with training(TRAINING, "--no-session") as process:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err.splitlines()[-1].startswith("Stopped. Extracted features are in the cache")

    def test_not_while_another_process_trains(self, train: Train) -> None:
        with training(TRAINING) as process:
            status, _, err = train()
            assert status == ENVIRONMENT
            assert f".silverprint/Pets: in use by process {process.pid}" in err
            assert "--take-over" in err
            status, out, _ = train("--take-over")
            assert status == OK
            assert "training, 4 iterations done." in out


class TestComingBack:
    def test_nothing_changed_is_said_and_the_files_are_there_again(
        self, train: Train, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = train()[1]
        golden = Path("Pets.onnx").read_bytes()
        Path("Pets.onnx").unlink()
        count = decoded(monkeypatch)
        status, out, _ = train()
        assert status == OK
        assert "Nothing has changed since the last run: its result stands." in out
        assert "Trained in" in first
        assert "Trained in" not in out
        assert "→" not in out
        assert Path("Pets.onnx").read_bytes() == golden
        assert count() == 0

    def test_what_changed_and_what_it_did(
        self, train: Train, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train()
        draw_set(Path("photos"), {"red": 3, "grey": 4}, first=50)
        Path("photos/red/0.png").rename("photos/blue/wrong.png")
        count = decoded(monkeypatch)
        status, out, _ = train()
        assert status == OK
        assert count() == 7
        runs = sp.ImageClassifier.restore_training_session(
            sp.SessionParameters(".silverprint/Pets")
        ).runs
        before, after = (str(run).rpartition("accuracy ")[2] for run in runs)
        assert "Since the last run: 7 added, 1 relabelled." in out
        assert f"7 added, 1 relabelled; accuracy {before} → {after}" in out.splitlines()
        assert "±" in before
        # Said once.
        assert "→" not in train()[1]

    def test_other_parameters_are_said_too(self, train: Train) -> None:
        train()
        status, out, _ = train("--max-iterations", "3")
        assert status == OK
        assert "Since the last run: max_iterations None → 3." in out

    def test_for_programs(self, train: Train) -> None:
        first = json.loads(train("--json")[1])
        assert first["session"] == {"folder": ".silverprint/Pets", "run": 1, "is_new": True}
        draw_set(Path("photos"), {"red": 1}, first=50)
        assert json.loads(train("--json")[1])["session"] == {
            "folder": ".silverprint/Pets",
            "run": 2,
            "is_new": True,
            "changes": "1 added",
            "accuracy_before": first["validation"]["accuracy"],
        }
        again = json.loads(train("--json")[1])
        assert again["session"] == {"folder": ".silverprint/Pets", "run": 2, "is_new": False}
        assert main(["session", "show", ".silverprint/Pets", "--json"]) == OK

    def test_frozen_data(self, train: Train) -> None:
        train()
        assert train("--frozen-data")[0] == OK
        draw_set(Path("photos"), {"red": 1}, first=50)
        status, _, err = train("--frozen-data")
        assert status == BAD_DATA
        assert "1 added (photos/red/50.png)" in err

    def test_an_unfinished_one_with_other_pictures_asks(self, train: Train) -> None:
        with training(TRAINING):
            pass
        draw_set(Path("photos"), {"red": 1}, first=50)
        status, _, err = train()
        assert status == BAD_DATA
        assert "1 added (photos/red/50.png)" in err
        assert "--accept-changes" in err
        status, out, _ = train("--accept-changes")
        assert status == OK
        assert "Since the last run: 1 added." in out

    def test_an_unfinished_one_with_other_parameters_is_a_usage_error(self, train: Train) -> None:
        with training(TRAINING):
            pass
        status, _, err = train("--seed", "3")
        assert status == USAGE
        assert "seed=3: the unfinished session was begun with 0" in err
        assert train("--seed", "3", "--session", "runs/other")[0] == OK


def test_show_needs_a_session(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["session", "show", "photos"]) == USAGE
    err = capsys.readouterr().err
    assert "session_directory='photos': expected the folder of a session" in err
