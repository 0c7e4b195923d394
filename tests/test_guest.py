"""A good guest in other people's programs: logging, notebooks, and names that others use."""

from __future__ import annotations

import ast
import copy
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import silverprint as sp
from silverprint.names import instead_of
from silverprint.training import display
from silverprint.training.display import Lines, in_notebook, result_of
from silverprint.training.job import Job
from silverprint.training.progress import Progress
from support.children import run_python
from support.classifier_programs import Gate, Steps
from support.classifier_sets import draw_set
from support.guests import tiny_extractor, tiny_model

PACKAGE = Path(sp.__file__).parent

# Logging


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """(file, name, call) of every call of a plain or dotted name in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
                yield path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func), node


def test_only_what_is_asked_to_show_something_prints() -> None:
    printing = {file for file, name, _ in calls() if name in ("print", "sys.stdout.write")}
    shows = {"training/display.py", "inspect/config.py"}
    assert {file for file in printing if not file.startswith("cli/")} <= shows


def test_there_is_one_logger_and_the_library_sets_nothing_up() -> None:
    made, setting_up, warning = set(), set(), set()
    for file, name, call in calls():
        if name.endswith("getLogger"):
            made.add((file, ast.literal_eval(call.args[0])) if call.args else (file, "root"))
        if name.rpartition(".")[2] in ("addHandler", "setLevel", "basicConfig", "dictConfig"):
            setting_up.add(file)
        if name in ("warnings.warn", "logging.warning", "logging.info", "logging.error"):
            warning.add(file)
    # The noise of coremltools is held back while it translates, and its level put back.
    theirs = "export/coreml/library.py"
    assert {logger for file, logger in made if file != theirs} == {"silverprint"}
    assert setting_up <= {"cli/main.py", theirs}
    assert warning <= {"sklearn.py"}  # ConvergenceWarning is how scikit-learn's users are told


def test_warnings_go_to_the_log_and_nothing_else_is_said(tmp_path: Path) -> None:
    draw_set(tmp_path, {"red": 40, "green": 40})
    (tmp_path / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    code = """
        import logging, sys
        handlers = list(logging.getLogger().handlers)
        seen = []

        class Keep(logging.Handler):
            def emit(self, record):
                seen.append((record.name, record.levelname, record.getMessage()))

        import silverprint as sp
        assert logging.getLogger("silverprint").handlers == []
        logging.getLogger("silverprint").addHandler(Keep())
        logging.getLogger("silverprint").propagate = False
        model = sp.ImageClassifier(sys.argv[1], sp.ModelParameters(max_iterations=1))
        model.evaluation(sys.argv[1])
        model.write(sys.argv[1] + "/model.onnx")
        assert logging.getLogger().handlers == handlers
        assert {name for name, *_ in seen} == {"silverprint"}
        assert any("1 pictures left out" in text for *_, text in seen), seen
        assert any("max_iterations=1" in text for *_, text in seen), seen
    """
    done = run_python(code, tmp_path)
    assert (done.stdout, done.stderr) == ("", "")


# Progress


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """As inside a notebook's kernel: IPython is loaded, and its shell belongs to a kernel."""
    shell = SimpleNamespace(kernel=object())
    module = ModuleType("IPython")
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    return shell


def test_a_notebook_is_seen_without_importing_ipython(kernel: SimpleNamespace) -> None:
    assert in_notebook()
    del kernel.kernel  # IPython on a terminal
    assert not in_notebook()
    sys.modules["IPython"].get_ipython = lambda: None  # type: ignore[attr-defined]
    assert not in_notebook()
    del sys.modules["IPython"]
    assert not in_notebook()
    assert "IPython" not in sys.modules


def test_a_notebook_shows_plain_lines_without_further_packages(
    kernel: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "_INTERVAL", 0.001)
    loaded = set(sys.modules)
    gate = Gate()
    job = Job(Steps(gate))
    assert gate.reached.wait(60)
    gate.opened.set()
    assert result_of(job, None) == "answer"
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "Done"
    assert err == ""
    assert "ipywidgets" not in set(sys.modules) - loaded


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_keeps_its_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    streams: list[object] = []
    job = Job(Steps(lambda cancel: streams.append(sys.stdout)))
    stdout = sys.stdout
    assert result_of(job, None) == "answer"
    assert "Done" in terminal.getvalue()
    assert sys.stderr is terminal
    assert {id(stream) for stream in streams} == {id(stdout)}  # what the program prints is its own


def test_a_program_without_standard_streams_trains_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    monkeypatch.setattr(sys, "stdout", None)
    assert result_of(Job(Steps()), None) == "answer"
    assert result_of(Job(Steps()), Lines()) == "answer"


def test_a_callback_is_called_from_the_waiting_thread_and_what_it_raises_ends_the_job(
    tmp_path: Path,
) -> None:
    import threading

    seen: list[int] = []

    def told(progress: Progress) -> None:
        seen.append(threading.get_ident())
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        sp.ImageClassifier(draw_set(tmp_path), progress=told)
    assert seen == [threading.get_ident()]
    assert not [t for t in threading.enumerate() if t.name.startswith("silverprint-")]


def test_an_error_of_the_job_comes_through_a_display() -> None:
    def fail(cancel: object) -> None:
        raise sp.InvalidDataError("cat.jpg", "truncated")

    with pytest.raises(sp.InvalidDataError, match="truncated"):
        result_of(Job(Steps(fail)), lambda progress: None)


# Names

THEIRS = {
    "fit": "ImageClassifier(data)",
    "predict": "predictions",
    "predict_proba": "probabilities",
    "score": "evaluation",
    "save": "write",
    "transform": "extract",
    "evaluate": "evaluation",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return sp.load(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.mark.parametrize("name", THEIRS)
def test_a_name_of_another_library_says_which_of_ours_to_use(name: str, model: Any) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; use .*{THEIRS[name][:5]}"):
        getattr(model, name)
    assert not hasattr(model, name)


@pytest.mark.parametrize("name", ["transform", "fit", "fit_transform", "predict"])
def test_extractors_say_it_too(name: str, tmp_path: Path) -> None:
    for extractor in (sp.ScenePrint(), tiny_extractor(tmp_path)):
        with pytest.raises(AttributeError, match=rf"{name}'; use extract\("):
            getattr(extractor, name)


def test_what_is_advised_is_there(model: Any) -> None:
    for name in ("prediction", "predictions", "probabilities", "evaluation", "write", "train"):
        assert hasattr(model, name)
    assert hasattr(sp.ScenePrint(), "extract")


def test_other_names_fail_as_they_would_have(model: Any) -> None:
    with pytest.raises(AttributeError, match=r"'ImageClassifier' object has no attribute 'labls'"):
        _ = model.labls
    with pytest.raises(AttributeError, match="'labls'") as caught:
        _ = model.labls
    assert (caught.value.name, caught.value.obj) == ("labls", model)


def test_an_attribute_error_inside_a_property_is_not_hidden() -> None:
    @instead_of(fit="train")
    class Owner:
        @property
        def broken(self) -> object:
            return None.missing  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'missing'"):
        _ = Owner().broken


def test_an_object_that_is_not_filled_yet_can_be_copied() -> None:
    empty = sp.ImageClassifier.__new__(sp.ImageClassifier)
    for duplicate in (copy.copy, copy.deepcopy):
        assert vars(duplicate(empty)) == {}


def test_the_logger_has_its_documented_name() -> None:
    assert logging.getLogger("silverprint").level == logging.NOTSET
