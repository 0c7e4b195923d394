"""Other processes: a Python of its own, and small shared objects made with g++."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def run_python(
    code: str,
    *arguments: object,
    env: dict[str, str] | None = None,
    without: tuple[str, ...] = (),
    check: bool = True,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process with the same packages; `without` names variables to unset."""
    variables = {name: value for name, value in os.environ.items() if name not in without}
    variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=variables | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def shared_object(folder: Path, name: str, source: str) -> Path:
    """`source` (C++) compiled to a shared object; skips the test where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ to compile a small library with")
    code, library = folder / f"{name}.cpp", folder / f"{name}.so"
    code.write_text(source)
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(code), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library
