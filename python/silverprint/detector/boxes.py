"""From the numbers of all cells to boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.model.detection_results import FoundBoxes

TOP, LIMIT = 600, 100
"""Boxes of a picture that are considered, best first, and that are kept."""

Floats = npt.NDArray[np.floating]


def centres_of(levels: Sequence[tuple[int, int, int]]) -> npt.NDArray[np.float32]:
    """Centre x and y of each cell in pixels of the tensor, float32 (cells, 2).

    Args:
        levels: (stride, height, width) of each.
    """
    found = []
    for stride, height, width in levels:
        down, across = np.mgrid[:height, :width]
        found.append(np.stack([across.ravel(), down.ravel()], axis=1) * stride + stride / 2)
    return np.concatenate(found).astype(np.float32)


def found_boxes(
    corners: Floats, scores: Floats, confidence_threshold: float, iou_threshold: float
) -> FoundBoxes:
    """What non-maximum suppression leaves of one picture, best first.

    Args:
        corners: (cells, 4), left, top, right and bottom as shares of the picture.
        scores: (cells, classes), 0 to 1.
        confidence_threshold: least score.
        iou_threshold: boxes of one label that overlap by more suppress each other.
    """
    edges = np.ascontiguousarray(corners, np.float32)
    index, labels, kept = _core.detect.suppress(
        edges,
        np.ascontiguousarray(scores, np.float32),
        confidence_threshold,
        iou_threshold,
        TOP,
        LIMIT,
    )
    return FoundBoxes(np.clip(edges[index], 0, 1), labels, kept)
