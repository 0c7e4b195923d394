"""The feature cache: what is put in is found again by what it is of, and by nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import struct
import threading
import time
import tracemalloc
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silverprint.errors import InvalidParameterError
from silverprint.features import cache_place
from silverprint.features.augmentation import View
from silverprint.features.cache import FeatureCache
from silverprint.features.kind import FeatureKind, view_names
from support.caches import (
    DIMENSION,
    KIND,
    an_hour_later,
    digest_of,
    fill,
    found,
    rows_of,
    shards,
    start_python,
)
from support.children import run_python


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


# Rows


def test_rows_are_found_by_digest(cache: FeatureCache) -> None:
    digests = [digest_of(0), digest_of(1)]
    rows = np.arange(2 * DIMENSION, dtype=np.float32).reshape(2, 1, DIMENSION)
    cache.add(KIND, ("",), digests, rows)
    answer = cache.find(KIND, ("",), [*digests, digest_of(2)])
    assert set(answer) == set(digests)
    for digest, row in zip(digests, rows, strict=True):
        assert answer[digest].dtype == np.float32
        np.testing.assert_array_equal(answer[digest], row, strict=True)


def test_another_object_finds_them(cache: FeatureCache) -> None:
    fill(cache, range(5))
    assert found(FeatureCache(cache.folder), range(9)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "other",
    [
        {"fingerprint": "cd" * 32},
        {"rule": {"height": 9, "crop_and_scale": "center_crop"}},
        {"numerics": "another CPU"},
        {"dimension": DIMENSION + 1},
    ],
)
def test_rows_of_another_kind_are_not_found(cache: FeatureCache, other: dict[str, Any]) -> None:
    fill(cache, [0])
    assert cache.find(replace(KIND, **other), ("",), [digest_of(0)]) == {}


def test_a_picture_is_found_when_all_views_asked_for_are_there(cache: FeatureCache) -> None:
    crops = view_names((View("crop", 1), View("crop", 2)), 0)
    fill(cache, [0, 1], crops)
    fill(cache, [2])
    assert found(cache, range(3), crops) == [0, 1]
    assert found(cache, range(3)) == [0, 1, 2]
    assert found(cache, range(3), crops[:2]) == [0, 1]
    assert found(cache, range(3), crops[::-1]) == [0, 1]
    assert found(cache, range(3), view_names((View("crop", 1),), 1)) == []


def test_views_that_were_added_at_different_times_come_together(cache: FeatureCache) -> None:
    fill(cache, [3, 0, 1])
    fill(cache, [0, 1, 2], ("a view",))
    assert found(cache, range(4), ("", "a view")) == [0, 1]


def test_a_name_of_a_view_says_option_number_and_seed() -> None:
    assert view_names((), 7) == ("",)
    assert view_names((View("crop", 2), View("flip", 1)), 7) == (
        "",
        "crop 2 seed 7",
        "flip 1 seed 7",
    )


def test_many_pictures_in_many_shards_in_any_order(cache: FeatureCache) -> None:
    pictures = np.random.default_rng(0).permutation(1700).tolist()
    for start in range(0, 1700, 100):
        fill(cache, pictures[start : start + 100])
    assert len(shards(cache.folder)) == 17
    assert found(cache, range(2000)) == list(range(1700))
    assert found(cache, [5, 1, 5, 1]) == [5, 1, 5, 1]


def test_what_is_added_again_is_found_once(cache: FeatureCache) -> None:
    fill(cache, [0, 1, 1])
    fill(cache, [1, 2])
    assert found(cache, range(3)) == [0, 1, 2]
    assert cache.info()["pictures"] == 3


def test_reading_makes_nothing(cache: FeatureCache, tmp_path: Path) -> None:
    assert found(cache, [0]) == []
    assert cache.remembered([__file__]) == [None]
    cache.add(KIND, ("",), [], rows_of([0])[:0])
    cache.remember([])
    cache.clear()
    assert cache.info()["size"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_the_folder_is_for_its_owner_only(cache: FeatureCache) -> None:
    fill(cache, [0])
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


def test_memory_is_hardly_more_than_the_answer(cache: FeatureCache) -> None:
    wide = replace(KIND, dimension=2000)
    digests = [digest_of(i) for i in range(3000)]
    for start in range(0, 3000, 250):
        rows = np.full((250, 1, 2000), start, np.float32)
        cache.add(wide, ("",), digests[start : start + 250], rows)
    tracemalloc.start()
    try:
        answer = cache.find(wide, ("",), digests)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = sum(row.nbytes for row in answer.values())
    assert size == 3000 * 2000 * 4
    assert peak < 1.1 * size


# Files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Four files that were written long ago, as caches of this test see it."""
    an_hour_later(monkeypatch)
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(b"picture %d" % i)
    return paths


def remember(cache: FeatureCache, files: list[Path]) -> FeatureCache:
    """Another cache of the same folder, in which `files` were remembered."""
    FeatureCache(cache.folder).remember(
        [(path, os.stat(path), digest_of(i)) for i, path in enumerate(files)]
    )
    return FeatureCache(cache.folder)


def test_unchanged_files_are_remembered(cache: FeatureCache, files: list[Path]) -> None:
    cache = remember(cache, files)
    answer = [digest_of(i) for i in range(4)]
    assert cache.remembered(files) == answer
    assert cache.remembered([str(path) for path in files]) == answer
    assert cache.remembered([files[2], files[0].parent / "none", "\0", files[1]]) == [
        answer[2],
        None,
        None,
        answer[1],
    ]


def test_a_file_is_remembered_by_its_absolute_path(
    cache: FeatureCache, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = remember(cache, files)
    monkeypatch.chdir(files[0].parent)
    assert cache.remembered(["0.jpg", "./1.jpg"]) == [digest_of(0), digest_of(1)]


def test_a_changed_file_is_not_remembered(cache: FeatureCache, files: list[Path]) -> None:
    cache = remember(cache, files)
    before = os.stat(files[0])
    files[0].write_bytes(b"other bytes")
    files[1].write_bytes(b"PICTURE 1")  # as long, and the time of its change is set back
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(files[2])
    replacement = files[3].with_suffix(".new")
    replacement.write_bytes(b"picture 9")
    os.replace(replacement, files[3])
    assert cache.remembered(files) == [None] * 4


def test_a_file_of_another_name_is_not_remembered(cache: FeatureCache, files: list[Path]) -> None:
    cache = remember(cache, files)
    moved = files[0].with_name("moved.jpg")
    os.link(files[0], moved)
    assert cache.remembered([moved]) == [None]


def test_a_file_changed_just_before_it_was_read_is_not_trusted(
    cache: FeatureCache, tmp_path: Path
) -> None:
    path = tmp_path / "fresh.jpg"
    path.write_bytes(b"fresh")
    assert remember(cache, [path]).remembered([path]) == [None]


def test_a_file_changed_while_the_cache_is_open_is_not_trusted(
    cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fresh.jpg"
    path.write_bytes(b"fresh")
    status = os.stat(path)
    an_hour_later(monkeypatch)  # when all files have been read
    cache.remember([(path, status, digest_of(0))])
    assert cache.remembered([path]) == [None]


def test_a_clock_that_was_set_back_makes_no_file_old(
    cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_hour_later(monkeypatch)
    ahead = FeatureCache(cache.folder)
    monkeypatch.undo()
    path = tmp_path / "fresh.jpg"
    path.write_bytes(b"fresh")
    ahead.remember([(path, os.stat(path), digest_of(0))])
    assert cache.remembered([path]) == [None]


# The size limit

ROW = 4 * DIMENSION


def age(cache: FeatureCache, *seconds: int) -> None:
    """Have shards been used that many seconds ago, in the order in which they were made."""
    now = time.time()
    by_time = sorted(shards(cache.folder), key=lambda path: path.stat().st_mtime_ns)
    for path, ago in zip(by_time, seconds, strict=True):
        os.utime(path, (now - ago, now - ago))


def test_what_was_not_used_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", max_bytes=45 * ROW)
    for start in (0, 10, 20, 30):
        fill(cache, range(start, start + 10))
        age(cache, *range(10 * start, -1, -100))
    assert found(cache, [3]) == [3]  # of use just now
    fill(cache, range(40, 50))
    assert found(cache, range(50)) == [*range(10), *range(20, 50)]
    assert len(shards(cache.folder)) == 4
    assert cache.info()["pictures"] == 40


def test_room_is_made_for_more_than_one_shard(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", max_bytes=20 * ROW)
    for i in range(21):
        fill(cache, [i])
    assert len(shards(cache.folder)) == 18  # nine tenths of the limit


def test_the_limit_holds_whatever_is_put_in(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", max_bytes=25 * ROW)
    for i in range(30):
        fill(cache, range(i, i + 1 + i))
        assert sum(path.stat().st_size for path in shards(cache.folder)) <= 25 * ROW


def test_rows_that_a_killed_process_left_are_removed_after_an_hour(cache: FeatureCache) -> None:
    fill(cache, [0])
    old, young = (cache.folder / "rows" / f"{i:016x}.rows" for i in (1, 2))
    foreign = cache.folder / "rows" / "notes.txt"
    for path in (old, young, foreign):
        path.write_bytes(b"left behind")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    os.utime(foreign, (hours_ago, hours_ago))
    fill(FeatureCache(cache.folder), [1])
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()
    assert found(cache, [0, 1]) == [0, 1]


# What is in it


def test_info_tells_what_is_in_it(cache: FeatureCache) -> None:
    other = FeatureKind("cd" * 32, {"height": 9}, "another CPU", 2)
    fill(cache, range(5), ("", "a view"))
    cache.add(other, ("",), [digest_of(0)], np.zeros((1, 1, 2), np.float32))
    info = cache.info()
    assert info["folder"] == str(cache.folder)
    assert info["limit"] == 10**10
    assert info["pictures"] == 5
    assert info["size"] == sum(p.stat().st_size for p in cache.folder.rglob("*") if p.is_file())
    assert [(kind["numerics"], kind["pictures"]) for kind in info["kinds"]] == [
        ("a CPU", 5),
        ("another CPU", 1),
    ]
    assert info["kinds"][0]["fingerprint"] == KIND.fingerprint
    assert info["kinds"][0]["rule"] == KIND.rule
    assert info["kinds"][0]["dimension"] == DIMENSION


def test_clear_removes_everything_but_what_is_not_its_own(
    cache: FeatureCache, files: list[Path]
) -> None:
    fill(cache, range(5))
    cache = remember(cache, files)
    own = cache.folder / "my notes.txt"
    own.write_text("keep")
    full = cache.info()["size"]
    cache.clear()
    assert found(cache, range(5)) == []
    assert cache.remembered(files) == [None] * 4
    assert shards(cache.folder) == []
    assert cache.info()["size"] <= full
    assert own.exists()
    fill(cache, [1])
    assert found(cache, range(5)) == [1]


def test_the_format_is_as_documented(
    cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/cache-format.md, read with nothing but the standard library."""
    an_hour_later(monkeypatch)
    fill(cache, [0, 1], ("", "a view"))
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"a picture")
    status = path.stat()
    FeatureCache(cache.folder).remember([(path, status, digest_of(3))])
    with closing(sqlite3.connect(cache.folder / "records.sqlite")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        series = db.execute("SELECT id, kind, view, record FROM series ORDER BY id").fetchall()
        features = db.execute(
            "SELECT series, digest, shard, offset, checksum FROM feature"
        ).fetchall()
        sizes = dict(db.execute("SELECT id, size FROM shard"))
        files = db.execute("SELECT stamp, digest, checksum FROM file").fetchall()
    assert [view for _, _, view, _ in series] == ["", "a view"]
    for _, kind, _, record in series:
        assert hashlib.sha256(record.encode()).hexdigest() == kind
        assert sorted(json.loads(record)) == [
            "dimension",
            "fingerprint",
            "numerics",
            "rule",
            "version",
        ]
    views = {number: (kind, view) for number, kind, view, _ in series}
    assert len(features) == 4
    for number, digest, shard, offset, checksum in features:
        data = (cache.folder / "rows" / f"{shard:016x}.rows").read_bytes()
        assert len(data) == sizes[shard]
        kind, view = views[number]
        row = data[offset : offset + 4 * DIMENSION]
        assert zlib.crc32(f"{kind} {view}".encode() + digest + row) == checksum
        picture = [digest_of(0), digest_of(1)].index(digest)
        assert struct.unpack(f"<{DIMENSION}f", row) == tuple(rows_of([picture], (view,))[0, 0])
    text = (
        f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} "
        f"{status.st_dev} {path}"
    )
    stamp = hashlib.sha256(text.encode()).digest()[:16]
    assert files == [(stamp, digest_of(3), zlib.crc32(stamp + digest_of(3)))]


# Several at once


def test_two_processes_may_fill_one_cache_at_once(cache: FeatureCache) -> None:
    code = """
        import sys
        from pathlib import Path
        from silverprint.features.cache import FeatureCache
        from support.caches import fill, found
        cache, first = FeatureCache(sys.argv[1]), int(sys.argv[2])
        print("ready", flush=True)
        sys.stdin.readline()
        for i in range(first, first + 40, 2):
            fill(cache, [i, i + 1, i + 2])
            assert found(cache, range(first, i + 3)) == list(range(first, i + 3))
    """
    children = [start_python(code, cache.folder, first) for first in (0, 20, 100)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
        assert errors == ""
    assert found(cache, range(200)) == [*range(61), *range(100, 141)]


def test_threads_may_share_one(cache: FeatureCache) -> None:
    wrong: list[object] = []

    def work(first: int) -> None:
        try:
            for i in range(first, first + 10):
                fill(cache, [i])
                if found(cache, [i]) != [i]:
                    wrong.append(i)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(found(cache, range(400))) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_may_use_it(cache: FeatureCache) -> None:
    code = """
        import os, sys
        from silverprint.features.cache import FeatureCache
        from support.caches import fill, found
        cache = FeatureCache(sys.argv[1])
        fill(cache, [0])
        assert found(cache, [0]) == [0]
        child = os.fork()
        fill(cache, [1] if child else [2])
        assert found(cache, [0, 1 if child else 2]) == [0, 1 if child else 2]
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    run_python(code, cache.folder)
    assert found(cache, range(3)) == [0, 1, 2]


# Its place


def test_the_environment_says_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE", str(tmp_path / "here"))
    made = FeatureCache.default()
    assert made is not None
    assert made.folder == tmp_path / "here"
    for off in ("off", "OFF"):
        monkeypatch.setenv("SILVERPRINT_CACHE", off)
        assert FeatureCache.default() is None


@pytest.mark.parametrize(
    ("system", "variables", "folder"),
    [
        ("linux", {}, "home/.cache/silverprint"),
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/silverprint"),
        # The XDG Base Directory Specification has relative paths ignored.
        ("linux", {"XDG_CACHE_HOME": "elsewhere"}, "home/.cache/silverprint"),
        ("darwin", {"XDG_CACHE_HOME": "/elsewhere"}, "home/Library/Caches/silverprint"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/silverprint/Cache"),
        ("win32", {}, "home/AppData/Local/silverprint/Cache"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="the paths are those of POSIX")
def test_each_system_has_its_place(
    system: str,
    variables: dict[str, str],
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SILVERPRINT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": str(tmp_path / "home")} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache_place.sys, "platform", system)
    assert cache_place.cache_folder() == tmp_path / folder


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 10**10),
        ("5GB", 5 * 10**9),
        ("1.5 gb", 15 * 10**8),
        ("500MB", 5 * 10**8),
        ("12345", 12345),
        ("2TB", 2 * 10**12),
    ],
)
def test_the_environment_says_how_large_it_may_become(
    text: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE_SIZE", text)
    made = FeatureCache.default()
    assert made is not None
    assert made.max_bytes == size


@pytest.mark.parametrize("text", ["much", "5 GiB", "-1", "0", "0GB", "1e9", "5GBs", "٣"])
def test_a_wrong_size_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE_SIZE", text)
    with pytest.raises(InvalidParameterError, match="SILVERPRINT_CACHE_SIZE"):
        FeatureCache.default()
