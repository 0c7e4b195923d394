"""What goes into the extraction and what comes out of it, block by block."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError
from silverprint.features.augmentation import SeededView

FloatMatrix = npt.NDArray[np.float32]

Rows = npt.NDArray[Any]
"""Feature rows: float32 or, where they are long, float16."""


class PictureFunction(Protocol):
    """What one picture becomes: a vector, from its uint8 pixels (height, width, 3).

    Attributes:
        rule: how pixels are brought to size.
        dimension: length of the vector.
        dtype: of its numbers, float32 or float16.
    """

    @property
    def rule(self) -> PictureRule: ...

    @property
    def dimension(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def run(self, pixels: npt.NDArray[np.uint8], cancel: _core.runtime.CancelToken) -> Rows: ...

    def run_views(
        self,
        pixels: npt.NDArray[np.uint8],
        cancel: _core.runtime.CancelToken,
        views: Sequence[SeededView],
    ) -> Rows:
        """The vector of the picture and below it that of each view, (1 + v, d)."""
        ...


class ExtractorBackbone(Protocol):
    """A graph with its record; see `Backbone`."""

    @property
    def rule(self) -> PictureRule: ...

    @property
    def dimension(self) -> int: ...

    @property
    def record(self) -> Mapping[str, Any]: ...


class Extractor(Protocol):
    """A backbone and how it is run, of whatever kind."""

    @property
    def backbone(self) -> ExtractorBackbone: ...

    @property
    def provider(self) -> str: ...

    @property
    def rule(self) -> PictureRule: ...

    @property
    def dimension(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def function(self) -> PictureFunction: ...


@dataclass(frozen=True)
class FeatureBlock:
    """Features of some of the pictures given.

    Attributes:
        positions: int64 (m,), which pictures, counted from 0 in the order given.
        rows: (m, 1 + v, d), of each picture and of its views, in the order asked for.
        digests: SHA-256 of each picture's bytes, m of them; none where they were not asked for.
        stats: m; what the file of each was like before it was read, None where it is no file.
        failures: (position, error) of the pictures that cannot be read.
    """

    positions: npt.NDArray[np.int64]
    rows: Rows
    digests: list[bytes]
    stats: list[os.stat_result | None]
    failures: list[tuple[int, InvalidDataError]]

    @property
    def features(self) -> Rows:
        """(m, d), of the pictures themselves."""
        return np.ascontiguousarray(self.rows[:, 0])

    @property
    def views(self) -> Rows:
        """(m, v, d), of their views."""
        return self.rows[:, 1:]


class ExtractionCounts:
    """How much work there was; threads may share it.

    Attributes:
        read: files read.
        decoded: pictures decoded.
        runs: runs of the network, one for each picture and each view.
        reused: pictures whose features were known.
    """

    def __init__(self) -> None:
        self.read = self.decoded = self.runs = self.reused = 0
        self._lock = threading.Lock()

    def add(self, *, read: int = 0, decoded: int = 0, runs: int = 0, reused: int = 0) -> None:
        """Count some more."""
        with self._lock:
            self.read += read
            self.decoded += decoded
            self.runs += runs
            self.reused += reused


@dataclass
class UnfinishedBlock:
    """A block that workers fill, each its own rows."""

    start: int
    rows: Rows  # (pictures, 1 + views, d)
    remaining: int
    digests: list[bytes] = field(init=False)
    stats: list[os.stat_result | None] = field(init=False)
    done: threading.Event = field(default_factory=threading.Event)
    failures: list[tuple[int, InvalidDataError]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.digests = [b""] * len(self.rows)
        self.stats = [None] * len(self.rows)

    def finished(self) -> FeatureBlock:
        """The block without the pictures that cannot be read."""
        failed = {position for position, _ in self.failures}
        kept = [i for i in range(len(self.digests)) if self.start + i not in failed]
        return FeatureBlock(
            np.asarray(kept, np.int64) + self.start,
            self.rows[kept] if failed else self.rows,
            [self.digests[i] for i in kept if self.digests[i]],
            [self.stats[i] for i in kept],
            sorted(self.failures, key=lambda failure: failure[0]),
        )
