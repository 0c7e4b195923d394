"""Replacing a file or a model package: the old one or the new one, never anything between."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from silverprint.errors import ExportError, OnnxRuntimeError
from silverprint.export import atomic
from silverprint.export.atomic import replace_file, replace_folder

Replace = Callable[[Path], AbstractContextManager[Path]]


def package(path: Path, text: str) -> Path:
    path.mkdir()
    fill(path, text)
    return path


def fill(folder: Path, text: str) -> None:
    (folder / "Manifest.json").write_text(text)
    (folder / "Data").mkdir(exist_ok=True)
    (folder / "Data" / "weights").write_text(text)


def write(temporary: Path, text: str) -> None:
    """What a block does with the path it gets: a folder is filled, a file is created."""
    if temporary.is_dir():
        fill(temporary, text)
    else:
        temporary.write_text(text)


def content(path: Path) -> dict[str, str]:
    if path.is_file():
        return {path.name: path.read_text()}
    return {str(p.relative_to(path)): p.read_text() for p in path.rglob("*") if p.is_file()}


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "Pets.onnx"
    with replace_file(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert not target.exists()
    assert content(tmp_path) == {"Pets.onnx": "new"}


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "Pets.onnx"
    target.write_text("old")
    target.chmod(0o640)
    with replace_file(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert content(tmp_path) == {"Pets.onnx": "new"}
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_package_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "Pets.mlpackage"
    with replace_folder(target) as temporary:
        fill(temporary, "new")
        assert not target.exists()
    assert content(tmp_path) == {
        "Pets.mlpackage/Manifest.json": "new",
        "Pets.mlpackage/Data/weights": "new",
    }


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_package_is_replaced_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool
) -> None:
    """Files of the old package that the new one does not have are gone."""
    if not in_one_step:
        monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    target = package(tmp_path / "Pets.mlpackage", "old")
    (target / "Data" / "of the old one").write_text("old")
    with replace_folder(target) as temporary:
        fill(temporary, "new")
    assert content(target) == {"Manifest.json": "new", "Data/weights": "new"}
    assert os.listdir(tmp_path) == ["Pets.mlpackage"]


def test_an_exchanged_package_is_there_at_every_moment(tmp_path: Path) -> None:
    target = package(tmp_path / "Pets.mlpackage", "0")
    other = tmp_path / "other"
    other.mkdir()
    if not atomic._exchange(target, other):
        pytest.skip("this system cannot exchange two folders")
    assert atomic._exchange(target, other)
    done, absent = threading.Event(), []

    def watch() -> None:
        while not done.is_set():
            if not target.exists():
                absent.append(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(50):
            with replace_folder(target) as temporary:
                fill(temporary, str(number))
    finally:
        done.set()
        watcher.join()
    assert not absent
    assert content(target)["Manifest.json"] == "49"


def test_the_old_package_comes_back_if_the_new_one_cannot_be_moved_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = package(tmp_path / "Pets.mlpackage", "old")
    monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    rename, moves = os.rename, []

    def fail_second(source: Path, destination: Path) -> None:
        moves.append(destination)
        if len(moves) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fail_second)
    with pytest.raises(ExportError, match="Input/output error"), replace_folder(target) as new:
        fill(new, "new")
    assert content(target) == {"Manifest.json": "old", "Data/weights": "old"}
    assert os.listdir(tmp_path) == ["Pets.mlpackage"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), OnnxRuntimeError("x")])
@pytest.mark.parametrize("replace", [replace_file, replace_folder])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failed_block_changes_nothing_and_its_error_comes_through(
    tmp_path: Path, replace: Replace, exists: bool, error: BaseException
) -> None:
    target = tmp_path / "Pets"
    if exists and replace is replace_folder:
        package(target, "old")
    elif exists:
        target.write_text("old")
    before = content(tmp_path)

    def fail_half_way() -> None:
        with replace(target) as temporary:
            write(temporary, "half")
            raise error

    with pytest.raises(type(error)) as raised:
        fail_half_way()
    assert raised.value is error
    assert content(tmp_path) == before
    assert os.listdir(tmp_path) == (["Pets"] if exists else [])


def test_a_full_disk_is_an_export_error(tmp_path: Path) -> None:
    target = tmp_path / "Pets.onnx"
    target.write_text("old")
    with pytest.raises(ExportError, match=r"Pets\.onnx could not be written: No space"):  # noqa: SIM117
        with replace_file(target):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert content(tmp_path) == {"Pets.onnx": "old"}


@pytest.mark.parametrize("replace", [replace_file, replace_folder])
def test_a_link_is_followed(tmp_path: Path, replace: Replace) -> None:
    (tmp_path / "models").mkdir()
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "models" / "real")
    for text in ("first", "second"):
        with replace(link) as temporary:
            write(temporary, text)
        assert link.is_symlink()
        assert set(content(tmp_path / "models" / "real").values()) == {text}
    assert sorted(os.listdir(tmp_path)) == ["latest", "models"]


@pytest.mark.parametrize("replace", [replace_file, replace_folder])
def test_a_name_as_long_as_the_system_allows_works(tmp_path: Path, replace: Replace) -> None:
    with replace(tmp_path / ("n" * 255)) as temporary:
        write(temporary, "new")
    assert os.listdir(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("replace", [replace_file, replace_folder])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent/Pets", "does not exist; create it first"),
        ("file/Pets", "is a file, not a folder"),
        ("n" * 256, "could not be written: File name too long"),
        ("a\0b", "is not a path"),
    ],
)
def test_an_impossible_place_is_named_before_any_work(
    tmp_path: Path, replace: Replace, name: str, message: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=message), replace(tmp_path / name):
        pytest.fail("the block must not run")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    package(tmp_path / "Pets", "old")
    with pytest.raises(ExportError, match="is a folder"), replace_file(tmp_path / "Pets"):
        pytest.fail("the block must not run")
    assert content(tmp_path / "Pets") == {"Manifest.json": "old", "Data/weights": "old"}


def test_a_file_is_not_replaced_by_a_package(tmp_path: Path) -> None:
    (tmp_path / "Pets.mlpackage").write_text("old")
    with (
        pytest.raises(ExportError, match="is a file"),
        replace_folder(tmp_path / "Pets.mlpackage"),
    ):
        pytest.fail("the block must not run")
    assert content(tmp_path) == {"Pets.mlpackage": "old"}


def test_only_a_model_package_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("precious")
    with pytest.raises(ExportError, match=r"no model package"), replace_folder(tmp_path / "photos"):
        pytest.fail("the block must not run")
    assert content(tmp_path / "photos") == {"cat.jpg": "precious"}


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own ones are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Permissions mean nothing to the superuser, so become nobody for a while."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="needs setresuid (Linux)")
@pytest.mark.parametrize("replace", [replace_file, replace_folder])
def test_a_read_only_folder_is_an_export_error(public_folder: Path, replace: Replace) -> None:
    public_folder.chmod(0o555)
    with (
        ordinary_user(),
        pytest.raises(ExportError, match="is read-only; choose another one"),
        replace(public_folder / "Pets"),
    ):
        pytest.fail("the block must not run")
    assert os.listdir(public_folder) == []


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="needs setresuid (Linux)")
def test_a_read_only_file_is_left_alone(public_folder: Path) -> None:
    target = public_folder / "Pets.onnx"
    target.write_text("old")
    target.chmod(0o444)
    with (
        ordinary_user(),
        pytest.raises(ExportError, match="is read-only: make it writable"),
        replace_file(target),
    ):
        pytest.fail("the block must not run")
    assert content(public_folder) == {"Pets.onnx": "old"}


def test_an_interrupt_in_the_clean_up_waits_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def interrupted(*arguments: object, **options: bool) -> None:
        signal.raise_signal(signal.SIGINT)
        remove(*arguments, **options)  # type: ignore[arg-type]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(shutil, "rmtree", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), replace_folder(tmp_path / "Pets") as new:
            fill(new, "new")
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == ["Pets"]
