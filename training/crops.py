"""Crops from the bank, mixed and re-coloured, on the device.

Teacher and student see the same crop (Beyer et al., CVPR 2022), so anything goes here: no label
has to survive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.pictures import Bank

_CHUNK = 512


@dataclass(frozen=True)
class Plan:
    """Pixels of a crop, the share drawn by rule (the bank's last `drawn` pictures), of collages."""

    size: int
    drawn: int
    drawn_share: float
    collage: float
    mixing: bool = True


class _Dice:
    def __init__(self, generator: torch.Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def __call__(self, low: float = 0.0, high: float = 1.0, width: int = 1) -> Tensor:
        shape = (self.count, width, 1, 1)
        numbers = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return numbers * (high - low) + low

    def chance(self, share: float) -> Tensor:
        return self() < share

    def order(self) -> Tensor:
        return torch.randperm(self.count, generator=self.generator, device=self.generator.device)


def _cut(bank: Bank, plan: Plan, count: int, dice: _Dice) -> Tensor:
    """Random boxes, turned and mirrored: float [count, 3, size, size], 0..255."""
    real = len(bank) - plan.drawn
    first = dice().flatten()
    pick = (first * real).long().clamp_max(max(real - 1, 0))
    if plan.drawn:
        other = real + (first * plan.drawn).long().clamp_max(plan.drawn - 1)
        pick = torch.where(dice.chance(plan.drawn_share).flatten(), other, pick)
    height, width = (bank.sizes[pick, axis].view(-1, 1, 1) for axis in (0, 1))
    area = torch.exp(dice(math.log(0.1), 0.0)).view(-1, 1, 1)
    area = torch.where(dice.chance(0.15).view(-1, 1, 1), torch.ones_like(area), area)
    ratio = torch.exp(dice(-0.35, 0.35)).view(-1, 1, 1)
    h = torch.minimum((height * width * area / ratio).sqrt(), height)
    w = torch.minimum((height * width * area * ratio).sqrt(), width)
    cy = h / 2 + dice().view(-1, 1, 1) * (height - h)
    cx = w / 2 + dice().view(-1, 1, 1) * (width - w)
    turned = dice.chance(0.3) * dice(-0.35, 0.35)
    quarter = dice.chance(0.1) * torch.floor(dice(0, 4)) * (math.pi / 2)
    angle = (turned + quarter).view(-1, 1, 1)
    mirror = torch.where(dice.chance(0.5), -1.0, 1.0).view(-1, 1, 1)
    line = (torch.arange(plan.size, device=first.device) + 0.5) / plan.size - 0.5
    v, u = line.view(1, -1, 1), line.view(1, 1, -1) * mirror
    x = cx + w * (u * angle.cos() - v * angle.sin())
    y = cy + h * (u * angle.sin() + v * angle.cos())
    # In grid_sample's coordinates, held inside the picture: the square's rest is not picture.
    side = bank.pixels.shape[-1]
    x = torch.minimum(x.clamp_min(0.5), width - 0.5) * (2 / side) - 1
    y = torch.minimum(y.clamp_min(0.5), height - 0.5) * (2 / side) - 1
    grid = torch.stack([x, y], -1)
    return functional.grid_sample(
        bank.pixels[pick].float(), grid, "bilinear", "border", align_corners=False
    )


def _collage(crops: Tensor, share: float, dice: _Dice) -> Tensor:
    """Four crops at half size as one: dense, and sharp although its sources are small."""
    half = functional.avg_pool2d(crops, 2)
    a, b, c, d = (half[dice.order()] for _ in range(4))
    four = torch.cat([torch.cat([a, b], 3), torch.cat([c, d], 3)], 2)
    return torch.where(dice.chance(share), four, crops)


def _mix(crops: Tensor, dice: _Dice) -> Tensor:
    """A quarter blended in pairs, a tenth with a box of another crop."""
    weight = torch.where(dice.chance(0.25), dice(), torch.ones_like(dice()))
    crops = crops * weight + crops[dice.order()] * (1 - weight)
    size = crops.shape[-1]
    line = (torch.arange(size, device=crops.device) + 0.5) / size
    top, left, height, width = (dice(0, 0.7) for _ in range(4))
    rows = (line.view(1, 1, -1, 1) > top) & (line.view(1, 1, -1, 1) < top + height)
    columns = (line.view(1, 1, 1, -1) > left) & (line.view(1, 1, 1, -1) < left + width)
    return torch.where(rows & columns & dice.chance(0.1), crops[dice.order()], crops)


def _colour(crops: Tensor, dice: _Dice) -> Tensor:
    """Brightness, contrast, saturation, tint, gamma; sharper or softer; noise. In part, not all."""
    x = crops / 255
    change = dice.chance(0.6)
    grey = x.mean(1, keepdim=True)
    saturation = torch.where(dice.chance(0.08), torch.zeros_like(change.float()), dice(0.4, 1.5))
    y = grey + (x - grey) * saturation
    y = (y - 0.5) * dice(0.6, 1.4) + 0.5 + dice(-0.12, 0.12)
    y = (y * dice(0.88, 1.12, 3)).clamp(0, 1)
    y = torch.where(dice.chance(0.3), y.clamp_min(1e-4) ** torch.exp(dice(-0.5, 0.5)), y)
    x = torch.where(change, y, x)
    soft = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    x = torch.where(dice.chance(0.35), x + (x - soft) * dice(-1.0, 2.0), x)
    noise = torch.randn(x.shape, generator=dice.generator, device=x.device)
    x = torch.where(dice.chance(0.1), x + noise * dice(0.0, 0.06), x)
    return (x.clamp(0, 1) * 255).round()


def make(bank: Bank, plan: Plan, count: int, generator: torch.Generator) -> Tensor:
    """uint8 [count, 3, size, size], channels last in memory."""
    parts = []
    for start in range(0, count, _CHUNK):
        part = min(_CHUNK, count - start)
        dice = _Dice(generator, part)
        crops = _cut(bank, plan, part, dice)
        if plan.mixing:
            crops = _mix(_collage(crops, plan.collage, dice), dice)
            crops = _colour(crops, dice)
        pixels = crops.round().clamp(0, 255).byte()
        parts.append(pixels.contiguous(memory_format=torch.channels_last))
    return torch.cat(parts)
