"""The embeddable library built from this source tree, and C and C++ programs that use it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FORMATS = {"rgb": 0, "bgr": 1, "rgba": 2, "bgra": 3}
Pixels = npt.NDArray[np.uint8]


def build(source: Path, folder: Path, *options: str, install: Path | None = None) -> Path:
    """`source`, a CMake project, configured, built and perhaps installed; the build folder."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake: pip install cmake ninja")
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(cmake, "-S", source, "-B", folder, *generator, "-DCMAKE_BUILD_TYPE=Release", *options)
    run(cmake, "--build", folder, "--parallel", os.cpu_count())
    if install is not None:
        run(cmake, "--install", folder, "--prefix", install)
    return folder


_installed: list[Path] = []


def installed(factory: pytest.TempPathFactory) -> Path:
    """The prefix that the core of this source tree is installed to, once for all tests."""
    if not _installed:
        folder = factory.mktemp("core")
        build(ROOT, folder / "build", install=folder / "prefix")
        _installed.append(folder / "prefix")
    return _installed[0]


def shared_library(prefix: Path) -> Path:
    """The installed library itself, not a link to it."""
    (link,) = prefix.glob("lib*/libsilverprint.so")
    return link.resolve()


def run(*command: object) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program(*command: object, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a program, without our variables."""
    own = {
        name: v for name, v in os.environ.items() if not name.startswith(("SILVERPRINT_", "ORT"))
    }
    done = subprocess.run(
        [*map(str, command)], env=own | (env or {}), capture_output=True, check=False, timeout=120
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def in_format(rgb: Pixels, name: str) -> Pixels:
    """RGB pixels in one of `FORMATS`, with an alpha that must not matter."""
    pixels = rgb if name.startswith("rgb") else rgb[..., ::-1]
    if len(name) == 4:
        alpha = np.arange(rgb[..., :1].size).reshape(rgb[..., :1].shape) % 256
        pixels = np.concatenate([pixels, alpha.astype(np.uint8)], axis=2)
    return np.ascontiguousarray(pixels)


def write_pictures(path: Path, pictures: Iterable[tuple[Pixels, str]]) -> Path:
    """The picture file that the programs in tests/native read."""
    with path.open("wb") as stream:
        for pixels, name in pictures:
            height, width = pixels.shape[:2]
            stream.write(struct.pack("=3I", width, height, FORMATS[name]))
            stream.write(pixels.tobytes())
    return path
