"""The loss of detectors once more, in float64 and with a matrix of boxes by cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

Level = tuple[float, int, int]
"""Stride in pixels, height and width in cells."""


def centres(levels: list[Level]) -> tuple[Array, Array]:
    """Centre (cells, 2) and stride (cells,) of all cells, in pixels."""
    points, strides = [], []
    for stride, height, width in levels:
        y, x = np.mgrid[:height, :width]
        points.append((np.column_stack([x.ravel(), y.ravel()]) + 0.5) * stride)
        strides.append(np.full(width * height, float(stride)))
    return np.vstack(points), np.concatenate(strides)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


def overlaps(a: Array, b: Array) -> tuple[Array, Array]:
    """IoU and GIoU of boxes, which broadcast."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    hull = (np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])).prod(-1)
    return shared / union, shared / union - (hull - union) / hull


@dataclass(frozen=True)
class Twin:
    """Task-aligned assignment (Feng et al. 2021), varifocal (Zhang et al. 2021) and GIoU loss."""

    levels: list[Level]
    classes: int

    def predicted(self, distances: Array) -> Array:
        points, _ = centres(self.levels)
        return np.concatenate([points - distances[..., :2], points + distances[..., 2:]], axis=-1)

    def assign(
        self, logits: Array, distances: Array, boxes: Array, labels: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int64], Array]:
        """Owner (-1: none) and target of each cell of one picture."""
        points, strides = centres(self.levels)
        cells = len(points)
        if not len(boxes):
            return np.full(cells, -1), np.zeros(cells)
        iou, _ = overlaps(self.predicted(distances)[None], boxes[:, None])
        values = sigmoid(logits)[:, labels].T * iou**6
        inside = (points > boxes[:, None, :2]).all(-1) & (points < boxes[:, None, 2:]).all(-1)
        middles = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        near = (np.abs(points - middles) <= strides[:, None]).all(-1)
        values = np.where(inside | near, values, 0.0)
        chosen = np.zeros_like(values)
        for row, own in zip(chosen, values, strict=True):
            best = np.argsort(-own, kind="stable")[:10]
            row[best] = own[best]
        owners = np.where(chosen.max(0) > 0, chosen.argmax(0), -1)
        targets = np.zeros(cells)
        for box in range(len(boxes)):
            own = owners == box
            if own.any():
                targets[own] = chosen[box, own] / chosen[box, own].max() * iou[box, own].max()
        return owners, targets

    def loss(
        self,
        logits: Array,
        distances: Array,
        owners: npt.NDArray[np.int64],
        targets: Array,
        boxes: list[Array],
        labels: list[npt.NDArray[np.int32]],
    ) -> tuple[float, float]:
        """Classification and box loss of (n, cells, ...) for constant targets."""
        total = max(1.0, float(targets.sum()))
        p, soft = sigmoid(logits), softplus(logits)
        costs = 0.75 * p**2 * soft
        outside = 0.0
        for picture in range(len(logits)):
            own = np.flatnonzero(owners[picture] >= 0)
            if not len(own):
                continue
            box, t = owners[picture, own], targets[picture, own]
            label = labels[picture][box]
            x = logits[picture, own, label]
            costs[picture, own, label] = t * (softplus(x) - t * x)
            _, giou = overlaps(self.predicted(distances[picture])[own], boxes[picture][box])
            outside += float((t * (1 - giou)).sum())
        return float(costs.sum()) / total, outside / total
