"""Whatever happens to the feature cache on disk: a row that is not its own is never found.

`found` compares every row with what was put in.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from silverprint.features.augmentation import View
from silverprint.features.cache import FeatureCache
from silverprint.features.kind import view_names
from support.caches import an_hour_later, digest_of, fill, found, shards, start_python
from support.children import run_python

CROPS = view_names((View("crop", 1), View("crop", 2)), 0)
ALL = list(range(40))
STRIDE = int(os.environ.get("SILVERPRINT_TEST_STRIDE", "307"))
"""How far apart the bytes are that are damaged in turn; all of them take minutes."""


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of 40 pictures with two crops each in two shards, and of 40 remembered files."""
    an_hour_later(monkeypatch)
    cache = FeatureCache(tmp_path / "full")
    for start in (0, 20):
        fill(cache, range(start, start + 20), CROPS)
    files = files_in(tmp_path / "files")
    cache.remember([(path, os.stat(path), digest_of(i)) for i, path in enumerate(files)])
    return cache.folder


def files_in(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.jpg" for i in ALL]
    for path in paths:
        if not path.exists():
            path.write_text(path.name)
    return paths


def remembered(cache: FeatureCache, folder: Path) -> int:
    """How many files are remembered; none as what it is not."""
    answer = cache.remembered(files_in(folder.parent / "files"))
    assert all(digest in (None, digest_of(i)) for i, digest in enumerate(answer))
    return sum(digest is not None for digest in answer)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# Flipped bits


@pytest.mark.parametrize("shard", [0, 1])
def test_a_flipped_bit_in_rows_loses_one_picture(full: Path, shard: int) -> None:
    path = shards(full)[shard]
    original = path.read_bytes()
    for bit in range(5, 8 * len(original), 977):
        flip(path, bit)
        cache = FeatureCache(full)
        assert len(found(cache, ALL, CROPS)) == 39
        assert len(found(cache, ALL, CROPS)) == 39  # forgotten, not only left out
        # What is put in again is found again.
        fill(cache, ALL[:20], CROPS)
        fill(cache, ALL[20:], CROPS)
        assert found(cache, ALL, CROPS) == ALL
        path = next(p for p in shards(full) if p.read_bytes() == original)


def test_a_flipped_bit_anywhere_in_the_records_gives_no_wrong_answer(
    full: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = (full / "records.sqlite").stat().st_size
    losses = 0
    # Every third byte of SQLite's header, and some of the rest.
    for number, byte in enumerate([*range(0, 100, 3), *range(100, size, STRIDE)]):
        folder = tmp_path / "flipped"
        shutil.copytree(full, folder)
        flip(folder / "records.sqlite", 8 * byte + number % 8)
        cache = FeatureCache(folder)
        losses += len(found(cache, ALL, CROPS)) < 40
        losses += remembered(cache, full) < 40
        cache.info()
        fill(cache, ALL, CROPS)
        found(cache, ALL, CROPS)
        newer = any("newer" in message for message in messages(caplog))
        caplog.clear()
        if not newer:
            # Damage that shows while something is written is mended by what is written next.
            fill(cache, ALL, CROPS)
            fill(cache, ALL, CROPS)
            assert found(FeatureCache(folder), ALL, CROPS) == ALL
        shutil.rmtree(folder)
    assert losses > 20  # so that the test would find wrong rows if there were any


# Files that are missing, cut short or something else


def test_a_missing_shard_loses_its_pictures(full: Path) -> None:
    lost, kept = shards(full)
    lost.unlink()
    cache = FeatureCache(full)
    there = found(cache, ALL, CROPS)
    assert len(there) == 20
    assert cache.info()["pictures"] == 20
    size = sum(path.stat().st_size for path in (kept, full / "records.sqlite"))
    assert cache.info()["size"] == size


def test_a_shard_cut_short_loses_the_pictures_behind_the_cut(full: Path) -> None:
    path = shards(full)[0]
    os.truncate(path, path.stat().st_size // 2)
    assert len(found(FeatureCache(full), ALL, CROPS)) == 30
    os.truncate(path, 0)
    assert len(found(FeatureCache(full), ALL, CROPS)) == 20


def test_rows_may_be_gone_altogether(full: Path) -> None:
    shutil.rmtree(full / "rows")
    cache = FeatureCache(full)
    assert found(cache, ALL, CROPS) == []
    fill(cache, ALL, CROPS)
    assert found(cache, ALL, CROPS) == ALL


def test_shards_that_changed_places_are_not_believed(full: Path) -> None:
    first, second = shards(full)
    os.rename(first, full / "aside")
    os.rename(second, first)
    os.rename(full / "aside", second)
    assert found(FeatureCache(full), ALL, CROPS) == []


@pytest.mark.parametrize("length", [99, 4096, 4097, 9000])
def test_records_cut_short_are_begun_anew(
    full: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    os.truncate(full / "records.sqlite", length)
    cache = FeatureCache(full)
    found(cache, ALL, CROPS)
    fill(cache, ALL, CROPS)
    fill(cache, ALL, CROPS)
    assert found(cache, ALL, CROPS) == ALL
    assert len(messages(caplog)) == 1
    assert "was damaged and is begun anew" in messages(caplog)[0]
    assert (full / "records.sqlite.damaged").stat().st_size == length


def test_something_else_in_the_place_of_the_records(
    full: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (full / "records.sqlite").write_text("these are no records\n" * 1000)
    cache = FeatureCache(full)
    assert found(cache, ALL, CROPS) == []
    assert "file is not a database" in messages(caplog)[0]
    fill(cache, [3], CROPS)
    assert found(cache, ALL, CROPS) == [3]
    cache.clear()
    assert not (full / "records.sqlite.damaged").exists()


def test_damaged_text_in_an_error_of_sqlite_is_damage(
    full: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = full / "records.sqlite"
    data = path.read_bytes()
    assert data.count(b"CREATE TABLE shard") == 1
    path.write_bytes(data.replace(b"CREATE TABLE shard", b"CREATE \xce\xff\xce\xffE shard"))
    assert found(FeatureCache(full), ALL, CROPS) == []
    assert "was damaged" in messages(caplog)[0]


def test_no_records_at_all_are_no_damage(full: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.truncate(full / "records.sqlite", 0)  # as after a power loss while they were made
    cache = FeatureCache(full)
    assert found(cache, ALL, CROPS) == []
    fill(cache, ALL, CROPS)
    assert found(cache, ALL, CROPS) == ALL
    assert messages(caplog) == []


def test_a_format_of_a_newer_version_is_left_alone(
    full: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(full / "records.sqlite") as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = {path: path.read_bytes() for path in full.rglob("*") if path.is_file()}
    cache = FeatureCache(full)
    assert found(cache, ALL, CROPS) == []
    fill(cache, ALL, CROPS)
    assert remembered(cache, full) == 0
    cache.info()
    with pytest.raises(OSError, match="newer silverprint"):
        cache.clear()
    assert {path: path.read_bytes() for path in full.rglob("*") if path.is_file()} == before
    assert len(messages(caplog)) == 1
    assert "newer silverprint" in messages(caplog)[0]


# Folders that cannot be used


def test_a_folder_deleted_while_in_use_is_made_again(full: Path) -> None:
    cache = FeatureCache(full)
    assert found(cache, ALL, CROPS) == ALL
    shutil.rmtree(full)
    assert found(cache, ALL, CROPS) == []
    assert cache.info()["pictures"] == 0
    fill(cache, [1, 2])
    assert found(cache, ALL) == [1, 2]


def test_a_place_that_cannot_be_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = FeatureCache(tmp_path / "file" / "cache")
    for _ in range(3):
        assert found(cache, ALL) == []
        fill(cache, ALL)
        assert cache.remembered([__file__]) == [None]
    (message,) = messages(caplog)
    assert "SILVERPRINT_CACHE=" in message
    assert str(tmp_path / "file" / "cache") in message


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of an ordinary user's, as which the test runs: root may write anywhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not hasattr(os, "geteuid"):
            pytest.skip("Windows has no modes")
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_still_read(
    unprivileged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = unprivileged / "cache"
    fill(FeatureCache(folder), ALL)
    every = [folder, *folder.rglob("*")]
    for path in every:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        cache = FeatureCache(folder)
        assert found(cache, ALL) == ALL
        assert messages(caplog) == []
        fill(cache, [41])
        fill(cache, [42])
        assert found(cache, [*ALL, 41, 42]) == ALL
        assert len(messages(caplog)) == 1
        assert "cannot be written" in messages(caplog)[0]
        with pytest.raises(OSError, match=r"readonly|Permission"):
            cache.clear()
    finally:
        for path in every:
            path.chmod(0o700)


def test_a_folder_that_cannot_be_read_is_one_warning(
    unprivileged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = unprivileged / "cache"
    fill(FeatureCache(folder), ALL)
    (folder / "records.sqlite").chmod(0)
    cache = FeatureCache(folder)
    assert found(cache, ALL) == []
    fill(cache, ALL)
    assert len(messages(caplog)) == 1
    assert "cannot be read" in messages(caplog)[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
@pytest.mark.parametrize("limit", [0, 100, 600, 5000, 9000, 20000, 33000])
def test_a_full_disk_is_one_warning(full: Path, limit: int) -> None:
    code = """
        import resource, sys
        from silverprint.features.cache import FeatureCache
        from support.caches import fill, found
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for folder, before in ((sys.argv[1], 40), (sys.argv[1] + "-new", 0)):
            cache = FeatureCache(folder)
            for start in range(100, 2000, 100):
                fill(cache, range(start, start + 100))
            there = found(cache, range(2000))
            assert len(there) % 100 in (0, before)
    """
    done = run_python(code, full, limit)
    # To undo what is half written, SQLite writes, too: then nothing can be read any more.
    assert done.stderr.count("cannot be written") == 2
    assert done.stderr.count("\n") == 2 + done.stderr.count("cannot be read")
    for folder in (full, Path(f"{full}-new")):
        kept = {path.stat().st_size for path in shards(folder)}
        assert kept <= {100 * 24, 20 * 3 * 24}


# Sudden ends


@pytest.mark.parametrize("number", range(8))
def test_a_killed_process_leaves_whole_pictures(full: Path, number: int) -> None:
    code = """
        import sys
        from silverprint.features.cache import FeatureCache
        from support.caches import fill
        cache = FeatureCache(sys.argv[1], max_bytes=12000)
        for start in range(100, 100000, 7):
            fill(cache, range(start, start + 7))
            print(start, flush=True)
    """
    child = start_python(code, full)
    assert child.stdout is not None
    for _ in range(3 + 7 * number):
        assert child.stdout.readline()
    child.kill()
    child.communicate()
    cache = FeatureCache(full)
    found(cache, ALL, CROPS)
    there = found(cache, range(100, 2000))
    assert len(there) > 7
    fill(cache, range(7))
    assert found(cache, range(7)) == list(range(7))
    with sqlite3.connect(full / "records.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
