"""The features of many pictures, of which only those that are not known yet are extracted."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.rule import PictureRule
from silverprint.errors import TrainingCancelled
from silverprint.features.augmentation import PictureView, SeededView
from silverprint.features.blocks import Extractor, Rows
from silverprint.features.cache import FeatureCache
from silverprint.features.extraction import (
    ExtractionCounts,
    FeatureBlock,
    Progress,
    extract_blocks,
)
from silverprint.features.kind import FeatureKind, kind_of, view_names

if TYPE_CHECKING:
    from silverprint.data.decode import Picture

_SAVE_INTERVAL = 1.0
"""Seconds between writes to the cache, each of which waits for the disk."""


class KnownFeatures(Protocol):
    """Rows that are there already; asked by many threads."""

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, Rows]:
        """Rows (1 + v, d) of those pictures that are known, by digest."""
        ...


def gather_blocks(
    pictures: Sequence[Picture],
    extractor: Extractor,
    *,
    known: Sequence[KnownFeatures] = (),
    cache: FeatureCache | None = None,
    block_size: int,
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: _core.runtime.CancelToken | None = None,
    views: Sequence[PictureView] = (),
    seed: int = 0,
    counts: ExtractionCounts | None = None,
) -> Generator[FeatureBlock, None, None]:
    """Blocks of at most `block_size` pictures, in any order; each picture is in one of them.

    First come the pictures whose file is as it was when it was last read and whose features are
    found in `known` or in `cache`: they are not read. The others are read and digested; those whose
    features are found then are not decoded. What is extracted is put into `cache`. The network is
    loaded when the first picture needs it.

    See `extract_blocks` for the other parameters and what is raised.
    """
    counts = counts or ExtractionCounts()
    token = cancel or _core.runtime.CancelToken()
    sources = list(known)
    store = None
    if cache is not None:
        kind = kind_of(extractor)
        store = _Store(cache, kind, view_names(views, seed))
        if cache.knows(kind):  # or else nothing is lost by not asking for each picture
            sources.append(store)
    left = set(range(len(pictures)))
    for block in _unread_blocks(pictures, cache, sources, block_size):
        if token.cancelled:
            raise TrainingCancelled("the extraction was cancelled")
        left.difference_update(block.positions.tolist())
        counts.add(reused=len(block.positions))
        if progress is not None:
            progress(len(pictures) - len(left), len(pictures))
        yield block
    places = np.asarray(sorted(left), np.int64)
    before = len(pictures) - len(places)
    reused: set[bytes] = set()

    def lookup(digest: bytes) -> Rows | None:
        rows = _find(sources, [digest]).get(digest)
        if rows is not None:
            reused.add(digest)
        return rows

    def report(done: int, _: int) -> None:
        if progress is not None:
            progress(before + done, len(pictures))

    extracted = extract_blocks(
        [pictures[i] for i in places],
        _LoadedLater(extractor),
        block_size=block_size,
        threads=threads,
        progress=report,
        cancel=token,
        digests=True,
        views=views,
        seed=seed,
        lookup=lookup if sources else None,
        counts=counts,
    )
    try:
        for block in extracted:
            failures = [(int(places[i]), error) for i, error in block.failures]
            block = replace(block, positions=places[block.positions], failures=failures)
            if store is not None:
                store.put(pictures, block, reused)
            yield block
    finally:
        extracted.close()
        if store is not None:
            store.save()


def _unread_blocks(
    pictures: Sequence[Picture],
    cache: FeatureCache | None,
    sources: Sequence[KnownFeatures],
    block_size: int,
) -> Iterator[FeatureBlock]:
    """The pictures whose features are found without reading a file."""
    if cache is None:
        return
    files = [(i, p) for i, p in enumerate(pictures) if isinstance(p, (str, os.PathLike))]
    recalled = cache.recall([path for _, path in files])
    settled = [
        (i, digest, status)
        for (i, _), (digest, status) in zip(files, recalled, strict=True)
        if digest is not None
    ]
    for start in range(0, len(settled), block_size):
        chunk = settled[start : start + block_size]
        found = _find(sources, [digest for _, digest, _ in chunk])
        chunk = [entry for entry in chunk if entry[1] in found]
        if chunk:
            rows = np.stack([found[digest] for _, digest, _ in chunk])
            yield FeatureBlock(
                np.asarray([i for i, _, _ in chunk], np.int64),
                rows,
                [digest for _, digest, _ in chunk],
                [status for _, _, status in chunk],
                [],
            )


def _find(sources: Sequence[KnownFeatures], digests: Sequence[bytes]) -> dict[bytes, Rows]:
    """What the sources know, the first one first."""
    found: dict[bytes, Rows] = {}
    for source in sources:
        missing = [digest for digest in digests if digest not in found]
        if missing:
            found |= source.find(missing)
    return found


class _Store:
    """The rows of one kind in a cache; new ones are collected and written about once a second."""

    def __init__(self, cache: FeatureCache, kind: FeatureKind, views: Sequence[str]) -> None:
        self._cache = cache
        self._kind = kind
        self._views = views
        self._digests: list[bytes] = []
        self._rows: list[Rows] = []
        self._files: list[tuple[str | os.PathLike[str], os.stat_result, bytes]] = []
        self._saved = time.monotonic()

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, Rows]:
        """See `KnownFeatures`."""
        return self._cache.find(self._kind, self._views, digests)

    def put(self, pictures: Sequence[Picture], block: FeatureBlock, reused: set[bytes]) -> None:
        """Take the rows of a block, but for the `reused` ones, and what its files are like."""
        positions = block.positions.tolist()
        for i, (position, digest) in enumerate(zip(positions, block.digests, strict=True)):
            picture, status = pictures[position], block.stats[i]
            if status is not None and isinstance(picture, (str, os.PathLike)):
                self._files.append((picture, status, digest))
            if digest not in reused:
                self._digests.append(digest)
                self._rows.append(block.rows[i])
        if time.monotonic() >= self._saved + _SAVE_INTERVAL:
            self.save()

    def save(self) -> None:
        """Write what was collected."""
        if self._digests:
            self._cache.add(self._kind, self._views, self._digests, np.stack(self._rows))
        self._cache.remember(self._files)
        self._digests, self._rows, self._files = [], [], []
        self._saved = time.monotonic()


class _LoadedLater:
    """An extractor's function, made when it is first run."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self.rule: PictureRule = extractor.rule
        self.dimension: int = extractor.dimension
        self.dtype: np.dtype[Any] = extractor.dtype

    def run(self, pixels: npt.NDArray[np.uint8], cancel: _core.runtime.CancelToken) -> Rows:
        return self._extractor.function.run(pixels, cancel)

    def run_views(
        self,
        pixels: npt.NDArray[np.uint8],
        cancel: _core.runtime.CancelToken,
        views: Sequence[SeededView],
    ) -> Rows:
        return self._extractor.function.run_views(pixels, cancel, views)
