"""The core in other programs: built, installed and found by CMake, used from C and C++."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import silverprint as sp
from silverprint import _core
from silverprint.errors import SilverprintError
from silverprint.features.runtime import library_path
from support import native
from support.children import run_python, shared_object
from support.classifier_sets import draw_set, shared_part
from support.native import FORMATS, ROOT, in_format, program, write_pictures
from support.sample_picture import sample_picture

NATIVE = ROOT / "tests" / "native"
SAMPLE = ROOT / "tests" / "formats" / "classifier-1.onnx"

pytestmark = pytest.mark.skipif(not (ROOT / "cpp").is_dir(), reason="needs the source tree")


class Programs(NamedTuple):
    prefix: Path
    c: Path
    cpp: Path


def programs_with(folder: Path, *options: str) -> tuple[Path, Path]:
    """The folders of the C and C++ programs, which find the package by `options`."""
    return (
        native.build(NATIVE / "embed_c", folder / "c", *options),
        native.build(NATIVE / "embed_cpp", folder / "cpp", *options),
    )


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    prefix = native.installed(tmp_path_factory)
    folder = tmp_path_factory.mktemp("programs")
    return Programs(prefix, *programs_with(folder, f"-DCMAKE_PREFIX_PATH={prefix}"))


@pytest.fixture(scope="module")
def runtime() -> dict[str, str]:
    return {"SILVERPRINT_RUNTIME": library_path()}


def test_a_c_program_gives_pythons_bytes_for_every_pixel_format(
    programs: Programs, runtime: dict[str, str], tmp_path: Path
) -> None:
    classifier = sp.load(SAMPLE)
    sizes = [(45, 31), (24, 16), (1, 1), (7, 200), (300, 5)]
    pictures = [sample_picture(*size) for size in sizes]
    for name in FORMATS:
        asked = write_pictures(tmp_path / "in", [(in_format(p, name), name) for p in pictures])
        done = program(programs.c / "predict", SAMPLE, asked, tmp_path / "out", env=runtime)
        assert done == (0, "".join(f"{label}\n" for label in classifier.predictions(pictures)), "")
        assert (tmp_path / "out").read_bytes() == classifier.probabilities(pictures).tobytes()


@pytest.mark.parametrize("threads", [1, 8])
def test_a_cpp_program_gives_pythons_bytes_from_any_number_of_threads(
    programs: Programs, tmp_path: Path, threads: int
) -> None:
    classifier = sp.load(SAMPLE)
    pictures = [sample_picture(20 + i, 70 - i) for i in range(64)]
    asked = write_pictures(tmp_path / "in", [(p, "rgb") for p in pictures])
    done = program(
        programs.cpp / "predict", SAMPLE, library_path(), asked, tmp_path / "out", threads
    )
    assert done == (0, "".join(f"{label}\n" for label in classifier.predictions(pictures)), "")
    assert (tmp_path / "out").read_bytes() == classifier.probabilities(pictures).tobytes()


def test_a_trained_classifier_answers_the_same_about_real_pictures(
    programs: Programs, runtime: dict[str, str], tmp_path: Path, shared_data: Path
) -> None:
    from PIL import Image

    classifier = sp.ImageClassifier(draw_set(tmp_path / "pictures"), progress=False)
    classifier.write(tmp_path / "Colours.onnx")
    paths = [path for path, _ in shared_part(shared_data, "flowers", "test", per_label=2).items]
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths[:12]]
    asked = write_pictures(tmp_path / "in", [(p, "rgb") for p in pictures])
    status, _, _ = program(
        programs.c / "predict", tmp_path / "Colours.onnx", asked, tmp_path / "out", env=runtime
    )
    assert status == 0
    assert (tmp_path / "out").read_bytes() == classifier.probabilities(pictures).tobytes()


def test_only_the_c_api_is_exported(programs: Programs) -> None:
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    library = native.shared_library(programs.prefix)
    listed = native.run("nm", "-D", "--defined-only", library).split()[2::3]
    header = (ROOT / "cpp" / "include" / "silverprint.h").read_text()
    assert sorted(listed) == sorted(re.findall(r"^SILVERPRINT_API .*?(\w+)\(", header, re.M))


def test_the_static_library_serves_as_well(tmp_path: Path, runtime: dict[str, str]) -> None:
    native.build(ROOT, tmp_path / "core", "-DBUILD_SHARED_LIBS=OFF", install=tmp_path / "prefix")
    built = native.build(
        NATIVE / "embed_cpp", tmp_path / "cpp", f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}"
    )
    asked = write_pictures(tmp_path / "in", [(sample_picture(), "rgb")])
    done = program(built / "predict", SAMPLE, library_path(), asked, tmp_path / "out", 1)
    assert done == (0, "blué\n", "")
    expected = sp.load(SAMPLE).probabilities([sample_picture()])
    assert (tmp_path / "out").read_bytes() == expected.tobytes()


def test_the_guide_shows_what_is_tested() -> None:
    guide = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    files = {"c": "*/*.c", "cpp": "*/*.cpp", "cmake": "*/CMakeLists.txt"}
    shown = re.findall(r"^```(c|cpp|cmake)\n(.*?)^```", guide, re.M | re.S)
    assert len(shown) == 6
    for language, block in shown:
        sources = [path.read_text() for path in NATIVE.glob(files[language])]
        lines = [line.strip() for line in block.splitlines()]
        assert any(
            all(line in map(str.strip, source.splitlines()) for line in lines) for source in sources
        ), block


# Which ONNX Runtime


def test_a_host_gives_its_own_runtime_and_another_one_is_refused(
    programs: Programs, tmp_path: Path
) -> None:
    other = tmp_path / "libonnxruntime.so"
    shutil.copy(library_path(), other)
    status, lines, _ = program(programs.c / "host_runtime", SAMPLE, library_path(), other)
    assert status == 0
    assert lines.splitlines() == [
        "0 loaded",
        f"5 {other}: this process already runs ONNX Runtime from the host's OrtApiBase",
        "1 options: set runtime_api or runtime_path, not both",
        "0 loaded",
    ]


def test_a_runtime_beside_the_library_is_found(programs: Programs, tmp_path: Path) -> None:
    library = native.shared_library(programs.prefix)
    shutil.copy(library, tmp_path / library.name)
    code = """
        import sys
        from pathlib import Path
        from support.c_api import Library
        library, model, runtime = map(Path, sys.argv[1:])
        c = Library(library, "")
        status, _ = c.load(model.read_bytes(), c.options(runtime_path=None))
        print(status, c.error())
        (library.parent / "libonnxruntime.so.1").symlink_to(runtime)
        print(*c.load(model.read_bytes(), c.options(runtime_path=None))[:1])
    """
    arguments = (tmp_path / library.name, SAMPLE, library_path())
    failed, loaded = run_python(
        code, *arguments, without=("SILVERPRINT_RUNTIME",)
    ).stdout.splitlines()
    assert failed.startswith("5 no ONNX Runtime library: ")
    assert f"there is none in {tmp_path}; install onnxruntime 1.19 or newer" in failed
    assert loaded == "0"


@pytest.mark.parametrize("kind", ["missing", "text"])
def test_a_runtime_that_cannot_be_loaded_is_named(
    programs: Programs, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "libonnxruntime.so"
    if kind == "text":
        path.write_text("not a library\n" * 100)
    status, _, message = program(
        programs.c / "predict",
        SAMPLE,
        "/dev/null",
        tmp_path / "out",
        env={"SILVERPRINT_RUNTIME": str(path)},
    )
    assert status == 5
    expected = {
        "missing": f"SILVERPRINT_RUNTIME={path}: no such file; give the path",
        "text": f"the ONNX Runtime library cannot be loaded: {path}: ",
    }
    assert message.startswith(expected[kind])


def test_telemetry_is_off_unless_the_host_wants_it(programs: Programs, tmp_path: Path) -> None:
    """A runtime of our own that only tells whether the variable that stops it was set."""
    spy = shared_object(
        tmp_path,
        "libspy",
        """
        #include <cstdio>
        #include <cstdlib>
        static const void* api(unsigned) { return nullptr; }
        static const char* version() { return "1.99.0"; }
        static const void* const base[] = {(const void*)&api, (const void*)&version};
        extern "C" const void* OrtGetApiBase() {
          std::puts(std::getenv("ORT_DISABLE_TELEMETRY") ? "off" : "on");
          return base;
        }
        """,
    )
    done = program(
        programs.c / "predict",
        SAMPLE,
        "/dev/null",
        tmp_path / "out",
        env={"SILVERPRINT_RUNTIME": str(spy)},
    )
    assert done == (5, "off\n", f"{spy}: ONNX Runtime 1.99.0 does not offer its API 19\n")


# The wheel


def test_a_source_tree_has_no_cmake_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_core, "__file__", str(tmp_path / "_core.so"))
    with pytest.raises(SilverprintError, match="holds no CMake package") as raised:
        sp.get_cmake_dir()
    assert str(raised.value).startswith(f"{tmp_path}: ")
    assert "pip install silverprint" in str(raised.value)


def test_the_installed_package_is_found_by_cmake(tmp_path: Path, runtime: dict[str, str]) -> None:
    try:
        folder = sp.get_cmake_dir()
    except SilverprintError as error:
        pytest.skip(str(error))
    c, cpp = programs_with(tmp_path, f"-Dsilverprint_DIR={folder}")
    asked = write_pictures(tmp_path / "in", [(sample_picture(), "rgb")])
    expected = sp.load(SAMPLE).probabilities([sample_picture()]).tobytes()
    out = tmp_path / "out"
    assert program(c / "predict", SAMPLE, asked, out, env=runtime) == (0, "blué\n", "")
    assert out.read_bytes() == expected
    assert program(cpp / "predict", SAMPLE, library_path(), asked, out, 1) == (0, "blué\n", "")
    assert out.read_bytes() == expected
