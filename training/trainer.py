"""Student, adapters, optimiser and moving average; one step, and the state as tensors."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.objective import Look, Objective
from training.recipe import MEAN, STD, Recipe
from training.seeds import seed_of
from training.student import Student
from training.teachers import Targets, TeacherSet


def normalised(crops: Tensor, size: int) -> Tensor:
    """uint8 crops as the student's `image` at `size` pixels: antialiased bilinear, channels last."""
    x = crops.float()
    if x.shape[-1] != size:
        x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


class Trainer:
    """Holds everything that training changes. Same state, same crops: same bytes."""

    def __init__(self, recipe: Recipe, teachers: TeacherSet) -> None:
        device = teachers.device
        self.recipe, self.device, self.step = recipe, device, 0
        torch.manual_seed(seed_of(recipe.seed, "weights"))
        student = Student(recipe.student)
        objective = Objective(recipe, teachers)
        self.student = student.to(device, memory_format=torch.channels_last)
        self.objective = objective.to(device)
        self.average = copy.deepcopy(self.student).requires_grad_(False)
        self.parameters = [*self.student.parameters(), *self.objective.parameters()]
        fused = device.type == "cuda"
        self.optimiser = torch.optim.AdamW(
            [
                {
                    "params": [p for p in self.parameters if p.ndim > 1],
                    "weight_decay": recipe.weight_decay,
                },
                {"params": [p for p in self.parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            fused=fused,
            foreach=not fused,
        )

    def rate(self, progress: float) -> float:
        """Linear warm-up by steps, then half a cosine over `progress` 0..1."""
        warm = min(1.0, (self.step + 1) / self.recipe.warm_up_steps)
        wave = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
        return self.recipe.learning_rate * warm * (0.002 + 0.998 * wave)

    def learn(self, crops: Tensor, targets: Targets, look: Look, progress: float) -> Tensor:
        """One step; returns (pooled loss, loss over maps) as a tensor of two on the device."""
        self.student.train()
        self.objective.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(progress)
        losses = self._losses(self.student, crops, targets, look)
        self.optimiser.zero_grad(set_to_none=True)
        self.objective.combined(*losses).backward()
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        self.optimiser.step()
        self.step += 1
        self._follow()
        return torch.stack(losses).detach()

    @torch.no_grad()
    def judge(self, crops: Tensor, targets: Targets, look: Look) -> Tensor:
        """The same two losses of the moving average, in evaluation mode."""
        self.average.eval()
        self.objective.eval()
        return torch.stack(self._losses(self.average, crops, targets, look))

    def _losses(
        self, network: nn.Module, crops: Tensor, targets: Targets, look: Look
    ) -> tuple[Tensor, Tensor]:
        image = normalised(crops, look.size)
        if look.mirrored:
            image = image.flip(3)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            features, maps = network(image)
        pooled, total = self.objective(
            features.float(), {s: m.float() for s, m in maps.items()}, targets, look
        )
        return pooled, total

    @torch.no_grad()
    def _follow(self) -> None:
        share = 1 - min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        mine, average = _floats(self.student), _floats(self.average)
        torch._foreach_lerp_(list(average.values()), list(mine.values()), share)

    def state(self) -> dict[str, Tensor]:
        """Everything, rounded as a checkpoint keeps it: weights float16, moments bfloat16.

        Vectors (normalisations, biases) stay float32. `restore(state())` therefore changes the
        trainer a little; whoever saves restores, so that going on and resuming are the same.
        """
        kept = {}
        for name, tensor in self._tensors().items():
            if tensor.ndim < 2:
                dtype = torch.float32
            elif name.startswith("moment"):
                dtype = torch.bfloat16
            else:
                dtype = torch.float16
            kept[name] = tensor.detach().to("cpu", dtype).contiguous()
        return kept

    @torch.no_grad()
    def restore(self, kept: dict[str, Tensor], step: int) -> None:
        """Take back a `state()` of the same recipe."""
        self.step = step
        count = torch.tensor(float(step))
        for parameter in self.parameters:
            self.optimiser.state[parameter] = {
                "step": count.to(self.device) if self.device.type == "cuda" else count.clone(),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        for name, tensor in self._tensors().items():
            tensor.copy_(kept[name])

    def _tensors(self) -> dict[str, Tensor]:
        found = {f"student.{k}": v for k, v in _floats(self.student).items()}
        found |= {f"average.{k}": v for k, v in _floats(self.average).items()}
        found |= {f"objective.{k}": v for k, v in _floats(self.objective).items()}
        for number, parameter in enumerate(self.parameters):
            moments = self.optimiser.state[parameter]
            found[f"moment1.{number}"] = moments["exp_avg"]
            found[f"moment2.{number}"] = moments["exp_avg_sq"]
        return found


def _floats(module: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in module.state_dict().items() if v.is_floating_point()}
