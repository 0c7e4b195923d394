"""The `silverprint` command: what it prints, writes, and tells the shell."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from silverprint.cli.main import main
from silverprint.data import decode
from silverprint.export import coreml
from silverprint.features import digests, extraction
from support.children import run_python
from support.classifier_sets import command, draw, draw_set

OK, BUG, USAGE, BAD_DATA, GATE_FAILED, ENVIRONMENT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The command sets logging up, as a process of its own may."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; exit status, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return call


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 pictures of each label; one red picture lies among the blue ones."""
    root = draw_set(tmp_path_factory.mktemp("test"), dict.fromkeys(("red", "blue"), 5), first=50)
    (root / "blue" / "54.png").write_bytes((root / "red" / "54.png").read_bytes())
    (root / "red" / "54.png").unlink()
    draw(root / "red" / "60.png", (200, 40, 40))
    return root


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "Colours.onnx"
    parameters = sp.ModelParameters(classifier=sp.LogisticRegressor(l2=0.01))
    sp.ImageClassifier(photos, parameters, progress=False).write(path)
    return path


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **names: object) -> Any:
        raise AssertionError("a picture was read")

    for module in (extraction, digests):
        monkeypatch.setattr(module, "read_picture_and_status", refuse)
    monkeypatch.setattr(decode, "read_picture", refuse)


@pytest.fixture
def no_core_ml(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where coremltools is not installed."""
    from silverprint.export.coreml import library

    monkeypatch.setattr(library, "_installed", lambda name: name != "coremltools")
    reason = coreml.available()
    assert reason is not None
    assert "coremltools not installed" in reason


class TestTrain:
    def test_it_shows_the_data_trains_and_writes(
        self, run: Run, photos: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "Colours.onnx"
        status, out, err = run("train", "classifier", photos, "-o", path)
        assert status == OK
        lines = out.splitlines()
        assert lines[0] == "32 pictures, 4 labels"
        assert lines[1].split() == ["label", "pictures"]
        assert [line.split() for line in lines[2:6]] == [
            [label, "8"] for label in ("blue", "green", "red", "yellow")
        ]
        assert "accuracy 1.000 (95 % interval 0.893 to 1.000) on 32 pictures" in out
        assert lines[-1].startswith(f"{path}: ")
        assert lines[-1].endswith(" MB")
        assert sp.load(path).labels == ("blue", "green", "red", "yellow")
        # Not a terminal: plain lines, one for each phase that lasts, no control characters.
        titles = ("Starting", "Extracting features", "Training", "Evaluating", "Done")
        assert all(line.startswith(titles) for line in err.splitlines())
        assert err.splitlines()[-1] == "Done"
        assert "\x1b" not in out + err
        assert "\r" not in err

    def test_without_an_ending_it_writes_both_files(
        self, run: Run, photos: Path, tmp_path: Path
    ) -> None:
        pytest.importorskip("coremltools")
        status, out, _ = run("train", "classifier", photos, "-o", tmp_path / "v1.0", "--l2", "0.1")
        assert status == OK
        files = sorted(path.name for path in tmp_path.iterdir() if path.name != ".silverprint")
        assert files == ["v1.0.mlpackage", "v1.0.onnx"]
        assert "In Swift:" in out
        assert "VNCoreMLRequest" in out

    def test_json_is_all_that_stands_on_standard_output(
        self, run: Run, photos: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "M.onnx"
        arguments = ("--l2", "0.1", "--json", "--author", "me", "--model-version", "1.0")
        status, out, _ = run("train", "classifier", photos, "-o", path, *arguments)
        assert status == OK
        record = json.loads(out)
        assert record["labels"] == {"blue": 8, "green": 8, "red": 8, "yellow": 8}
        assert record["l2"] == 0.1
        assert record["converged"] is True
        assert record["validation"]["accuracy"] == 1.0
        assert record["validation"]["count"] == 32
        assert record["files"] == [{"path": str(path), "size": path.stat().st_size}]
        assert sp.load(path).record.metadata == sp.ModelMetadata(author="me", version="1.0")

    def test_its_options_are_the_parameters(
        self, run: Run, photos: Path, tmp_path: Path, shared_data: Path
    ) -> None:
        path = tmp_path / "M.onnx"
        backbone = shared_data / "weights" / "squeezenet11.onnx"
        status, out, _ = run(
            *("train", "classifier", photos, "-o", path, "--json", "--extractor", backbone),
            *("--output-name", "features", "--l2", "0.5", "--class-weights", "balanced"),
            *("--validation", "0.25", "--crop-and-scale", "scale_fit", "--seed", "3"),
            *("--max-iterations", "1", "--threads", "1"),
        )
        assert status == OK
        assert json.loads(out)["converged"] is False
        record = sp.load(path).record
        assert record.extractor["name"] == "custom"
        assert record.extractor["tensor"] == "features"
        assert record.head["l2"] == 0.5
        assert record.rule.crop_and_scale == "scale_fit"
        assert record.training["seed"] == 3
        assert record.training["validation"] == "split 0.25"

    def test_a_limit_that_stopped_it_is_said(self, run: Run, photos: Path, tmp_path: Path) -> None:
        arguments = ("--l2", "0.001", "--max-iterations", "1", "--validation", "none")
        status, out, _ = run("train", "classifier", photos, "-o", tmp_path / "M.onnx", *arguments)
        assert status == OK
        assert "Stopped by --max-iterations=1 before it converged." in out
        assert "not trained on" not in out

    def test_validation_on_a_folder(
        self, run: Run, photos: Path, test_set: Path, tmp_path: Path
    ) -> None:
        arguments = ("--validation", test_set, "--l2", "0.1", "--json")
        status, out, _ = run("train", "classifier", photos, "-o", tmp_path / "M.onnx", *arguments)
        assert status == OK
        assert json.loads(out)["validation"]["count"] == 10

    @pytest.mark.parametrize(
        ("option", "value", "status"),
        [
            ("--l2", "much", USAGE),
            ("--l2", "-1", USAGE),
            ("--class-weights", "balancd", USAGE),
            ("--validation", "1.5", USAGE),
            ("--validation", "no-such-folder", BAD_DATA),
            ("--max-iterations", "0", USAGE),
            ("--max-iterations", "few", USAGE),
            ("--crop-and-scale", "centre", USAGE),
            ("--threads", "0", USAGE),
            ("--max-unreadable", "2", USAGE),
            ("--extractor", "no-such-file.onnx", BAD_DATA),
            ("--output-name", "features", USAGE),
            ("--unknown", "1", USAGE),
        ],
    )
    @pytest.mark.usefixtures("nothing_is_read")
    def test_bad_options_are_refused_before_anything_is_read(
        self, run: Run, photos: Path, tmp_path: Path, option: str, value: str, status: int
    ) -> None:
        path = tmp_path / "M.onnx"
        found, _, err = run("train", "classifier", photos, "-o", path, option, value)
        assert found == status
        assert value.split("-")[-1] in err or option in err
        assert not path.exists()

    @pytest.mark.parametrize(
        ("output", "status"),
        [("M.pt", USAGE), ("missing/M.onnx", ENVIRONMENT)],
    )
    @pytest.mark.usefixtures("nothing_is_read")
    def test_what_cannot_be_written_is_refused_before_training(
        self, run: Run, photos: Path, tmp_path: Path, output: str, status: int
    ) -> None:
        assert run("train", "classifier", photos, "-o", tmp_path / output)[0] == status

    @pytest.mark.usefixtures("nothing_is_read", "no_core_ml")
    def test_without_core_ml_a_package_is_refused_before_training(
        self, run: Run, photos: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "M.mlpackage"
        status, out, err = run("train", "classifier", photos, "-o", path)
        assert status == ENVIRONMENT
        assert "coremltools not installed" in err
        assert "pip install" in err
        assert out == ""
        assert not path.exists()

    @pytest.mark.usefixtures("no_core_ml")
    def test_without_core_ml_the_onnx_file_is_written_and_the_other_mentioned(
        self, run: Run, photos: Path, tmp_path: Path
    ) -> None:
        status, out, _ = run("train", "classifier", photos, "-o", tmp_path / "M", "--l2", "0.1")
        assert status == OK
        assert "No Core ML file will be written: coremltools not installed" in out
        assert list(tmp_path.glob("M*")) == [tmp_path / "M.onnx"]


class TestEvaluate:
    def test_it_shows_how_good_the_model_is(self, run: Run, model: Path, test_set: Path) -> None:
        status, out, _ = run("evaluate", model, test_set)
        assert status == OK
        assert out.splitlines()[0] == (
            f"{model}: accuracy 0.900 (95 % interval 0.596 to 0.982) on 10 pictures, "
            "calibration error 0.100"
        )
        rows = [line.split() for line in out.splitlines()[2:]]
        assert rows[0] == ["blue", "1.000", "0.800", "5"]  # lowest recall first
        assert rows[1] == ["red", "0.833", "1.000", "5"]
        assert ["green", "-", "-", "0"] in rows

    def test_json(self, run: Run, model: Path, test_set: Path) -> None:
        status, out, _ = run("evaluate", model, test_set, "--json", "--min-accuracy", "0.5")
        record = json.loads(out)
        assert status == OK
        assert record["accuracy"] == 0.9
        assert record["failed"] == []
        assert {row["label"]: row["recall"] for row in record["labels"]} == {
            "blue": 0.8,
            "green": None,
            "red": 1.0,
            "yellow": None,
        }
        assert {"true_label": "blue", "predicted": "red", "count": 1} in record["confusion"]

    @pytest.mark.parametrize(
        ("gate", "failed"),
        [
            (("--min-accuracy", "0.9"), []),
            (("--min-accuracy", "0.91"), ["accuracy 0.9000 is below 0.91"]),
            (("--min-recall", "blue=0.8"), []),
            (("--min-recall", "blue=0.81"), ["recall of 'blue' 0.8000 is below 0.81"]),
            (("--min-recall", "green=0.1"), ["recall of 'green' nan is below 0.1"]),
            (
                ("--min-recall", "blue=1", "--min-recall", "red=1", "--min-accuracy", "1"),
                ["accuracy 0.9000 is below 1", "recall of 'blue' 0.8000 is below 1"],
            ),
        ],
    )
    def test_gates(
        self, run: Run, model: Path, test_set: Path, gate: tuple[str, ...], failed: list[str]
    ) -> None:
        status, out, _ = run("evaluate", model, test_set, *gate)
        assert status == (GATE_FAILED if failed else OK)
        lines = [line for line in out.splitlines() if line.startswith("FAILED")]
        assert lines == [f"FAILED: {reason}" for reason in failed]
        assert json.loads(run("evaluate", model, test_set, "--json", *gate)[1])["failed"] == failed

    @pytest.mark.parametrize(
        ("gate", "hint"),
        [
            (("--min-recall", "bleu=0.5"), "did you mean 'blue'"),
            (("--min-recall", "blue"), "LABEL=SHARE"),
            (("--min-recall", "blue=much"), "LABEL=SHARE"),
            (("--min-recall", "blue=2"), "LABEL=SHARE"),
            (("--min-accuracy", "90"), "share from 0 to 1"),
        ],
    )
    @pytest.mark.usefixtures("nothing_is_read")
    def test_gates_that_make_no_sense(
        self, run: Run, model: Path, test_set: Path, gate: tuple[str, ...], hint: str
    ) -> None:
        status, out, err = run("evaluate", model, test_set, *gate)
        assert status == USAGE
        assert hint in err
        assert out == ""

    def test_wrong_answers_as_csv(
        self, run: Run, model: Path, test_set: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "errors.csv"
        status, out, _ = run("evaluate", model, test_set, "--errors", path)
        assert status == OK
        assert f"1 wrong answers in {path}" in out
        with path.open(newline="", encoding="utf-8") as stream:
            (row,) = csv.DictReader(stream)
        assert float(row.pop("probability")) > 0.5
        wrong = str(test_set / "blue" / "54.png")
        assert row == {"path": wrong, "truth": "blue", "answer": "red"}

    def test_bad_data(self, run: Run, model: Path, test_set: Path, tmp_path: Path) -> None:
        assert run("evaluate", tmp_path / "no.onnx", test_set)[0] == BAD_DATA
        assert run("evaluate", model, tmp_path / "no")[0] == BAD_DATA
        draw(tmp_path / "orange" / "1.png")
        status, _, err = run("evaluate", model, tmp_path)
        assert status == BAD_DATA
        assert "labels that the model does not know: 'orange'" in err


class TestPredict:
    def test_answers_as_csv_on_standard_output(self, run: Run, model: Path, test_set: Path) -> None:
        status, out, _ = run("predict", model, test_set)
        assert status == OK
        rows = list(csv.DictReader(out.splitlines()))
        assert list(rows[0]) == ["path", "target", "probability", "error"]
        assert [row["path"] for row in rows] == sorted(map(str, test_set.rglob("*.png")))
        assert [row["target"] for row in rows] == ["blue"] * 4 + ["red"] * 6

    def test_a_file_with_a_column_for_each_label(
        self, run: Run, model: Path, test_set: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "answers.csv"
        picture = test_set / "red" / "50.png"
        status, out, _ = run("predict", model, picture, "-o", path, "--probabilities")
        assert status == OK
        assert out.strip() == f"1 answers in {path}"
        with path.open(newline="", encoding="utf-8") as stream:
            (row,) = csv.DictReader(stream)
        probabilities = sp.load(model).probabilities([picture])[0]
        for label, golden in zip(sp.load(model).labels, probabilities, strict=True):
            assert float(row[label]) == pytest.approx(golden, abs=1e-6)

    def test_unreadable_pictures_are_listed_with_the_reason(
        self, run: Run, model: Path, test_set: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "letter.jpg").write_text("Dear picture")
        (tmp_path / "empty.png").write_bytes(b"")
        path = tmp_path / "answers.csv"
        status, _, err = run(
            *("predict", model, test_set / "red" / "50.png", tmp_path, "missing.jpg", "-o", path)
        )
        assert status == BAD_DATA
        assert err.strip() == "3 of 4 pictures cannot be read"
        with path.open(newline="", encoding="utf-8") as stream:
            rows = {Path(row["path"]).name: row for row in csv.DictReader(stream)}
        assert rows["50.png"]["target"] == "red"
        assert rows["50.png"]["error"] == ""
        assert rows["letter.jpg"]["error"] == "not a picture"
        assert rows["empty.png"]["error"] == "empty file"
        assert rows["missing.jpg"]["error"] == "no such file"
        assert rows["letter.jpg"]["target"] == rows["letter.jpg"]["probability"] == ""

    def test_json(self, run: Run, model: Path, test_set: Path, tmp_path: Path) -> None:
        (tmp_path / "letter.jpg").write_text("Dear picture")
        arguments = ("--json", test_set / "red" / "50.png", tmp_path / "letter.jpg")
        status, out, _ = run("predict", model, *arguments)
        assert status == BAD_DATA
        red, letter = json.loads(out)["answers"]
        assert (red["target"], red["error"]) == ("red", "")
        assert (letter["target"], letter["probability"]) == ("", None)
        assert "probabilities" not in red
        _, out, _ = run("predict", model, *arguments, "--probabilities")
        red = json.loads(out)["answers"][0]
        assert set(red["probabilities"]) == {"blue", "green", "red", "yellow"}

    def test_an_empty_folder_is_bad_data(self, run: Run, model: Path, tmp_path: Path) -> None:
        status, _, err = run("predict", model, tmp_path)
        assert status == BAD_DATA
        assert f"{tmp_path}: holds no picture" in err

    @pytest.mark.usefixtures("nothing_is_read")
    def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(
        self, run: Run, model: Path, test_set: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "missing" / "answers.csv"
        assert run("predict", model, test_set, "-o", path)[0] == ENVIRONMENT


class TestExtract:
    def test_features_and_which_row_is_which_picture(
        self, run: Run, test_set: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "features.npy"
        status, out, _ = run("extract", test_set, "-o", path)
        assert status == OK
        features = np.load(path)
        extractor = sp.ScenePrint()
        assert out.strip() == (
            f"{path}: 10 pictures x {extractor.dimension} features, "
            f"rows in {tmp_path / 'features.csv'}"
        )
        with (tmp_path / "features.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert [int(row["row"]) for row in rows] == list(range(10))
        golden = extractor.extract([row["path"] for row in rows])
        assert features.dtype == np.float32
        assert features.tobytes() == golden.tobytes()

    def test_what_cannot_be_read_is_left_out_up_to_the_share_allowed(
        self, run: Run, test_set: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "letter.jpg").write_text("Dear picture")
        path = tmp_path / "features.npy"
        arguments = ("extract", tmp_path, test_set, "-o", path, "--json")
        status, out, err = run(*arguments)
        assert status == BAD_DATA
        assert out == ""
        assert "1 of 11 pictures cannot be read" in err
        status, out, err = run(*arguments, "--max-unreadable", "0.1")
        assert status == OK
        record = json.loads(out)
        assert record["shape"] == [10, sp.ScenePrint().dimension]
        assert record["unreadable"] == 1
        assert "letter.jpg: not a picture" in err
        with (tmp_path / "features.csv").open(newline="", encoding="utf-8") as stream:
            assert not any("letter" in row["path"] for row in csv.DictReader(stream))

    @pytest.mark.usefixtures("nothing_is_read")
    def test_another_ending_or_a_missing_folder(
        self, run: Run, test_set: Path, tmp_path: Path
    ) -> None:
        assert run("extract", test_set, "-o", tmp_path / "features.csv")[0] == USAGE
        assert run("extract", test_set, "-o", tmp_path / "no" / "f.npy")[0] in (3, 5)

    def test_another_backbone(
        self, run: Run, test_set: Path, tmp_path: Path, shared_data: Path
    ) -> None:
        backbone = shared_data / "weights" / "squeezenet11.onnx"
        path = tmp_path / "features.npy"
        status, out, _ = run(
            "extract", test_set / "red", "-o", path, "--extractor", backbone, "--json"
        )
        assert status == OK
        expected = sp.CustomFeatureExtractor(backbone).dimension
        assert json.loads(out)["shape"] == [5, expected]


class TestExport:
    def test_an_onnx_model_becomes_a_package(self, run: Run, model: Path, tmp_path: Path) -> None:
        pytest.importorskip("coremltools")
        own = tmp_path / "Own.onnx"
        own.write_bytes(model.read_bytes())
        status, out, _ = run("export", own, "--to", "coreml", "--json")
        assert status == OK
        record = json.loads(out)
        assert record["path"] == str(tmp_path / "Own.mlpackage")
        assert (tmp_path / "Own.mlpackage" / "Manifest.json").is_file()
        assert record["size"] > 100_000
        assert ".centerCrop" in record["swift"]
        status, out, _ = run("export", own, "-o", tmp_path / "Other.mlpackage")
        assert status == OK
        assert "Other(" in out

    @pytest.mark.usefixtures("no_core_ml")
    def test_without_core_ml(self, run: Run, model: Path, tmp_path: Path) -> None:
        status, _, err = run("export", model, "-o", tmp_path / "M.mlpackage")
        assert status == ENVIRONMENT
        assert "coremltools not installed" in err

    def test_what_cannot_be(self, run: Run, model: Path, tmp_path: Path, shared_data: Path) -> None:
        assert run("export", model, "--to", "tflite")[0] == USAGE
        assert run("export", model, "-o", tmp_path / "M.onnx")[0] == ENVIRONMENT
        assert run("export", tmp_path / "missing.onnx")[0] == BAD_DATA
        backbone = shared_data / "weights" / "squeezenet11.onnx"
        for option in (("--size", "9"), ("--mean", "a,b,c"), ("--scores", "logits")):
            assert run("export", backbone, "-o", tmp_path / "M.mlpackage", *option)[0] == USAGE
        assert not list(tmp_path.iterdir())

    def test_a_file_of_labels(self, run: Run, tmp_path: Path, shared_data: Path) -> None:
        from silverprint.cli.export import _lines

        path = tmp_path / "labels.txt"
        path.write_bytes(b"\xef\xbb\xbfcat\r\ndog \r\n\r\n")
        assert _lines(path) == ["cat", "dog"]
        path.write_text("cat\n\ndog\n")
        backbone = shared_data / "weights" / "squeezenet11.onnx"
        status, _, err = run("export", backbone, "--labels", path, "-o", tmp_path / "M.mlmodel")
        assert status == BAD_DATA
        assert "line 2 is empty" in err

    def test_a_backbone_of_another_origin(
        self, run: Run, tmp_path: Path, shared_data: Path
    ) -> None:
        pytest.importorskip("coremltools")
        backbone = shared_data / "weights" / "squeezenet11.onnx"
        path = tmp_path / "Squeeze.mlmodel"
        status, out, _ = run("export", backbone, "-o", path, "--outputs", "features")
        assert status == OK
        assert path.is_file()
        assert "bit for bit" in out


def test_info(run: Run) -> None:
    status, out, _ = run("info", "--json")
    assert status == OK
    record = json.loads(out)
    assert record["silverprint"] == sp.__version__
    assert record["instruction_sets"]["active"] in record["instruction_sets"]["available"]
    assert Path(record["onnxruntime"]["path"]).is_file()
    assert "CPUExecutionProvider" in record["onnxruntime"]["providers"]
    status, out, _ = run("info")
    assert status == OK
    for word in ("silverprint:", "instruction_sets:", "active:", "onnxruntime:", "core_ml:"):
        assert word in out


def test_info_still_works_without_a_runtime(tmp_path: Path) -> None:
    done = command("info", "--json", SILVERPRINT_RUNTIME=str(tmp_path / "none.so"))
    assert done.returncode == OK
    assert "no such file" in json.loads(done.stdout)["onnxruntime"]["error"]


def test_a_broken_runtime_is_the_environments_fault(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.so").write_text("not a library")
    done = command(
        *("train", "classifier", photos, "-o", tmp_path / "M.onnx"),
        SILVERPRINT_RUNTIME=str(tmp_path / "broken.so"),
    )
    assert done.returncode == ENVIRONMENT
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_whole_way_in_processes_of_their_own(
    photos: Path, test_set: Path, tmp_path: Path
) -> None:
    path = tmp_path / "Colours.onnx"
    done = command("train", "classifier", photos, "-o", path, "--l2", "0.1")
    assert done.returncode == OK, done.stderr
    assert command("evaluate", path, test_set, "--min-accuracy", "1").returncode == GATE_FAILED
    done = command("predict", path, test_set / "red", "missing.jpg")
    assert done.returncode == BAD_DATA
    assert done.stdout.count(",red,") == 5
    assert command("predict").returncode == USAGE


def test_an_encoding_without_the_letters_of_a_label_is_survived(tmp_path: Path) -> None:
    draw_set(tmp_path / "set", {"猫": 4, "red": 4})
    path = tmp_path / "M.onnx"
    done = command(
        *("train", "classifier", tmp_path / "set", "-o", path, "--l2", "0.1"),
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == OK, done.stderr
    assert "\\u732b" in done.stdout
    done = command("predict", path, tmp_path / "set" / "猫", PYTHONIOENCODING="ascii")
    assert done.returncode == OK, done.stderr


def test_ctrl_c_is_130(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **names: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sp.ImageClassifier, "make_training_session", interrupt)
    assert run("train", "classifier", photos, "-o", tmp_path / "M.onnx")[0] == INTERRUPTED
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (sp.InvalidParameterError("l2", 0, "a positive number"), USAGE),
        (sp.InvalidDataError("photos", "empty"), BAD_DATA),
        (sp.BackboneError("net.onnx: not an ONNX file"), BAD_DATA),
        (sp.OnnxRuntimeError("onnxruntime is not installed"), ENVIRONMENT),
        (sp.ExportError("M.onnx: the disk is full"), ENVIRONMENT),
        (OSError(28, "No space left on device"), ENVIRONMENT),
        (MemoryError(), ENVIRONMENT),
        (sp.TrainingCancelled("the training was cancelled"), INTERRUPTED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_errors_mean_to_the_shell(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*arguments: object, **names: object) -> None:
        raise error

    monkeypatch.setattr(sp.ImageClassifier, "load", fail)
    found, out, err = run("evaluate", "M.onnx", photos)
    assert found == status
    assert out == ""
    said = str(error) or "memory"
    assert said in err or status == INTERRUPTED
    assert err.startswith("interrupted" if status == INTERRUPTED else "error: ")
    assert len(err.splitlines()) == 1


def test_a_bug_is_shown_whole_and_asks_to_be_reported(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **names: object) -> None:
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(sp.ImageClassifier, "load", fail)
    assert main(["evaluate", "M.onnx", str(photos)]) == BUG
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ZeroDivisionError: our fault" in err
    assert "`silverprint info`" in err


@pytest.mark.parametrize(
    ("arguments", "purpose"),
    [
        ([], "From a folder of labelled photos to a Core ML or ONNX model."),
        (["train"], "Train a model."),
        (["train", "classifier"], "Train an image classifier on labelled pictures."),
        (["evaluate"], "Measure a model on labelled pictures, and fail below a gate."),
        (["predict"], "Label pictures."),
        (["extract"], "Extract features"),
        (
            ["export"],
            "Turn an .onnx model into a Core ML file, and prove that it computes the same.",
        ),
        (["demo"], "Draw a small picture set, train on it, evaluate, and write the model."),
        (["info"], "What is installed and in use"),
    ],
)
def test_help_says_what_a_command_is_for(run: Run, arguments: list[str], purpose: str) -> None:
    status, out, err = run(*arguments, "--help")
    assert status == OK
    assert purpose in " ".join(out.split())
    assert err == ""


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["train", "detektor"], ["train", "classifier"], ["predict"], ["info", "now"]],
)
def test_usage_errors(run: Run, arguments: list[str]) -> None:
    status, out, err = run(*arguments)
    assert status == USAGE
    assert "Usage: silverprint" in err
    assert out == ""


def test_demo(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    status, out, _ = run("demo", "-o", folder, "--json")
    assert status == OK
    record = json.loads(out)
    chance = 1 / len(record["labels"])
    assert record["test"]["accuracy"] > max(0.5, 3 * chance)
    assert {Path(file["path"]).name for file in record["files"]} >= {"Demo.onnx"}
    model = sp.load(folder / "Demo.onnx")
    assert model.evaluation(folder / "test").accuracy == record["test"]["accuracy"]


def test_the_command_costs_no_heavy_library_before_it_needs_one() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; from silverprint.cli.main import main\n"
    code += (
        "main(); print([m for m in ('coremltools', 'onnx', 'pandas', 'PIL') if m in sys.modules])"
    )
    assert run_python(code).stdout.splitlines()[-1] == "[]"
