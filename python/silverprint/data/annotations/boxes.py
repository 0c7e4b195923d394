"""The boxes of many pictures, as a few arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class BoxArrays:
    """The boxes of p pictures, one picture after the other; all arrays are read-only.

    Attributes:
        offsets: int64 of shape (p + 1,): picture i has the boxes offsets[i] to offsets[i + 1].
        edges: float32 of shape (n, 4): left, top, right, bottom.
        labels: int32 of shape (n,): numbers of labels.
        indices: int32 of shape (n,): where the box stands in its file, for messages.
    """

    offsets: npt.NDArray[np.int64]
    edges: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    indices: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        for array in (self.offsets, self.edges, self.labels, self.indices):
            array.flags.writeable = False

    @staticmethod
    def made(
        pictures: int,
        owners: npt.NDArray[np.int32],
        edges: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int32],
        indices: npt.NDArray[np.int32],
    ) -> BoxArrays:
        """From boxes in any order; `owners` is the picture of each. Their order is kept."""
        order = np.argsort(owners, kind="stable")
        offsets = np.zeros(pictures + 1, np.int64)
        np.cumsum(np.bincount(owners, minlength=pictures), out=offsets[1:])
        return BoxArrays(offsets, edges[order], labels[order], indices[order])

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of boxes of each picture."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> npt.NDArray[np.int32]:
        """The picture of each box."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), self.counts)

    def kept(self, keep: npt.NDArray[np.bool_]) -> BoxArrays:
        """The boxes where `keep` is true; pictures may be left without any."""
        return BoxArrays.made(
            len(self.offsets) - 1,
            self.owners[keep],
            self.edges[keep],
            self.labels[keep],
            self.indices[keep],
        )

    def of_pictures(self, rows: Sequence[int]) -> BoxArrays:
        """The boxes of the pictures in `rows`, in that order."""
        at = np.asarray(rows, np.int64)
        counts = self.counts[at]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        boxes = np.repeat(self.offsets[at] - offsets[:-1], counts) + np.arange(offsets[-1])
        return BoxArrays(offsets, self.edges[boxes], self.labels[boxes], self.indices[boxes])

    def relabelled(self, numbers: npt.NDArray[np.int32]) -> BoxArrays:
        """With label k called ``numbers[k]``."""
        return replace(self, labels=numbers[self.labels])
