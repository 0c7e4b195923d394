"""The student: convolutions, ReLU, additions and means; everything else folds away.

A block is x -> x + depthwise(x), then x -> x + project(relu(expand(x))), after RepViT (Wang et al.,
CVPR 2024). The first sum folds into the depthwise kernel's centre. Halving uses even kernels (4x4,
padding 1), so cell (i, j) of a map is centred on its own square of the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.graph import Graph
from training.recipe import Architecture


class ConvNorm(nn.Module):
    """A convolution without bias and a batch normalisation: one convolution once folded.

    With `residual` the input is added, which folds into the kernel's centre: stride 1, as many
    groups as channels, odd kernel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        residual: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = residual
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="relu")
        nn.init.constant_(self.norm.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return x + y if self.residual else y

    @property
    def pads(self) -> tuple[int, int, int, int]:
        return (int(self.conv.padding[0]),) * 4

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that equals this in evaluation."""
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = self.conv.weight.double() * scale[:, None, None, None]
        bias = norm.bias.double() - norm.running_mean.double() * scale
        if self.residual:
            middle = weight.shape[-1] // 2
            weight[:, 0, middle, middle] += 1
        return weight.float().detach(), bias.float().detach()

    @torch.no_grad()
    def become_stored(self) -> None:
        """Round the folded weights as a file keeps them."""
        weight, bias = self.folded()
        self.conv.weight.copy_(weight.half().float())
        self.residual = False
        self.norm = nn.BatchNorm2d(len(bias), eps=0.0).eval()
        self.norm.bias.copy_(bias)


class Block(nn.Module):
    """Mix neighbours per channel, then mix channels; both residual."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.mix = ConvNorm(width, width, 3, groups=width, residual=True, gain=0.5)
        self.expand = ConvNorm(width, width * expansion)
        self.project = ConvNorm(width * expansion, width, gain=0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(x)
        y: Tensor = self.project(functional.relu(self.expand(x)))
        return x + y

    def write(self, graph: Graph, x: str, name: str) -> str:
        x = graph.conv(x, f"{name}.mix", self.mix)
        y = graph.relu(graph.conv(x, f"{name}.expand", self.expand))
        y = graph.conv(y, f"{name}.project", self.project)
        return graph.add("Add", [x, y], f"{name}.sum")


class Halve(nn.Module):
    """Half the height and width, other channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(inputs, inputs, 4, 2, groups=inputs)
        self.widen = ConvNorm(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.widen(self.reduce(x))
        return y

    def write(self, graph: Graph, x: str, name: str) -> str:
        return graph.conv(graph.conv(x, f"{name}.reduce", self.reduce), f"{name}.widen", self.widen)


class Student(nn.Module):
    """Returns (features [N, pooled32 + pooled16], {8: map, 16: map, 32: map}), NCHW."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.dims = shape.pooled32 + shape.pooled16
        self.widths = {8: shape.widths[1], 16: shape.widths[2], 32: shape.widths[3]}
        self.stem = ConvNorm(3, shape.stem, 4, 2)
        before = (shape.stem, *shape.widths[:-1])
        self.halves = nn.ModuleList(Halve(a, b) for a, b in zip(before, shape.widths, strict=True))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, shape.expansion) for _ in range(depth)))
            for width, depth in zip(shape.widths, shape.depths, strict=True)
        )
        self.head16 = ConvNorm(shape.widths[2], shape.pooled16)
        self.head32 = ConvNorm(shape.widths[3], shape.pooled32)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        x = functional.relu(self.stem(x))
        maps = {}
        for number, (halve, stage) in enumerate(zip(self.halves, self.stages, strict=True)):
            x = stage(halve(x))
            maps[4 << number] = x
        deep = functional.relu(self.head32(maps[32])).mean((2, 3), dtype=torch.float32)
        middle = functional.relu(self.head16(maps[16])).mean((2, 3), dtype=torch.float32)
        return torch.cat([deep, middle], 1), {stride: maps[stride] for stride in (8, 16, 32)}

    def write(self, graph: Graph) -> tuple[list[str], dict[int, str]]:
        """Adds the network behind `image`; returns (pooled tensors, map of each stride)."""
        x = graph.relu(graph.conv("image", "stem", self.stem))
        maps = {}
        for number, (halve, stage) in enumerate(zip(self.halves, self.stages, strict=True)):
            assert isinstance(halve, Halve)
            assert isinstance(stage, nn.Sequential)
            x = halve.write(graph, x, f"halve{number}")
            for index, block in enumerate(stage):
                assert isinstance(block, Block)
                x = block.write(graph, x, f"stage{number}.{index}")
            maps[4 << number] = x
        heads = ((32, "head32", self.head32), (16, "head16", self.head16))
        pooled = [
            graph.pooled(graph.relu(graph.conv(maps[stride], name, head)), name)
            for stride, name, head in heads
        ]
        return pooled, {stride: maps[stride] for stride in (8, 16, 32)}
