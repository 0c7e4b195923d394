"""The distance between student and teachers, through linear adapters that are thrown away."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.networks import Network
from training.recipe import Recipe
from training.teachers import MapTarget, Targets, TeacherSet


@dataclass(frozen=True)
class Look:
    """How the student sees a crop: its pixels, mirrored or not, of a canvas of `canvas` pixels."""

    size: int
    canvas: int
    mirrored: bool


def cells(place: MapTarget, look: Look, length: int) -> tuple[Tensor, Tensor]:
    """Interpolates a teacher's map (`length` cells a side) at the centres of the student's cells.

    Returns (matrix [student cells, length], inside [student cells]): valid convolutions leave a
    teacher without cells near the border, and there nothing is asked of the student.
    """
    count = look.size // place.target.stride
    centre = (torch.arange(count, dtype=torch.float64) + 0.5) * place.target.stride / look.size
    if look.mirrored:
        centre = 1 - centre
    at = (centre * look.canvas - 0.5 - place.geometry.offset) / place.geometry.stride
    inside = (at > -0.51) & (at < length - 0.49)
    at = at.clamp(0, length - 1)
    low = at.floor().clamp(0, max(length - 2, 0))
    high = (low + 1).clamp_max(length - 1)
    share = at - low
    matrix = torch.zeros(count, length, dtype=torch.float64)
    rows = torch.arange(count)
    matrix[rows, low.long()] += 1 - share
    matrix[rows, high.long()] += share
    return matrix.float(), inside.float()


class Objective(nn.Module):
    """Mean squared error on standardised targets: 1 is knowing nothing but the mean."""

    def __init__(self, recipe: Recipe, teachers: TeacherSet, student: Network) -> None:
        super().__init__()
        self.places = teachers.maps
        self.maps_weight = recipe.maps_weight
        pooled = teachers.pooled
        self.norm = nn.BatchNorm1d(student.dims, affine=False)
        self.pooled = nn.Linear(student.dims, sum(t.dims for t in pooled))
        self.maps = nn.ModuleList(
            nn.Conv2d(student.widths[m.target.stride], m.target.dims, 1) for m in self.places
        )
        for adapter in (self.pooled, *self.maps):
            for parameter in adapter.parameters():
                nn.init.zeros_(parameter)
        total = sum(t.weight for t in pooled)
        weights = torch.cat([torch.full((t.dims,), t.weight / t.dims / total) for t in pooled])
        self.register_buffer("weights", weights, persistent=False)
        self._cells: dict[tuple[int, Look, int], tuple[Tensor, Tensor]] = {}

    def forward(
        self, features: Tensor, maps: dict[int, Tensor], targets: Targets, look: Look
    ) -> tuple[Tensor, Tensor]:
        """(pooled loss, loss over the maps); the training loss is their weighted sum."""
        error = self.pooled(self.norm(features)).float() - targets.pooled.float()
        pooled = (error.square() * self.weights).sum(1).mean()
        total = pooled.new_zeros(())
        weight = sum(m.target.weight for m in self.places)
        for index, place in enumerate(self.places):
            wanted, inside = self._wanted(index, targets.maps[index], look)
            got = self.maps[index](maps[place.target.stride]).float()
            square = ((got - wanted).square().mean((0, 1)) * inside).sum() / inside.sum()
            total = total + square * (place.target.weight / weight)
        return pooled, total

    def combined(self, pooled: Tensor, maps: Tensor) -> Tensor:
        return (pooled + self.maps_weight * maps) / (1 + self.maps_weight)

    def _wanted(self, index: int, target: Tensor, look: Look) -> tuple[Tensor, Tensor]:
        device, (height, width) = target.device, target.shape[2:]
        down, rows = self._matrix(index, Look(look.size, look.canvas, False), height, device)
        across, columns = self._matrix(index, look, width, device)
        wanted = (target.float() @ across.t()).transpose(2, 3) @ down.t()
        return wanted.transpose(2, 3), rows[:, None] * columns[None, :]

    def _matrix(
        self, index: int, look: Look, length: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        key = (index, look, length)
        if key not in self._cells:
            matrix, inside = cells(self.places[index], look, length)
            self._cells[key] = matrix.to(device), inside.to(device)
        return self._cells[key]
