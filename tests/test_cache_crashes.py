"""The feature cache after a power loss or a failing call at any moment: whole, and never wrong."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import sys
import textwrap
from pathlib import Path
from typing import Literal

import pytest

from silverprint.features.cache import FeatureCache
from support.caches import fill, found
from support.disk import Disk, Fail, Kill

STEP = int(os.environ.get("SILVERPRINT_TEST_STEP", "97"))
"""Of so many calls one is failed or the last; all of them, with 1, take half an hour."""

FILL = textwrap.dedent(
    """
    import os
    from silverprint.features.cache import FeatureCache
    from support.caches import digest_of, fill, found
    cache = FeatureCache("cache", max_bytes=25 * 24)
    for start in range(0, 50, 10):
        fill(cache, range(start, start + 10))
        print(start, flush=True)
        cache.remember([(f"{i}.jpg", os.stat("/"), digest_of(i)) for i in range(start, start + 3)])
        found(cache, [start])
    try:
        cache.clear()
    except OSError as error:
        print(error)
    fill(cache, range(60, 70))
    print(60, flush=True)
    """
)
"""Ten pictures at a time, of which the limit leaves 20; at last they are cleared."""


def check(folder: Path, caplog: pytest.LogCaptureFixture) -> list[int]:
    """Make sure that the cache is whole and goes on; the first pictures of the shards in it."""
    caplog.clear()
    cache = FeatureCache(folder / "cache")
    there = found(cache, range(70))
    starts = sorted({10 * (i // 10) for i in there})
    assert there == [i for start in starts for i in range(start, start + 10)]
    fill(cache, range(100, 105))
    assert found(cache, range(100, 105)) == list(range(100, 105))
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    connection = sqlite3.connect(folder / "cache" / "records.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return starts


def test_a_power_loss_at_any_moment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Disk(tmp_path) as disk:
        assert disk.run([sys.executable, "-c", FILL]).stdout == "0\n10\n20\n30\n40\n60\n"
        for crash in disk.crashes(seed=0, count=None if STEP == 1 else 50):
            starts = check(crash.folder, caplog)
            done = [int(line) for line in crash.printed.split()]
            # What was added is on disk; after 40 comes the clearing.
            if done and done[-1] != 40:
                assert done[-1] in starts


@pytest.mark.parametrize(
    ("error", "always"),
    [(errno.EIO, False), (errno.EIO, True), (errno.ENOSPC, True)],
    ids=["fails once", "fails from then on", "is full"],
)
def test_any_call_may_fail(
    error: int, always: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    n, hits = 1, 1
    while hits:
        folder = tmp_path / str(n)
        folder.mkdir()
        with Disk(folder) as disk:
            done = disk.run([sys.executable, "-c", FILL], fail=Fail("any", n, error, always))
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("\n") <= 2, done.stderr
        check(folder, caplog)
        hits = done.hits
        n += STEP


@pytest.mark.parametrize("moment", ["before", "half", "after"])
def test_any_call_may_be_the_last(
    moment: Literal["before", "half", "after"], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    n, hits = 1, 1
    while hits:
        folder = tmp_path / str(n)
        folder.mkdir()
        with Disk(folder) as disk:
            done = disk.run([sys.executable, "-c", FILL], kill=Kill("any", n, moment))
        check(folder, caplog)
        hits = done.hits
        n += STEP
