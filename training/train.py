"""Train: `python -m training.train --data DIR --teachers DIR --out DIR --minutes 9`.

A round makes crops, asks the teachers once and lets the student learn from them for a few passes.
All randomness of a round comes from (seed, number of the round), so a checkpoint needs none.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training import checkpoint, crops, drawn, pictures
from training.export import export
from training.objective import Look
from training.recipe import RECIPES, Recipe, View
from training.seeds import on_device, on_host
from training.teachers import Targets, TeacherSet
from training.trainer import Trainer

_RESERVE_SECONDS = 25.0  # for the last checkpoint and the export


@dataclass(frozen=True)
class Limits:
    """When to stop: `minutes` from `began` (time.monotonic) or `rounds` in this piece.

    The schedule ends after `total_rounds`, or, without that, with this piece's time and that of
    `pieces_after` more like it.
    """

    began: float = field(default_factory=time.monotonic)
    minutes: float = 9.0
    pieces_after: int = 0
    rounds: int | None = None
    total_rounds: int | None = None


def arithmetic(*, fast: bool) -> None:
    """Before the first work on a GPU: same bytes from same inputs, or (`fast`) any algorithm."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(not fast)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = fast
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


class Session:
    """One piece of training: everything on the device, a log, a folder for what comes out."""

    def __init__(self, recipe: Recipe, data: Path, teachers: Path, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        out.mkdir(parents=True, exist_ok=True)
        self.real, self.held_out = pictures.load(data, recipe.picture_side, self.device)
        self.say(event="pictures", train=len(self.real), held_out=len(self.held_out))
        self.teachers = TeacherSet(recipe, teachers, self.device)
        self.trainer = Trainer(recipe, self.teachers)
        self.round, self.progress, self.seconds = 0, 0.0, 0.0
        self.groups: dict[int, tuple[int, pictures.Bank]] = {}
        self.judged: tuple[Tensor, Targets] | None = None

    def say(self, **facts: Any) -> None:
        """One JSON line, on the screen and in train.log."""
        line = json.dumps(facts)
        print(line, flush=True)
        with (self.out / "train.log").open("a") as log:
            log.write(line + "\n")

    def calibrate(self) -> None:
        """Standardise the targets: on the first crops, before the first step only."""
        view = self.recipe.usual
        generator = on_device(self.device, self.recipe.seed, "calibration")
        canvas = crops.make(self.bank(0), self.plan(view), self.recipe.calibration_crops, generator)
        self.teachers.calibrate(canvas, view.teacher_batch)

    def plan(self, view: View) -> crops.Plan:
        recipe = self.recipe
        return crops.Plan(view.canvas, recipe.drawn, recipe.drawn_share, view.collage)

    def bank(self, number: int) -> pictures.Bank:
        """Real pictures, then drawn ones: each round draws one group anew, in turn."""
        recipe = self.recipe
        if not recipe.drawn:
            return self.real
        count = recipe.drawn // recipe.drawn_groups
        for group in range(recipe.drawn_groups):
            age = number - (number - group) % recipe.drawn_groups
            if self.groups.get(group, (None,))[0] != age:
                generator = on_device(self.device, recipe.seed, "drawn", group, age)
                pixels = drawn.draw(count, recipe.picture_side, generator)
                sizes = torch.full((count, 2), float(recipe.picture_side), device=self.device)
                self.groups[group] = age, pictures.Bank(pixels, sizes)
        banks = [self.real, *(self.groups[g][1] for g in range(recipe.drawn_groups))]
        return pictures.Bank(
            torch.cat([b.pixels for b in banks]), torch.cat([b.sizes for b in banks])
        )

    def one_round(self) -> Tensor:
        """Returns the mean of (pooled loss, loss over maps) over the round."""
        recipe, number = self.recipe, self.round
        view = recipe.view(number)
        generator = on_device(self.device, recipe.seed, "round", number)
        dice = on_host(recipe.seed, "round", number)
        canvas = crops.make(self.bank(number), self.plan(view), view.crops, generator)
        targets = self.teachers.targets(canvas, view.teacher_batch)
        losses = []
        for _ in range(view.passes):
            order = torch.from_numpy(dice.permutation(view.crops)).to(self.device)
            for rows in torch.split(order, view.batch):
                size = int(dice.choice(view.sizes, p=view.odds))
                look = Look(size, view.canvas, bool(dice.random() < 0.5))
                losses.append(
                    self.trainer.learn(canvas[rows], targets.rows(rows), look, self.progress)
                )
        self.round += 1
        return torch.stack(losses).mean(0)

    def judge(self) -> list[float]:
        """The two losses on plain crops of the held-out pictures, by the moving average."""
        view = self.recipe.usual
        if self.judged is None:
            generator = on_device(self.device, self.recipe.seed, "held out")
            plan = crops.Plan(view.canvas, 0, 0.0, 0.0, mixing=False)
            canvas = crops.make(self.held_out, plan, self.recipe.held_out_crops, generator)
            self.judged = canvas, self.teachers.targets(canvas, view.teacher_batch)
        canvas, targets = self.judged
        look = Look(view.sizes[-1], view.canvas, False)
        parts = [
            self.trainer.judge(canvas[rows], targets.rows(rows), look)
            for rows in torch.split(torch.arange(len(canvas), device=self.device), view.batch)
        ]
        return [round(float(x), 5) for x in torch.stack(parts).mean(0)]

    def save(self) -> None:
        """Write the checkpoint and go on from it, rounded as it is."""
        kept = self.trainer.state()
        record = {
            "recipe": self.recipe.fingerprint(),
            "round": self.round,
            "step": self.trainer.step,
            "progress": self.progress,
            "seconds": round(self.seconds, 1),
            "architecture": asdict(self.recipe.student),
        }
        calibration = {f"teachers.{k}": v for k, v in self.teachers.state().items()}
        checkpoint.save(self.out, kept | calibration, record)
        self.trainer.restore(kept, self.trainer.step)

    def resume(self, folder: Path) -> None:
        kept, record = checkpoint.load(folder)
        if record["recipe"] != self.recipe.fingerprint():
            raise ValueError(f"{folder} was made by another recipe: train from the beginning")
        prefix = "teachers."
        self.teachers.restore(
            {k.removeprefix(prefix): v for k, v in kept.items() if k.startswith(prefix)}
        )
        self.trainer.restore(kept, record["step"])
        self.round, self.progress = record["round"], record["progress"]
        self.seconds = record["seconds"]

    def train(self, limits: Limits) -> None:
        """Rounds until a limit; then the checkpoint. One is also written every so many rounds."""
        end = limits.began + 60 * limits.minutes - _RESERVE_SECONDS
        started, first, slowest = time.monotonic(), self.round, 0.0
        piece = max(end - started, 1.0)
        while self.progress < 1:
            before = time.monotonic()
            done = self.round - first
            if before + 1.2 * slowest > end or done == limits.rounds:
                break
            losses = self.one_round().tolist()
            now = time.monotonic()
            self.seconds += now - before
            slowest = max(slowest, now - before) if done else 0.0
            mean = (now - started) / (done + 1)
            left = (max(end - now, 0.0) + limits.pieces_after * piece) / mean
            if limits.total_rounds is not None:
                left = limits.total_rounds - self.round
            self.progress += (1 - self.progress) / (max(left, 0.0) + 1)
            if self.round % self.recipe.report_every == 0 or done < 2:
                self.say(
                    round=self.round,
                    step=self.trainer.step,
                    progress=round(self.progress, 4),
                    seconds=round(self.seconds, 1),
                    round_seconds=round(now - before, 2),
                    train=[round(x, 4) for x in losses],
                    held_out=self.judge(),
                )
            if self.round % self.recipe.save_every == 0:
                self.save()
        self.save()
        self.say(event="stopped", round=self.round, step=self.trainer.step, held_out=self.judge())


def run(
    recipe: Recipe,
    folders: tuple[Path, Path, Path],
    limits: Limits,
    *,
    resume: Path | None = None,
    fast: bool = False,
) -> Session:
    """One piece from start to export; `folders` are data, teachers and out."""
    arithmetic(fast=fast)
    out = folders[2]
    session = Session(recipe, *folders)
    if resume is None:
        session.calibrate()
    else:
        session.resume(resume)
    ready = time.monotonic() - limits.began
    session.say(
        event="ready",
        seconds=round(ready, 1),
        device=str(session.device),
        held_out=session.judge(),
    )
    session.train(limits)
    session.say(
        event="exported", **export(out, out / f"scene_print_{recipe.student.revision}.onnx")
    )
    return session


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--teachers", type=Path, required=True, help="folder of ONNX teachers")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="all of it, export included")
    parser.add_argument("--pieces-after", type=int, default=0, help="pieces like this that follow")
    parser.add_argument("--rounds", type=int, help="stop after so many rounds")
    parser.add_argument("--total-rounds", type=int, help="length of the schedule, not by the clock")
    parser.add_argument("--resume", type=Path, help="folder with a checkpoint")
    parser.add_argument("--fast", action="store_true", help="give up equal bytes for speed")
    parser.add_argument("--recipe", choices=RECIPES, default="scratch", help="see recipe.py")
    parser.add_argument("--seed", type=int, help="default: the recipe's")
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    limits = Limits(began, args.minutes, args.pieces_after, args.rounds, args.total_rounds)
    run(
        recipe if args.seed is None else replace(recipe, seed=args.seed),
        (args.data, args.teachers, args.out),
        limits,
        resume=args.resume,
        fast=args.fast,
    )


if __name__ == "__main__":
    main()
