"""silverprint.h function by function: what each returns, refuses and says."""

from __future__ import annotations

import ctypes
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from silverprint import _core
from silverprint.features.runtime import library_path
from support import native
from support.c_api import (
    FORKED,
    INVALID_ARGUMENT,
    OK,
    RUNTIME,
    Library,
    pixels_struct,
)
from support.children import run_python, shared_object
from support.native import ROOT
from support.sample_picture import sample_picture

FORMATS = ROOT / "tests" / "formats"
SAMPLE = (FORMATS / "classifier-1.onnx").read_bytes()

pytestmark = pytest.mark.skipif(not (ROOT / "cpp").is_dir(), reason="needs the source tree")


@pytest.fixture(scope="module")
def library_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return native.shared_library(native.installed(tmp_path_factory))


@pytest.fixture(scope="module")
def library(library_file: Path) -> Library:
    return Library(library_file, library_path())


def test_versions(library: Library) -> None:
    assert library.c.silverprint_version().decode() == sp.__version__
    assert library.c.silverprint_format_version() == 1


def test_the_input_is_described(library: Library) -> None:
    width, height, mode = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_int32()
    with library.loaded(SAMPLE) as classifier:
        pointers = (ctypes.byref(width), ctypes.byref(height), ctypes.byref(mode))
        assert library.c.silverprint_input(classifier, *pointers) == OK
        assert library.c.silverprint_input(classifier, None, None, None) == OK
    assert (width.value, height.value, mode.value) == (24, 16, 2)  # scale_fit


# Predicting


def test_rows_may_have_gaps_and_run_upwards(library: Library) -> None:
    picture = sample_picture()
    height, width, _ = picture.shape
    wide = np.zeros((height, width + 9, 3), np.uint8)
    wide[:, :width] = picture
    upside_down = np.ascontiguousarray(picture[::-1])
    with library.loaded(SAMPLE) as classifier:
        _, expected = library.predict(classifier, pixels_struct(picture), 3)
        for view in (wide[:, :width], upside_down[::-1]):
            status, row = library.predict(classifier, pixels_struct(view), 3)
            assert (status, row.tobytes()) == (OK, expected.tobytes())


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_a_ready_tensor_gives_the_same(library: Library, threads: int) -> None:
    picture = sample_picture()
    image = np.ascontiguousarray(_core.image.prepare(picture, 16, 24, "scale_fit"))
    row = np.zeros(3, np.float32)

    def predict(classifier: ctypes.c_void_p, size: int) -> int:
        arrays = [ctypes.c_void_p(a.ctypes.data) for a in (image, row)]
        sizes = [ctypes.c_size_t(size), ctypes.c_size_t(3)]
        status: int = library.c.silverprint_predict_tensor(
            classifier, arrays[0], sizes[0], arrays[1], sizes[1]
        )
        return status

    with library.loaded(SAMPLE, threads=threads) as classifier:
        assert predict(classifier, image.size) == OK
        assert row.tobytes() == library.predict(classifier, pixels_struct(picture), 3)[1].tobytes()
        assert predict(classifier, image.size - 1) == INVALID_ARGUMENT
        assert library.error() == "image_size is 1151, the input is 1152 floats"


def test_more_room_than_labels_is_left_alone_and_less_is_refused(library: Library) -> None:
    pixels = pixels_struct(sample_picture())
    with library.loaded(SAMPLE) as classifier:
        status, row = library.predict(classifier, pixels, 5)
        assert (status, np.isnan(row).tolist()) == (OK, [False, False, False, True, True])
        status, row = library.predict(classifier, pixels, 2)
        assert (status, np.isnan(row).all()) == (INVALID_ARGUMENT, True)
        assert library.error() == "probabilities has room for 2 floats, the classifier gives 3"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data": None}, "pixels.data is NULL"),
        ({"width": 0}, "pixels: width and height go from 1 to 1,000,000"),
        ({"height": 1_000_001}, "pixels: width and height go from 1 to 1,000,000"),
        ({"row_stride": 134}, "pixels.row_stride is 134 bytes, less than a row of 135"),
        ({"row_stride": -134}, "pixels.row_stride is -134 bytes, less than a row of 135"),
        ({"format": 2}, "pixels.row_stride is 135 bytes, less than a row of 180"),
        ({"format": 4}, "pixels.format: expected SILVERPRINT_RGB, _BGR, _RGBA or _BGRA"),
        ({"format": -1}, "pixels.format: expected SILVERPRINT_RGB, _BGR, _RGBA or _BGRA"),
    ],
)
def test_pixels_that_cannot_be_are_refused(
    library: Library, wrong: dict[str, Any], message: str
) -> None:
    with library.loaded(SAMPLE) as classifier:
        status, row = library.predict(classifier, pixels_struct(sample_picture(), **wrong), 3)
    assert (status, library.error()) == (INVALID_ARGUMENT, message)
    assert np.isnan(row).all()


def test_null_is_refused_everywhere_and_may_be_freed(library: Library) -> None:
    c, made = library.c, ctypes.c_void_p(1)
    c.silverprint_free(None)
    some = ctypes.byref(ctypes.c_size_t())
    with library.loaded(SAMPLE) as classifier:
        calls = {
            "path": lambda: c.silverprint_load_file(None, None, ctypes.byref(made)),
            "data": lambda: c.silverprint_load_memory(None, 5, None, ctypes.byref(made)),
            "classifier": lambda: c.silverprint_load_file(b"x.onnx", None, None),
            "classifier ": lambda: c.silverprint_label_count(None, some),
            "classifier  ": lambda: c.silverprint_label(None, 0, some),
            "classifier   ": lambda: c.silverprint_input(None, None, None, None),
            "classifier    ": lambda: c.silverprint_predict(None, None, None, 0),
            "count": lambda: c.silverprint_label_count(classifier, None),
            "label": lambda: c.silverprint_label(classifier, 0, None),
            "probabilities": lambda: c.silverprint_predict(classifier, None, None, 3),
            "pixels": lambda: c.silverprint_predict(classifier, None, some, 3),
            "image": lambda: c.silverprint_predict_tensor(classifier, None, 9, some, 3),
        }
        for name, call in calls.items():
            assert call() == INVALID_ARGUMENT, name
            assert library.error() == f"{name.strip()} is NULL"
    assert made.value is None


def test_a_label_that_is_not_there(library: Library) -> None:
    label = ctypes.c_char_p(b"before")
    with library.loaded(SAMPLE) as classifier:
        status = library.c.silverprint_label(classifier, 3, ctypes.byref(label))
    assert (status, label.value) == (INVALID_ARGUMENT, None)
    assert library.error() == "index is 3, the classifier has 3 labels"


# Options


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({"size": 0}, INVALID_ARGUMENT, "options: begin with SILVERPRINT_OPTIONS_INIT"),
        ({"telemetry": 2}, INVALID_ARGUMENT, "options.telemetry: expected"),
        ({"threads": -1}, INVALID_ARGUMENT, "options.threads: expected 0 (one) to 1024"),
        ({"runtime_path": b"nothing.so"}, RUNTIME, "options.runtime_path=nothing.so: no such file"),
        ({"runtime_path": __file__.encode()}, RUNTIME, "already runs ONNX Runtime from"),
        ({"runtime_path": None}, OK, ""),
    ],
)
def test_options(library: Library, values: dict[str, Any], status: int, message: str) -> None:
    with library.loaded(SAMPLE):
        pass  # from now on this process runs a runtime
    got, made = library.load(SAMPLE, library.options(**values))
    assert got == status
    assert made.value is None or status == OK
    if status == OK:
        library.c.silverprint_free(made)
    else:
        assert message in library.error()


def test_the_options_of_a_later_version_are_taken_as_far_as_they_are_known(
    library: Library,
) -> None:
    known = bytes(library.options(size=40))
    for tail, status in ((bytes(8), OK), (b"\1" + bytes(7), INVALID_ARGUMENT)):
        longer = ctypes.create_string_buffer(known + tail, 40)
        made = ctypes.c_void_p()
        size = ctypes.c_size_t(len(SAMPLE))
        got = library.c.silverprint_load_memory(SAMPLE, size, longer, ctypes.byref(made))
        assert got == status
        library.c.silverprint_free(made)
    assert "does not know; upgrade silverprint" in library.error()


# Processes and threads


def test_messages_are_kept_for_each_thread(library_file: Path) -> None:
    code = """
        import sys, threading
        from pathlib import Path
        from support.c_api import Library
        c = Library(Path(sys.argv[1]), "")
        assert c.c.silverprint_free(None) is None and c.error() == ""
        c.c.silverprint_label_count(None, None)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(c.error()))
        thread.start(); thread.join()
        print(seen, [c.error()])
    """
    assert run_python(code, library_file).stdout == "[''] ['classifier is NULL']\n"


FORK = """
    import ctypes, os, signal, sys
    from pathlib import Path
    from support.c_api import Library, pixels_struct
    from support.sample_picture import sample_picture

    c, model = Library(Path(sys.argv[1]), sys.argv[2]), Path(sys.argv[3]).read_bytes()
    loaded, classifier = c.load(model, c.options(threads=16))
    assert loaded == 0
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    signal.alarm(30)
"""


def in_fork(library_file: Path, code: str, *arguments: object) -> str:
    """What `code` prints in the child of a process with a loaded classifier, and its status."""
    sample = FORMATS / "classifier-1.onnx"
    whole = textwrap.dedent(FORK) + textwrap.dedent(code)
    return run_python(whole, library_file, library_path(), sample, *arguments).stdout


@pytest.mark.parametrize(
    "call",
    [
        "c.predict(classifier, pixels_struct(sample_picture()), 3)",
        "c.load(model)",
        "c.load(model, c.options(runtime_path=None))",
    ],
)
def test_a_forked_child_is_told_so(library_file: Path, call: str) -> None:
    code = f"""
        status, _ = {call}
        os._exit(100 + status if "was forked" in c.error() else 1)
    """
    assert in_fork(library_file, code) == f"{100 + FORKED}\n"


def test_a_forked_child_may_free_what_its_parent_loaded(library_file: Path) -> None:
    code = """
        c.c.silverprint_free(classifier)
        os._exit(7)
    """
    assert in_fork(library_file, code) == "7\n"


def test_a_static_object_may_free_a_classifier_in_a_forked_child(
    library_file: Path, tmp_path: Path
) -> None:
    source = """
        struct Owner {
          void* classifier = nullptr;
          void (*release)(void*) = nullptr;
          ~Owner() { if (release) release(classifier); }
        };
        static Owner owner;
        extern "C" void own(void* classifier, void (*release)(void*)) {
          owner.classifier = classifier;
          owner.release = release;
        }
    """
    code = """
        owner = ctypes.CDLL(sys.argv[4])
        owner.own(classifier, c.c.silverprint_free)
        ctypes.CDLL(None).exit(7)
    """
    assert in_fork(library_file, code, shared_object(tmp_path, "libowner", source)) == "7\n"


def test_a_runtime_is_known_by_its_other_names(library: Library, tmp_path: Path) -> None:
    with library.loaded(SAMPLE):
        pass  # from now on this process runs a runtime
    link = tmp_path / "Läufer-运行" / "runtime.so"
    link.parent.mkdir()
    link.symlink_to(library_path())
    with library.loaded(SAMPLE, runtime_path=str(link).encode()):
        pass


def test_both_copies_of_the_core_live_in_one_process(library: Library) -> None:
    """The extension's and the library's: the same runtime, the same answers."""
    classifier = sp.load(FORMATS / "classifier-1.onnx")
    with library.loaded(SAMPLE) as c_classifier:
        for _ in range(3):
            (row,) = classifier.probabilities([sample_picture()])
            _, values = library.predict(c_classifier, pixels_struct(sample_picture()), 3)
            assert values.tobytes() == row.tobytes()
