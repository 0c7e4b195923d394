"""The detector's head in torch, with the parameters of one of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Input = tuple[int, int, int, int]
"""Stride, channels, height, width."""


class Block(nn.Module):
    """A convolution, batch normalisation and rectification of one or several maps.

    With `together` the statistics are of all maps at once, as in ours; without, of each map by
    itself: less for torch to copy, and not the same network.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.together = True

    def forward(self, *maps: torch.Tensor) -> list[torch.Tensor]:
        outs = [self.convolution(x) for x in maps]
        if len(outs) == 1 or not self.together:
            return [functional.relu(self.norm(x)) for x in outs]
        flat = torch.cat([x.flatten(2) for x in outs], 2)[..., None]
        flat = functional.relu(self.norm(flat))[..., 0]
        parts = flat.split([x.shape[2] * x.shape[3] for x in outs], 2)
        return [part.reshape(x.shape) for part, x in zip(parts, outs, strict=True)]


class Head(nn.Module):
    """`cpp/detect/network.h` says what it computes."""

    def __init__(self, network: Any, inputs: list[Input]) -> None:
        super().__init__()
        shapes = {name: shape for name, (_, shape, _) in network.parameter_list.items()}
        self.inputs, self.strides = inputs, [stride for stride, *_ in network.levels]
        self.blocks = nn.ModuleDict()
        for name, shape in shapes.items():
            if name.endswith(".kernel") and name != "predictor.kernel":
                stride = 2 if name == f"level{2 * inputs[-1][0]}.kernel" else 1
                size = 3 if len(shape) == 4 else 1
                self.blocks[name.removesuffix(".kernel")] = Block(*shape[-2:], size, stride)
        self.predictor = nn.Conv2d(*shapes["predictor.kernel"], 1)
        self.scale = nn.Parameter(torch.zeros(len(self.strides)))

    @classmethod
    def of(cls, network: Any, inputs: list[Input], mean: Any, deviation: Any) -> Head:
        """With copies of a `_core.detect.Network`'s parameters and statistics."""
        head = cls(network, inputs)
        head.mean, head.deviation = torch.tensor(mean), torch.tensor(deviation)
        flat, statistics = network.parameters, network.statistics
        with torch.no_grad():
            for name, parameter in head.named().items():
                offset, shape, _ = network.parameter_list[name]
                array = flat[offset : offset + parameter.numel()].reshape(shape)
                parameter.copy_(torch.tensor(_theirs(array)).reshape(parameter.shape))
            for name, block in head.blocks.items():
                for kind, buffer in (
                    ("mean", block.norm.running_mean),
                    ("variance", block.norm.running_var),
                ):
                    offset = network.statistic_list[f"{name}.{kind}"][0]
                    buffer.copy_(torch.tensor(statistics[offset : offset + buffer.numel()]))
        return head

    def named(self) -> dict[str, nn.Parameter]:
        """Parameters under the names of ours."""
        found: dict[str, nn.Parameter] = {
            "predictor.kernel": self.predictor.weight,
            "predictor.bias": self.predictor.bias,
            "predictor.scale": self.scale,
        }
        for name, block in self.blocks.items():
            found[f"{name}.kernel"] = block.convolution.weight
            found[f"{name}.gamma"], found[f"{name}.beta"] = block.norm.weight, block.norm.bias
        return found

    def gradients(self) -> dict[str, np.ndarray]:
        """Under the names of ours, shaped like ours."""
        return {name: _ours(p.grad.numpy()) for name, p in self.named().items()}

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, cells, classes) and distances (n, cells, 4) of float16 rows."""
        maps = [
            self.blocks[f"lateral{stride}"](x)[0]
            for (stride, *_), x in zip(self.inputs, self.standardised(rows), strict=True)
        ]
        for name, block in self.blocks.items():
            if name.startswith("context"):
                maps[-1] = maps[-1] + block(maps[-1])[0]
        for i in reversed(range(len(maps) - 1)):
            maps[i] = maps[i] + functional.interpolate(maps[i + 1], scale_factor=2.0)
        coarser = maps[-1:] * (len(self.strides) - len(maps))
        levels = [
            self.blocks[f"level{stride}"](x)[0]
            for stride, x in zip(self.strides, maps + coarser, strict=True)
        ]
        for name, block in self.blocks.items():
            if name.startswith("tower"):
                levels = block(*levels)
        logits, distances = [], []
        for stride, x, constant in zip(self.strides, levels, self.scale, strict=True):
            out = self.predictor(x).flatten(2).transpose(1, 2)
            logits.append(out[..., :-4])
            distances.append(stride * torch.exp((out[..., -4:] + constant).clamp(-4, 4.5)))
        return torch.cat(logits, 1), torch.cat(distances, 1)

    def standardised(self, rows: torch.Tensor) -> list[torch.Tensor]:
        sizes = [channels * height * width for _, channels, height, width in self.inputs]
        planes = [channels for _, channels, _, _ in self.inputs]
        means, deviations = self.mean.split(planes), self.deviation.split(planes)
        return [
            (part.float().reshape(-1, *shape) - mean[:, None, None]) / deviation[:, None, None]
            for part, (_, *shape), mean, deviation in zip(
                rows.split(sizes, 1), self.inputs, means, deviations, strict=True
            )
        ]


def _theirs(array: np.ndarray) -> np.ndarray:
    """(height, width, inputs, outputs) to (outputs, inputs, height, width)."""
    if array.ndim == 2:
        return array.T.copy()
    return array.transpose(3, 2, 0, 1).copy() if array.ndim == 4 else array.copy()


def _ours(array: np.ndarray) -> np.ndarray:
    if array.ndim != 4:
        return array
    turned = array.transpose(2, 3, 1, 0)
    return turned[0, 0] if array.shape[2] == 1 else turned
