"""Rows to put into feature caches, made so that each tells what it is of."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from silverprint.features import cache as cache_module
from silverprint.features.cache import FeatureCache
from silverprint.features.kind import FeatureKind

Floats = npt.NDArray[np.float32]

DIMENSION = 6
KIND = FeatureKind("ab" * 32, {"height": 8, "crop_and_scale": "center_crop"}, "a CPU", DIMENSION)


def digest_of(picture: int) -> bytes:
    """The digest of picture number `picture`."""
    return hashlib.sha256(b"picture %d" % picture).digest()


def rows_of(pictures: Sequence[int], views: Sequence[str] = ("",)) -> Floats:
    """float32 (pictures, views, d), other values for each picture and view."""
    return np.stack([[_row(picture, view) for view in views] for picture in pictures])


def _row(picture: int, view: str) -> Floats:
    data = hashlib.sha256(b"row of %d %s" % (picture, view.encode())).digest()
    return np.frombuffer(data[: 4 * DIMENSION], np.uint32).astype(np.float32)


def fill(cache: FeatureCache, pictures: Sequence[int], views: Sequence[str] = ("",)) -> None:
    """Put the rows of these pictures in, as one shard."""
    cache.add(KIND, views, [digest_of(i) for i in pictures], rows_of(pictures, views))


def found(cache: FeatureCache, pictures: Sequence[int], views: Sequence[str] = ("",)) -> list[int]:
    """The pictures that are found; that their rows are theirs is made sure of."""
    by_digest = cache.find(KIND, views, [digest_of(i) for i in pictures])
    there = [i for i in pictures if digest_of(i) in by_digest]
    assert len(by_digest) == len(set(there))
    for picture in there:
        np.testing.assert_array_equal(
            by_digest[digest_of(picture)], rows_of([picture], views)[0], strict=True
        )
    return there


def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have caches that are made from now on take files of today for old ones."""
    monkeypatch.setattr(cache_module, "time_ns", lambda: time.time_ns() + 3600 * 10**9)


def shards(folder: Path) -> list[Path]:
    """The files of rows in a cache."""
    return sorted((folder / "rows").iterdir()) if (folder / "rows").exists() else []


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs `code`, all its streams being pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
