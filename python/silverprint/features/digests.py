"""Digests of picture files, remembered where a file is as it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from silverprint.data.reading import read_picture_and_status
from silverprint.errors import InvalidDataError
from silverprint.features.cache import FeatureCache
from silverprint.features.extraction import worker_count


def digests_of(
    paths: Sequence[Path], cache: FeatureCache | None, threads: int | None = None
) -> list[bytes]:
    """SHA-256 of each file's bytes; b"" of one that cannot be read.

    Only what `cache` does not remember is read, by `threads` threads.
    """
    found: list[bytes | None] = cache.remembered(paths) if cache else [None] * len(paths)
    unknown = [i for i, digest in enumerate(found) if digest is None]
    if unknown:
        with ThreadPoolExecutor(worker_count(threads)) as pool:
            read = list(pool.map(_digest, [paths[i] for i in unknown]))
        for i, entry in zip(unknown, read, strict=True):
            found[i] = entry[0] if entry else b""
        if cache:
            entries = zip(unknown, read, strict=True)
            cache.remember([(paths[i], entry[1], entry[0]) for i, entry in entries if entry])
    return [digest or b"" for digest in found]


def _digest(path: Path) -> tuple[bytes, os.stat_result] | None:
    try:
        data, status = read_picture_and_status(path)
    except InvalidDataError:
        return None
    return hashlib.sha256(data).digest(), status
