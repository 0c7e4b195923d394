"""Features of the shared sets, extracted once for each set and extractor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from shared_sets import sources

if TYPE_CHECKING:
    from silverprint.features.cache import FeatureCache
    from silverprint.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class Features:
    """One set as one extractor sees it, the training part first.

    Attributes:
        labels: of the set.
        rows: float32 (n, d).
        truth: int32 (n,), indices of labels.
        digests: SHA-256 of each of the n files.
        train_count: so many of the n are the training part.
    """

    labels: tuple[str, ...]
    rows: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int32]
    digests: list[bytes]
    train_count: int

    @property
    def train(self) -> slice:
        return slice(0, self.train_count)

    @property
    def test(self) -> slice:
        return slice(self.train_count, None)


def extract(
    folder: Path, extractor: FeatureExtractor, cache: FeatureCache, threads: int
) -> Features:
    """The features of both parts of a set, from `cache` where it has them."""
    from silverprint.features.gathering import gather_blocks

    train, test = sources(folder)
    items = [*train.items, *test.items]
    rows = np.empty((len(items), extractor.dimension), np.float32)
    digests = [b""] * len(items)
    paths = [path for path, _ in items]
    for block in gather_blocks(paths, extractor, cache=cache, block_size=256, threads=threads):
        if block.failures:
            raise block.failures[0][1]
        rows[block.positions] = block.features
        for position, digest in zip(block.positions.tolist(), block.digests, strict=True):
            digests[position] = digest
    index_of = {label: i for i, label in enumerate(train.labels)}
    truth = np.array([index_of[label] for _, label in items], np.int32)
    return Features(train.labels, rows, truth, digests, len(train.items))
