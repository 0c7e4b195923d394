"""Pictures drawn by rule, on the device: variety without anyone's photographs.

Dead leaves (Baradad et al., NeurIPS 2021), sinusoid shaders (Baradad et al., NeurIPS 2022, in
spirit) and fractals (after Kataoka et al., ACCV 2020; here Julia sets by escape time).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_CHUNK = 64


class _Dice:
    """Uniform numbers from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def __call__(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        numbers = torch.rand(*shape, generator=self.generator, device=self.generator.device)
        return numbers * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.generator.device)


def _plane(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    line = torch.linspace(-1, 1, side, device=device)
    return line[None, :, None], line[None, None, :]


def _leaves(count: int, side: int, dice: _Dice) -> Tensor:
    """Discs, squares and diamonds of power-law sizes, each striped, falling on one another."""
    y, x = _plane(side, dice.generator.device)
    canvas = dice(count, 3, 1, 1).expand(count, 3, side, side).clone()
    for _ in range(48):
        radius = 0.07 * (1 - dice(count, 1, 1)).clamp_min(1e-3) ** (-1 / 1.6)
        cy, cx = dice(count, 1, 1, low=-1.1, high=1.1), dice(count, 1, 1, low=-1.1, high=1.1)
        angle = dice(count, 1, 1, high=math.pi)
        u = (x - cx) * angle.cos() + (y - cy) * angle.sin()
        v = (y - cy) * angle.cos() - (x - cx) * angle.sin()
        power = torch.floor(dice(count, 1, 1, high=3))
        distance = torch.where(
            power == 0,
            (u * u + v * v).sqrt(),
            torch.where(power == 1, torch.maximum(u.abs(), v.abs()), u.abs() + v.abs()),
        )
        inside = (distance < radius)[:, None]
        wave = torch.sin(u * dice(count, 1, 1, low=5, high=120) + dice(count, 1, 1, high=6.3))
        texture = (wave * dice(count, 1, 1, low=-0.15, high=0.3))[:, None]
        canvas = torch.where(inside, dice(count, 3, 1, 1) + texture, canvas)
    return canvas


def _shaders(count: int, side: int, dice: _Dice) -> Tensor:
    """A small random network of sines from place to colour."""
    y, x = _plane(side, dice.generator.device)
    x, y = x.expand(1, side, side), y.expand(1, side, side)
    place = torch.stack([x, y, (x * x + y * y).sqrt(), torch.ones_like(x)], 1).flatten(2)
    scale = torch.exp(dice(count, 1, 1, low=-0.7, high=2.2))
    h = torch.sin((dice.normal(count, 16, 4) * scale) @ place)
    for _ in range(2):
        h = torch.sin((dice.normal(count, 16, 16) * dice(count, 1, 1, low=0.3, high=1.5)) @ h)
    return (0.5 + 0.35 * (dice.normal(count, 3, 16) * 0.4) @ h).view(count, 3, side, side)


def _fractals(count: int, side: int, dice: _Dice) -> Tensor:
    """Julia sets near the border of the Mandelbrot set, under a random palette."""
    y, x = _plane(side, dice.generator.device)
    turn = dice(count, 1, 1, high=2 * math.pi)
    reach = dice(count, 1, 1, low=0.92, high=1.12)
    cr = reach * (turn.cos() / 2 - (2 * turn).cos() / 4)
    ci = reach * (turn.sin() / 2 - (2 * turn).sin() / 4)
    zoom = dice(count, 1, 1, low=0.3, high=1.6)
    zr = x * zoom + dice(count, 1, 1, low=-0.4, high=0.4) + 0 * y
    zi = y * zoom + dice(count, 1, 1, low=-0.4, high=0.4) + 0 * x
    escape = torch.zeros_like(zr)
    for _ in range(48):
        zr, zi = (zr * zr - zi * zi + cr).clamp(-8, 8), (2 * zr * zi + ci).clamp(-8, 8)
        escape = escape + (zr * zr + zi * zi < 16)
    level = (escape / 48 + 0.05 * torch.atan2(zi, zr))[:, None]
    phase, speed = dice(count, 3, 1, 1, high=6.3), dice(count, 3, 1, 1, low=2, high=14)
    return 0.5 + 0.45 * torch.sin(phase + speed * level)


def draw(count: int, side: int, generator: torch.Generator) -> Tensor:
    """uint8 [count, 3, side, side]: a third of each kind."""
    dice, kinds = _Dice(generator), (_leaves, _shaders, _fractals)
    pictures = []
    for number, kind in enumerate(kinds):
        left = (count + 2 - number) // 3
        while left > 0:
            part = min(left, _CHUNK)
            pictures.append((kind(part, side, dice).clamp(0, 1) * 255).round().byte())
            left -= part
    return torch.cat(pictures)
