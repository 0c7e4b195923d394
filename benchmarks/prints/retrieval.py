"""Nearest neighbours: each test picture looks for its like among the training pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Retrieval:
    """Means over the queries.

    Attributes:
        recall_at_1: share of queries whose nearest neighbour has their label.
        mean_average_precision: of the gallery in order of similarity, those with the query's label
            being what is looked for.
    """

    recall_at_1: float
    mean_average_precision: float


def retrieve(
    gallery: npt.NDArray[np.float32],
    gallery_truth: npt.NDArray[np.integer],
    queries: npt.NDArray[np.float32],
    query_truth: npt.NDArray[np.integer],
) -> Retrieval:
    """By cosine of features (n, d) standardised by the mean and deviation of the gallery."""
    mean = gallery.mean(axis=0, dtype=np.float64)
    deviation = gallery.std(axis=0, dtype=np.float64)
    deviation[deviation == 0] = 1
    directions = []
    for part in (queries, gallery):
        scaled = (part - mean) / deviation
        directions.append(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))
    nearest = np.argsort(-(directions[0] @ directions[1].T), axis=1, kind="stable")
    hits = gallery_truth[nearest] == query_truth[:, None]
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    average_precision = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return Retrieval(float(hits[:, 0].mean()), float(average_precision.mean()))
