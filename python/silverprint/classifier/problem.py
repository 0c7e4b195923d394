"""What a head is fitted to: features and labels of pictures, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from silverprint.classifier.parameters import LogisticRegressor, MultilayerPerceptron
from silverprint.data.splits import folds, held_out
from silverprint.features.extraction import FloatMatrix

Rows = npt.NDArray[np.int64]

FOLDS = 5
MOST_FOR_FOLDS = 5000
"""Above this many pictures one held-out share serves instead of folds."""


@dataclass(frozen=True)
class Problem:
    """Features and labels of n pictures.

    Attributes:
        features: float32 (m * (1 + views), d): the own row of each of m pictures, then those of its
            views. The n pictures are among them.
        positions: int64 (n,), which of the m pictures.
        views: of each picture.
        truth: int32 (n,), indices of labels.
        digests, groups: n each; pictures of a group are held out together. groups may be None.
    """

    features: FloatMatrix
    positions: Rows
    views: int
    truth: npt.NDArray[np.int32]
    digests: Sequence[bytes]
    groups: Sequence[str] | None
    labels: tuple[str, ...]
    classifier: LogisticRegressor | MultilayerPerceptron
    max_iterations: int | None
    seed: int

    def own_features(self, pictures: Rows) -> FloatMatrix:
        """float32 (k, d) of some of the n pictures as they are."""
        return self.features[self.positions[pictures] * (1 + self.views)]

    def all_rows(self, pictures: Rows) -> Rows:
        """The rows of some of the n pictures and of their views, int64 (k * (1 + views),)."""
        each = 1 + self.views
        return (self.positions[pictures][:, None] * each + np.arange(each)).ravel()

    def weights(self, pictures: Rows) -> npt.NDArray[np.float32] | None:
        """How much each of `all_rows` counts, float32; None: all the same.

        A picture counts as much as all its views together: pictures to be answered are no views,
        and four crops for each whole picture would have the head learn crops.
        """
        truth = self.truth[pictures]
        counts = np.bincount(truth, minlength=len(self.labels))
        of_label = self.classifier.weights_of(self.labels, counts)
        if of_label is None and not self.views:
            return None
        own = np.ones(len(truth), np.float32) if of_label is None else of_label[truth]
        share = [1.0, *[1 / self.views] * self.views] if self.views else [1.0]
        return np.outer(own, np.asarray(share, np.float32)).ravel()

    def parts(self, pictures: Rows) -> list[tuple[Rows, Rows]]:
        """(trained on, held out), by hash: adding pictures leaves the others where they are."""
        digests = [self.digests[i] for i in pictures]
        truth = self.truth[pictures]
        groups = None if self.groups is None else [self.groups[i] for i in pictures]
        if len(pictures) > MOST_FOR_FOLDS:
            held = held_out(digests, truth, 1 / FOLDS, self.seed, groups)
            parts = [(pictures[~held], pictures[held])]
        else:
            fold = folds(digests, truth, FOLDS, self.seed, groups)
            parts = [(pictures[fold != i], pictures[fold == i]) for i in range(FOLDS)]
        return [(train, held) for train, held in parts if len(held)]
