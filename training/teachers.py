"""What the student has to regress: the teachers' tensors, standardised, in random directions.

Random directions keep distances (Johnson and Lindenstrauss) and cost a checkpoint nothing: they
come from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from training.importer import Geometry, channels_last, import_onnx, short_floats
from training.recipe import Recipe, Target
from training.seeds import on_host


@dataclass(frozen=True)
class Targets:
    """`pooled` float16 [n, dims of all pooled targets]; `maps` one [n, dims, h, w] per map."""

    pooled: Tensor
    maps: tuple[Tensor, ...]

    def rows(self, index: Tensor) -> Targets:
        return Targets(self.pooled[index], tuple(m[index] for m in self.maps))


@dataclass(frozen=True)
class MapTarget:
    """Where a map's cells lie in the crop that the teacher saw."""

    target: Target
    geometry: Geometry


class Moments:
    """Sums per channel in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        rows = x.double().transpose(0, 1).flatten(1)
        self.count += rows.shape[1]
        self.first = self.first + rows.sum(1)
        self.second = self.second + (rows * rows).sum(1)

    def mean(self) -> Tensor:
        return torch.as_tensor(self.first) / self.count

    def variance(self) -> Tensor:
        return (torch.as_tensor(self.second) / self.count - self.mean() ** 2).clamp_min(0)


class _Column:
    """One target: its direction matrix, and what standardises it."""

    def __init__(self, target: Target, file: str, channels: int, recipe: Recipe) -> None:
        self.target, self.key = target, f"{file}:{target.tensor}"
        dice = on_host(recipe.seed, "directions", self.key)
        directions = dice.standard_normal((channels, target.dims)) / channels**0.5
        self.directions = torch.from_numpy(directions).float()
        self.mean = torch.zeros(channels)
        self.deviation = torch.ones(channels)
        self.scale = torch.ones(())

    def prepare(self, device: torch.device) -> None:
        shape = (-1, 1, 1) if self.target.stride else (-1,)
        self.subtract = self.mean.view(shape).to(device)
        self.multiply = (1 / self.deviation).view(shape).to(device)
        self.kernel = (self.directions * self.scale).t().contiguous().to(device)

    def apply(self, x: Tensor) -> Tensor:
        """Standardised, held within 8 deviations (few channels are tame), in the directions."""
        z = ((x.float() - self.subtract) * self.multiply).clamp_(-8, 8).to(x.dtype)
        if self.target.stride == 0:
            return z.float() @ self.kernel.t()
        return functional.conv2d(z, self.kernel[:, :, None, None].to(x.dtype))


class _Teacher:
    def __init__(
        self, folder: Path, file: str, targets: tuple[Target, ...], dtype: torch.dtype
    ) -> None:
        path = folder / file
        if not path.is_file():
            raise ValueError(f"no teacher {path}: pass the folder that holds it as --teachers")
        imported = import_onnx(path, [t.tensor for t in targets])
        self.file, self.targets = file, targets
        self.geometry = [imported.geometry[t.tensor] for t in targets]
        self.dtype = dtype
        self.module = imported.module
        self.mean, self.std = (
            torch.tensor(json.loads(imported.metadata[key])).view(1, 3, 1, 1)
            for key in ("mean", "std")
        )

    def to(self, device: torch.device) -> None:
        self.module = channels_last(self.module, device, self.dtype)
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    def __call__(self, canvas: Tensor) -> tuple[Tensor, ...]:
        x = ((canvas.float() - self.mean) / self.std).to(self.dtype)
        outputs: tuple[Tensor, ...] = self.module(x.contiguous(memory_format=torch.channels_last))
        return outputs


class TeacherSet:
    """All teachers of a recipe on one device, computing in its 16-bit numbers if it has any."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.device, self.folder = device, folder
        dtype = short_floats(device)
        self.teachers = [_Teacher(folder, t.file, t.targets, dtype) for t in recipe.teachers]
        for teacher in self.teachers:
            teacher.to(device)
        self.columns: list[_Column] = []
        with torch.inference_mode():
            grey = torch.full((1, 3, 224, 224), 128, dtype=torch.uint8, device=device)
            for teacher in self.teachers:
                for target, output in zip(teacher.targets, teacher(grey), strict=True):
                    if output.ndim != (4 if target.stride else 2):
                        raise ValueError(f"{teacher.file}: {target.tensor} is of another kind")
                    column = _Column(target, teacher.file, output.shape[1], recipe)
                    column.prepare(device)
                    self.columns.append(column)
        places = [g for teacher in self.teachers for g in teacher.geometry]
        self.maps = [
            MapTarget(column.target, place)
            for column, place in zip(self.columns, places, strict=True)
            if column.target.stride
        ]

    @property
    def pooled(self) -> list[Target]:
        return [c.target for c in self.columns if not c.target.stride]

    @torch.inference_mode()
    def _raw(self, canvas: Tensor, batch: int) -> Iterator[list[Tensor]]:
        for start in range(0, len(canvas), batch):
            part = canvas[start : start + batch]
            yield [out for teacher in self.teachers for out in teacher(part)]

    @torch.inference_mode()
    def calibrate(self, canvas: Tensor, batch: int) -> None:
        """Standardise every channel, then every target as a whole, over the crops `canvas`."""
        sums = [Moments() for _ in self.columns]
        for outputs in self._raw(canvas, batch):
            for moments, x in zip(sums, outputs, strict=True):
                moments.add(x)
        for column, moments in zip(self.columns, sums, strict=True):
            column.mean = moments.mean().cpu().float()
            deviation = moments.variance().sqrt()
            column.deviation = (deviation + 0.03 * deviation.mean() + 1e-6).cpu().float()
            column.scale = torch.ones(())
            column.prepare(self.device)
        sums = [Moments() for _ in self.columns]
        for outputs in self._raw(canvas[: max(batch, len(canvas) // 4)], batch):
            for moments, column, x in zip(sums, self.columns, outputs, strict=True):
                moments.add(column.apply(x))
        for column, moments in zip(self.columns, sums, strict=True):
            column.scale = moments.variance().mean().clamp_min(1e-6).rsqrt().cpu().float()
            column.prepare(self.device)

    def state(self) -> dict[str, Tensor]:
        """What `calibrate` found; `restore` takes it back."""
        return {
            f"{column.key}.{name}": getattr(column, name)
            for column in self.columns
            for name in ("mean", "deviation", "scale")
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        for column in self.columns:
            for name in ("mean", "deviation", "scale"):
                setattr(column, name, state[f"{column.key}.{name}"].clone())
            column.prepare(self.device)

    def targets(self, canvas: Tensor, batch: int) -> Targets:
        """The targets of uint8 crops [n, 3, size, size]; teachers see them `batch` at a time."""
        pooled, maps = [], []
        with torch.inference_mode():
            for outputs in self._raw(canvas, batch):
                seen = [c.apply(x) for c, x in zip(self.columns, outputs, strict=True)]
                flat = [x for c, x in zip(self.columns, seen, strict=True) if not c.target.stride]
                pooled.append(torch.cat(flat, 1).half())
                maps.append(
                    [x.half() for c, x in zip(self.columns, seen, strict=True) if c.target.stride]
                )
        return Targets(torch.cat(pooled), tuple(torch.cat(m) for m in zip(*maps, strict=True)))
