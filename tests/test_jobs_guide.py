"""What docs/jobs.md shows works."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import silverprint as sp
from support.classifier_sets import draw_set

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "jobs.md"


def snippets(language: str) -> list[str]:
    if not GUIDE.is_file():
        return []
    text = GUIDE.read_text(encoding="utf-8")
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


@pytest.mark.parametrize("number", range(5))
def test_the_guide_does_what_it_says(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not GUIDE.is_file():
        pytest.skip("needs the source tree")
    assert len(snippets("python")) == 5
    draw_set(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"sp": sp, "asyncio": asyncio}
    exec(compile(snippets("python")[number], f"{GUIDE.name}, snippet {number}", "exec"), names)
    assert isinstance(names["model"], sp.ImageClassifier)
    shown = capsys.readouterr().out
    assert ("Extracting features" in shown) == (number in (1, 3))


@pytest.mark.parametrize(("status", "requeued"), [(143, True), (138, True), (0, False), (3, False)])
def test_the_script_for_a_cluster_goes_back_into_the_queue_when_interrupted(
    status: int, requeued: bool, tmp_path: Path
) -> None:
    bash = shutil.which("bash")
    if bash is None or not GUIDE.is_file():
        pytest.skip("needs bash and the source tree")
    for name, text in {
        "srun": f'echo "$@" > "{tmp_path}/ran"; exit {status}',
        "scontrol": f'echo "$@" > "{tmp_path}/requeued"',
    }.items():
        (tmp_path / name).write_text(f"#!{bash}\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = tmp_path / "job.sh"
    script.write_text(snippets("bash")[0])
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": path, "SLURM_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "8"}
    done = subprocess.run([bash, script], env=given, check=False)
    assert done.returncode == status
    ran = (tmp_path / "ran").read_text()
    assert ran == "--cpus-per-task=8 silverprint train classifier photos/ -o Pets\n"
    assert (tmp_path / "requeued").exists() == requeued
    assert not requeued or (tmp_path / "requeued").read_text() == "requeue 77\n"
