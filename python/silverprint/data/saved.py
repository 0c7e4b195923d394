"""A data source as a session keeps it."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from silverprint.data.source import DataSource


def to_bytes(source: DataSource) -> bytes:
    """Paths, labels and groups of a source, and where relative paths start."""
    record = {
        "origin": source.origin,
        "folder": os.getcwd(),
        "items": [[os.fspath(path), label] for path, label in source.items],
        "groups": source.groups and list(source.groups),
    }
    return zlib.compress(json.dumps(record, separators=(",", ":")).encode(), 1)


def from_bytes(data: bytes) -> DataSource:
    """The source that `to_bytes` wrote, in the same order."""
    record = json.loads(zlib.decompress(data))
    folder = Path(record["folder"])
    here = folder == Path.cwd()
    items = tuple((Path(path) if here else folder / path, label) for path, label in record["items"])
    groups = record["groups"]
    return DataSource(items, record["origin"], None if groups is None else tuple(groups))
