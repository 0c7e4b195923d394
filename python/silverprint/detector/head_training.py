"""The training of a detection head on the rows of a backbone's maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.annotations.resolve import ResolvedBoxes
from silverprint.detector.boxes import centres_of, found_boxes
from silverprint.detector.recipe import Recipe
from silverprint.features.maps import MapShape
from silverprint.model.detection_graph import DetectionHead
from silverprint.model.detection_results import FoundBoxes
from silverprint.training.state import State

_SAMPLE = 200
"""Rows that the means and deviations of the channels are taken from."""

_LEAST = 1e-6

Rows = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class DetectionProblem:
    """What a head is trained on.

    Attributes:
        maps: channels, height and width at each stride, finest first.
        rows: float16 (pictures, 1 + views, d), the maps one after the other.
        geometry: float32 (pictures, 1 + views, 5), what each view shows; see `scene_views`.
        chosen: int64, the pictures to train on; the others' rows hold anything.
        boxes: of each picture.
        classes: number of labels.
        size: (height, width) of the tensor in pixels.
    """

    maps: Mapping[int, MapShape]
    rows: Rows
    geometry: npt.NDArray[np.float32]
    chosen: npt.NDArray[np.int64]
    boxes: Sequence[ResolvedBoxes]
    classes: int
    size: tuple[int, int]


class HeadTraining:
    """A head in training: optimiser steps one by one; a restored one goes on bit for bit.

    Args:
        problem: must stay as it is meanwhile.
        recipe: its strides are those of the maps.
        seed: of first weights, order and views.
        threads: of the core; 0: all.
    """

    def __init__(
        self, problem: DetectionProblem, recipe: Recipe, seed: int = 0, threads: int = 0
    ) -> None:
        self._problem, self._recipe, self._threads = problem, recipe, threads
        inputs = [(stride, *problem.maps[stride]) for stride in recipe.strides]
        mean, deviation = channel_statistics(problem.rows[problem.chosen], inputs)
        self._mean, self._deviation = mean, deviation
        self._network: dict[str, Any] = {
            "inputs": inputs,
            "classes": problem.classes,
            "mean": mean,
            "deviation": deviation,
            "channels": recipe.channels,
            "context": recipe.context,
            "tower": recipe.tower,
            "coarser": recipe.coarser,
            "batch": recipe.batch,
            "seed": seed,
            "threads": threads,
        }
        self._trainer = _core.detect.Trainer(
            rows=problem.rows,
            geometry=problem.geometry,
            chosen=problem.chosen,
            counts=np.asarray([len(one.labels) for one in problem.boxes], np.int64),
            boxes=np.concatenate([np.zeros((0, 4), np.float32), *(b.edges for b in problem.boxes)]),
            labels=np.concatenate([np.zeros(0, np.int32), *(b.labels for b in problem.boxes)]),
            rate=recipe.rate,
            steps=recipe.steps,
            **self._network,
        )

    @property
    def iteration(self) -> int:
        """Steps done."""
        return int(self._trainer.steps)

    @property
    def loss(self) -> float:
        """Of the last batch."""
        classification, boxes = self._trainer.loss
        return float(classification + 2 * boxes)

    def step(self, cancel: _core.runtime.CancelToken) -> bool:
        """One batch; False after the last.

        Raises:
            TrainingCancelled: `cancel` was cancelled.
        """
        return bool(self._trainer.step(cancel))

    def state(self) -> State:
        """All that the next step depends on."""
        return State.of(self._trainer.state())

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        self._trainer.restore(state.as_dict())

    def head(self) -> DetectionHead:
        """The averaged head of now."""
        network = self._averaged()
        return DetectionHead(
            _named(network.parameters, network.parameter_list),
            _named(network.statistics, network.statistic_list),
            self._mean,
            self._deviation,
            tuple((int(s), int(h), int(w)) for s, h, w in network.levels),
            self._problem.classes,
            self._recipe.context,
            self._recipe.tower,
        )

    def found(
        self, rows: Rows, confidence_threshold: float = 0.01, iou_threshold: float = 0.6
    ) -> Iterator[FoundBoxes]:
        """What the averaged head of now finds in pictures, from their own rows, float16 (n, d)."""
        network = self._averaged()
        centres = centres_of(network.levels)
        height, width = self._problem.size
        sides = np.asarray([width, height] * 2, np.float32)
        for start in range(0, len(rows), self._recipe.batch):
            block = np.ascontiguousarray(rows[start : start + self._recipe.batch])
            logits, distances = network.forward(block, False)
            for own, edges in zip(logits, distances, strict=True):
                corners = np.concatenate([centres - edges[:, :2], centres + edges[:, 2:]], axis=1)
                scores = 1 / (1 + np.exp(-own.astype(np.float64)))
                yield found_boxes(corners / sides, scores, confidence_threshold, iou_threshold)

    def _averaged(self) -> _core.detect.Network:
        network = _core.detect.Network(**self._network)
        network.parameters, network.statistics = self._trainer.average
        return network


def channel_statistics(
    rows: npt.NDArray[np.float16], inputs: Sequence[tuple[int, int, int, int]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and deviation of each channel of the maps, over some pictures and all of their cells.

    Args:
        rows: (pictures, 1 + views, d); the pictures themselves count.
        inputs: (stride, channels, height, width) of each map in a row.
    """
    places = np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int))
    sample = rows[places, 0]
    means, deviations, start = [], [], 0
    for _, channels, height, width in inputs:
        end = start + channels * height * width
        values = sample[:, start:end].astype(np.float32).reshape(len(sample), channels, -1)
        means.append(values.mean(axis=(0, 2), dtype=np.float64))
        deviations.append(values.std(axis=(0, 2), dtype=np.float64))
        start = end
    mean, deviation = np.concatenate(means), np.concatenate(deviations)
    # A channel that never changes says nothing, and must not be enlarged.
    least = max(_LEAST, 1e-4 * float(np.median(deviation)))
    return mean.astype(np.float32), np.maximum(deviation, least).astype(np.float32)


def _named(
    flat: npt.NDArray[np.float32], listed: Mapping[str, Any]
) -> dict[str, npt.NDArray[np.float32]]:
    return {
        name: flat[offset : offset + int(np.prod(shape))].reshape(shape)
        for name, (offset, shape, _) in listed.items()
    }
