"""A student that begins as MobileNetV2 (Sandler et al., CVPR 2018) with the numbers of a file.

The file's convolutions hold their batch normalisations already, and none is put back: a step costs
less, and batches may be small. Each output channel keeps a scale of its own beside its kernel, so
that a step of the optimiser means as much to a channel of small numbers as to one of large ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.graph import Graph
from training.importer import import_onnx
from training.recipe import Inherited

_STEM, _HEAD = 32, 1280
_STAGES = (
    # expansion, width, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_BEHIND = (1, 1, 0, 0, 1)
"""The side on which each halving pads, 0 before, 1 behind. Where a kernel of 3 halves, a cell is
centred beside the middle of its square; taking turns keeps that to 0.5, 4.5 and 3.5 pixels at
strides 8, 16 and 32, where one side alone comes to 15.5."""


class ScaledConv(nn.Module):
    """A convolution whose kernels are of norm about 1, and a scale for each."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
        self.scale = nn.Parameter(torch.ones(outputs))
        self.behind: int | None = None

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right."""
        pad = int(self.conv.padding[0])
        if self.behind is None:
            return (pad,) * 4
        return (pad * (1 - self.behind),) * 2 + (pad * self.behind,) * 2

    def forward(self, x: Tensor) -> Tensor:
        conv, pad = self.conv, self.conv.padding
        if self.behind is not None:
            top, left, bottom, right = self.pads
            x, pad = functional.pad(x, [left, right, top, bottom]), (0, 0)
        weight = conv.weight * self.scale[:, None, None, None]
        return functional.conv2d(x, weight, conv.bias, conv.stride, pad, 1, conv.groups)

    @torch.no_grad()
    def hold(self, weight: Tensor, bias: Tensor) -> None:
        """Take numbers over: kernel over its norm, and the norm as the scale."""
        assert self.conv.bias is not None
        norm = weight.flatten(1).norm(dim=1).clamp_min(1e-6)
        self.scale.copy_(norm)
        self.conv.weight.copy_(weight / norm[:, None, None, None])
        self.conv.bias.copy_(bias)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the plain convolution that equals this."""
        assert self.conv.bias is not None
        weight = self.conv.weight * self.scale[:, None, None, None]
        return weight.detach(), self.conv.bias.detach()

    @torch.no_grad()
    def become_stored(self) -> None:
        """Round the folded weights as a file keeps them."""
        weight, _ = self.folded()
        self.conv.weight.copy_(weight.half().float())
        self.scale.fill_(1.0)


class Bottleneck(nn.Module):
    """Widen, filter every channel by itself, narrow; the sum with the input where both fit."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = ScaledConv(inputs, wide) if expansion > 1 else None
        self.filter = ScaledConv(wide, wide, 3, stride, wide)
        self.narrow = ScaledConv(wide, outputs)
        self.residual = stride == 1 and inputs == outputs

    def widened(self, x: Tensor) -> Tensor:
        return x if self.expand is None else functional.relu6(self.expand(x))

    def forward(self, x: Tensor, wide: Tensor) -> Tensor:
        y: Tensor = self.narrow(functional.relu6(self.filter(wide)))
        return x + y if self.residual else y


class Mobile(nn.Module):
    """Returns (features [N, 1280 + 576], {8: map, 16: map, 32: map}), NCHW.

    `features` is the mean of the last map, then that of the widened map of stride 16.
    """

    dims: ClassVar[int] = _HEAD + 6 * 96
    widths: ClassVar[dict[int, int]] = {8: 32, 16: 96, 32: 320}

    def __init__(self, shape: Inherited) -> None:
        super().__init__()
        self.shape = shape
        self.stem = ScaledConv(3, _STEM, 3, 2)
        self.blocks = nn.ModuleList()
        width = _STEM
        for expansion, outputs, count, stride in _STAGES:
            for index in range(count):
                first = stride if index == 0 else 1
                self.blocks.append(Bottleneck(width, outputs, expansion, first))
                width = outputs
        self.head = ScaledConv(width, _HEAD)
        halving = [layer for layer in self._layers() if layer.conv.stride[0] == 2]
        for layer, behind in zip(halving, _BEHIND, strict=True):
            layer.behind = behind
        self.stem.requires_grad_(False)
        self.blocks[: shape.frozen].requires_grad_(False)

    def _layers(self) -> list[ScaledConv]:
        """In the order in which they work."""
        return [layer for layer in self.modules() if isinstance(layer, ScaledConv)]

    def forward(self, x: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        x = functional.relu6(self.stem(x))
        maps, stride, middle = {}, 2, x
        for block in self.blocks:
            assert isinstance(block, Bottleneck)
            wide = block.widened(x)
            if block.filter.conv.stride[0] == 2:
                maps[stride], middle, stride = x, wide, stride * 2
            x = block(x, wide)
        maps[stride] = x
        head = functional.relu6(self.head(x))
        pooled = [y.mean((2, 3), dtype=torch.float32) for y in (head, middle)]
        return torch.cat(pooled, 1), {s: maps[s] for s in self.widths}

    def write(self, graph: Graph) -> tuple[list[str], dict[int, str]]:
        """Adds the network behind `image`; returns (pooled tensors, map of each stride)."""
        x = graph.relu6(graph.conv("image", "stem", self.stem))
        maps, stride, middle = {}, 2, x
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Bottleneck)
            name, wide = f"block{index}", x
            if block.expand is not None:
                wide = graph.relu6(graph.conv(x, f"{name}.expand", block.expand))
            if block.filter.conv.stride[0] == 2:
                maps[stride], middle, stride = x, wide, stride * 2
            y = graph.relu6(graph.conv(wide, f"{name}.filter", block.filter))
            y = graph.conv(y, f"{name}.narrow", block.narrow)
            x = graph.add("Add", [x, y], f"{name}.sum") if block.residual else y
        maps[stride] = x
        head = graph.relu6(graph.conv(x, "head", self.head))
        pooled = [graph.pooled(head, "head"), graph.pooled(middle, "middle")]
        return pooled, {s: maps[s] for s in self.widths}

    def inherit(self, folder: Path) -> None:
        """Take the numbers of the file that the recipe names; raises ValueError if they differ."""
        path = folder / self.shape.file
        if not path.is_file():
            raise ValueError(f"no {path}: pass the folder that holds it as --teachers")
        module = import_onnx(path, ["features"]).module
        found = [conv for conv in module.modules() if isinstance(conv, nn.Conv2d)]
        layers = self._layers()
        if [_shapes(conv) for conv in found] != [_shapes(layer.conv) for layer in layers]:
            raise ValueError(f"{path} is not a MobileNetV2 with its batch normalisations folded")
        for layer, conv in zip(layers, found, strict=True):
            assert conv.bias is not None
            layer.hold(conv.weight, conv.bias)


def _shapes(conv: nn.Conv2d) -> list[torch.Size]:
    return [parameter.shape for parameter in conv.parameters()]
