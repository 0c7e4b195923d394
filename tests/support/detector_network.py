"""The detector's network once more, in float64 and with NumPy alone: forward only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint import _core

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

Input = tuple[int, int, int, int]
"""Stride, channels, height, width."""

EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    """What a network is made of; the names are those of `_core.detect.Network`."""

    inputs: list[Input]
    classes: int = 3
    channels: int = 16
    context: int = 2
    tower: int = 2
    coarser: bool = True
    seed: int = 0
    mean: Floats = field(init=False)
    deviation: Floats = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(7)
        planes = sum(channels for _, channels, _, _ in self.inputs)
        object.__setattr__(self, "mean", rng.normal(size=planes).astype(np.float32))
        object.__setattr__(self, "deviation", rng.uniform(0.5, 2, planes).astype(np.float32))

    def network(self, batch: int = 8, threads: int = 0) -> Any:
        """The real one, every parameter and statistic moved away from its first value."""
        network = _core.detect.Network(
            self.inputs, self.classes, self.mean, self.deviation,
            channels=self.channels, context=self.context, tower=self.tower, coarser=self.coarser,
            batch=batch, seed=self.seed, threads=threads,
        )  # fmt: skip
        rng = np.random.default_rng(self.seed)
        moved = network.parameters + rng.normal(0, 0.1, network.parameters.size)
        network.parameters = moved.astype(np.float32)
        moved = network.statistics + rng.uniform(0, 0.3, network.statistics.size)
        network.statistics = moved.astype(np.float32)
        return network

    def rows(self, n: int, seed: int = 0) -> npt.NDArray[np.float16]:
        size = sum(channels * height * width for _, channels, height, width in self.inputs)
        return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float16)


def named(flat: npt.NDArray[Any], listed: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a flat vector, as views."""
    return {
        name: flat[offset : offset + int(np.prod(shape))].reshape(shape)
        for name, (offset, shape, _) in listed.items()
    }


class Twin:
    """What a network computes, from flat float64 parameters; the moments of each batch are kept."""

    def __init__(self, shape: Shape, network: Any) -> None:
        self.shape = shape
        self.parameter_list = network.parameter_list
        self.statistics = named(network.statistics.astype(np.float64), network.statistic_list)
        self.batch_moments: dict[str, tuple[Doubles, Doubles, int]] = {}

    def __call__(
        self, parameters: Doubles, rows: npt.NDArray[np.float16], training: bool
    ) -> tuple[Doubles, Doubles]:
        """Logits (n, cells, classes) and distances (n, cells, 4), pixels."""
        self.p, self.training = named(parameters, self.parameter_list), training
        strides = [stride for stride, *_ in self.shape.inputs]
        maps = [
            self.rectified(f"lateral{stride}", [x @ self.p[f"lateral{stride}.kernel"]])[0]
            for stride, x in zip(strides, self.standardised(rows), strict=True)
        ]
        for i in range(self.shape.context):
            maps[-1] = maps[-1] + self.square(f"context{i}", [maps[-1]])[0]
        for level in reversed(range(len(maps) - 1)):
            maps[level] = maps[level] + maps[level + 1].repeat(2, 1).repeat(2, 2)
        levels = [self.square(f"level{s}", [x])[0] for s, x in zip(strides, maps, strict=True)]
        if self.shape.coarser:
            strides.append(2 * strides[-1])
            levels += self.square(f"level{strides[-1]}", [maps[-1]], stride=2)
        for i in range(self.shape.tower):
            levels = self.square(f"tower{i}", levels)
        logits, distances = [], []
        for stride, x, constant in zip(strides, levels, self.p["predictor.scale"], strict=True):
            out = x @ self.p["predictor.kernel"] + self.p["predictor.bias"]
            out = out.reshape(len(rows), -1, out.shape[-1])
            logits.append(out[..., : self.shape.classes])
            exponent = np.clip(out[..., self.shape.classes :] + constant, -4, 4.5)
            distances.append(stride * np.exp(exponent))
        return np.concatenate(logits, 1), np.concatenate(distances, 1)

    def standardised(self, rows: npt.NDArray[np.float16]) -> list[Doubles]:
        """Each input as (n, height, width, channels)."""
        maps, begin, channel = [], 0, 0
        for _, channels, height, width in self.shape.inputs:
            end = begin + channels * height * width
            x = rows[:, begin:end].astype(np.float64).reshape(-1, channels, height, width)
            own = slice(channel, channel + channels)
            x = np.moveaxis(x, 1, -1) - self.shape.mean[own].astype(np.float64)
            maps.append(x / self.shape.deviation[own])
            begin, channel = end, channel + channels
        return maps

    def square(self, name: str, maps: list[Doubles], stride: int = 1) -> list[Doubles]:
        kernel = self.p[f"{name}.kernel"]
        outs = []
        for x in maps:
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            height, width = x.shape[1:3]
            outs.append(
                np.sum(
                    [
                        padded[:, dy : dy + height : stride, dx : dx + width : stride]
                        @ kernel[dy, dx]
                        for dy in range(3)
                        for dx in range(3)
                    ],
                    axis=0,
                )
            )
        return self.rectified(name, outs)

    def rectified(self, name: str, maps: list[Doubles]) -> list[Doubles]:
        """Normalised over all maps together, and rectified."""
        cells = np.concatenate([x.reshape(-1, x.shape[-1]) for x in maps])
        mean, variance = self.statistics[f"{name}.mean"], self.statistics[f"{name}.variance"]
        if self.training:
            mean, variance = cells.mean(0), cells.var(0)
            self.batch_moments[name] = mean, variance, len(cells)
        scale = self.p[f"{name}.gamma"] / np.sqrt(variance + EPSILON)
        return [np.maximum((x - mean) * scale + self.p[f"{name}.beta"], 0) for x in maps]
