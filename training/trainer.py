"""Student, adapters, optimiser and moving average; one step, and the state as tensors."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.importer import channels_last, short_floats
from training.mobile import Mobile
from training.networks import network
from training.objective import Look, Objective
from training.recipe import MEAN, STD, Recipe
from training.seeds import seed_of
from training.teachers import Targets, TeacherSet


def normalised(crops: Tensor, size: int) -> Tensor:
    """uint8 crops as the student's `image`: antialiased bilinear to `size`, channels last."""
    x = crops.float()
    if x.shape[-1] != size:
        x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


class Trainer:
    """Holds everything that training changes. Same state, same crops: same bytes."""

    def __init__(self, recipe: Recipe, teachers: TeacherSet) -> None:
        device = teachers.device
        self.recipe, self.device = recipe, device
        self.short = short_floats(device) != torch.float32
        torch.manual_seed(seed_of(recipe.seed, "weights"))
        self.student = network(recipe.student)
        if isinstance(self.student, Mobile):
            self.student.inherit(teachers.folder)
        self.objective = Objective(recipe, teachers, self.student).to(device)
        channels_last(self.student, device, torch.float32)
        self.average = copy.deepcopy(self.student).requires_grad_(False)
        every = [*self.student.parameters(), *self.objective.parameters()]
        self.parameters = [p for p in every if p.requires_grad]
        fused = device.type == "cuda"
        groups = []
        objective = self.objective
        shares = (
            (self.student, recipe.student.rate),
            (objective.maps, 1.0),
            (objective.pooled, recipe.adapter_rate),
        )
        for module, share in shares:
            for vectors, decay in ((False, recipe.weight_decay), (True, 0.0)):
                chosen = [
                    p for p in module.parameters() if p.requires_grad and (p.ndim < 2) == vectors
                ]
                groups.append({"params": chosen, "weight_decay": decay, "share": share})
        self.optimiser = torch.optim.AdamW(
            groups,
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            fused=fused,
            foreach=not fused,
        )
        self._begin(0)

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
            group["lr"] = self.rate(progress) * group["share"]
        losses = self._losses(self.student, crops, targets, look)
        self.optimiser.zero_grad(set_to_none=True)
        self.objective.combined(*losses).backward()  # type: ignore[no-untyped-call]
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
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.short):
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
        self._begin(step)
        for name, tensor in self._tensors().items():
            tensor.copy_(kept[name])

    def _begin(self, step: int) -> None:
        """Moments of zero after `step` steps, in the form that AdamW keeps them."""
        self.step = step
        for parameter in self.parameters:
            place = parameter.device if parameter.is_cuda else "cpu"
            self.optimiser.state[parameter] = {
                "step": torch.tensor(float(step), device=place),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

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
