"""What docs/sessions.md shows works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import silverprint as sp
from silverprint.cli.main import main
from support.classifier_sets import draw_set

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "sessions.md"


@pytest.fixture
def text() -> str:
    if not GUIDE.is_file():
        pytest.skip("needs the source tree")
    return GUIDE.read_text(encoding="utf-8")


def test_its_snippets_run_one_after_the_other(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_set(tmp_path / "photos", {"cat": 10, "dog": 10})
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"sp": sp, "Path": Path}
    snippets = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"{GUIDE.name}, snippet {number}", "exec"), names)
    shown = capsys.readouterr().out
    assert "('photos/cat/0.png',)" in shown
    session = names["session"]
    assert [run.changes for run in session.runs] == [
        "",
        "1 changed",
        "20 moved",
        "max_iterations None → 500",
    ]
    assert str(session.runs[0]) in shown
    assert all(run.is_finished for run in session.runs)
    assert names["early"].labels == ("cat", "dog")


def test_its_lines_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "silverprint train classifier photos/ -o Pets"
    assert text.count(f"    {line} ") == 2
    draw_set(tmp_path / "photos", {"cat": 6, "dog": 6})
    monkeypatch.chdir(tmp_path)
    for expected in ("The work is kept in .silverprint/Pets", "Nothing has changed"):
        assert main(line.split()[1:]) == 0
        assert expected in capsys.readouterr().out
