"""Is this machine ready, and how fast? `python -m training.check --data DIR --teachers DIR`.

Imported teachers against ONNX Runtime, then crops and views a second of every part. With
`--advice FILE` it writes the flags that `training.train` should get here.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from training import crops
from training.importer import channels_last, import_onnx
from training.objective import Look
from training.recipe import PRINT_1, Recipe
from training.seeds import on_device, on_host
from training.teachers import Targets
from training.train import Session, arithmetic

_WORTH = 1.15  # --fast is advised from this gain on


def importer_error(path: Path, tensors: list[str], device: torch.device, half: bool) -> float:
    """Largest difference to ONNX Runtime, over each tensor's largest value."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    side = shape[2] if isinstance(shape[2], int) else 224
    image = on_host("check").standard_normal((2, 3, side, side)).astype(np.float32)
    dtype = torch.float16 if half else torch.float32
    module = channels_last(import_onnx(path, tensors).module, device, dtype)
    saved = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        got = [t.float().cpu().numpy() for t in module(torch.from_numpy(image).to(device, dtype))]
    torch.backends.cudnn.allow_tf32 = saved
    want = session.run(tensors, {"image": image})
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, want, strict=True))


def _rate(count: int, work: Callable[[], object], seconds: float) -> float:
    """Items a second; two runs beforehand are not counted."""

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    for _ in range(2):
        work()
    wait()
    began, runs = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work()
        wait()
        runs += 1
    return runs * count / (time.perf_counter() - began)


def check_teachers(recipe: Recipe, folder: Path, device: torch.device) -> None:
    """Raises ValueError for a teacher that computes other numbers here than in ONNX Runtime."""
    for teacher in recipe.teachers:
        names = [t.tensor for t in teacher.targets]
        error = importer_error(folder / teacher.file, names, device, half=False)
        facts = {"teacher": teacher.file, "float32_error": error}
        if not error <= 1e-3:
            raise ValueError(f"the imported teacher computes other numbers: {facts}")
        if device.type == "cuda":
            half = importer_error(folder / teacher.file, names, device, half=True)
            facts["float16_error"] = half
            if not half <= 5e-2:
                raise ValueError(f"the teacher does not bear float16: {facts}")
        print(json.dumps(facts), flush=True)


class Bench:
    """One batch of everything, ready to be timed."""

    def __init__(self, session: Session) -> None:
        self.session, self.view = session, session.recipe.usual
        self.bank, self.plan = session.bank(0), session.plan(self.view)
        self.generator = on_device(session.device, "check")
        self.count = max(self.view.batch, self.view.teacher_batch)
        self.canvas = self.make()
        rows = torch.arange(self.view.batch, device=session.device)
        self.targets = self.ask().rows(rows)

    def make(self) -> Tensor:
        return crops.make(self.bank, self.plan, self.count, self.generator)

    def ask(self) -> Targets:
        return self.session.teachers.targets(self.canvas, self.view.teacher_batch)

    def learn(self, size: int) -> Tensor:
        look = Look(size, self.view.canvas, True)
        return self.session.trainer.learn(self.canvas[: self.view.batch], self.targets, look, 0.0)

    def gain(self, seconds: float) -> float:
        """Prints items a second of every part; returns what `--fast` gains in the steps."""
        rates = {"crops": _rate(self.count, self.make, seconds)}
        rates["all teachers"] = _rate(self.count, self.ask, seconds)
        for fast, suffix in ((False, ""), (True, " fast")):
            arithmetic(fast=fast)
            for size in self.view.sizes:
                work = functools.partial(self.learn, size)
                rates[f"student {size}{suffix}"] = _rate(self.view.batch, work, seconds)
        arithmetic(fast=False)
        print(json.dumps({name: round(rate) for name, rate in rates.items()}), flush=True)
        return sum(
            odds * rates[f"student {size} fast"] / rates[f"student {size}"]
            for size, odds in zip(self.view.sizes, self.view.odds, strict=True)
        )

    def profile(self) -> None:
        """Prints the kernels that one step spends its time in."""
        with torch.profiler.profile() as profile:
            self.learn(self.view.sizes[-1])
        print(profile.key_averages().table(sort_by="self_device_time_total", row_limit=12))


def main() -> None:
    parser = argparse.ArgumentParser(description="Is this machine ready, and how fast?")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teachers", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each measurement")
    parser.add_argument("--advice", type=Path, help="write the advised flags here")
    args = parser.parse_args()
    arithmetic(fast=False)
    with tempfile.TemporaryDirectory() as out:
        session = Session(PRINT_1, args.data, args.teachers, Path(out))
        check_teachers(PRINT_1, args.teachers, session.device)
        bench = Bench(session)
        gain = bench.gain(args.seconds)
        advice = "--fast" if gain > _WORTH else ""
        print(json.dumps({"gain of --fast": round(gain, 2), "advice": advice}), flush=True)
        if args.advice:
            args.advice.write_text(advice)
        if session.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated() / 2**30
            print(json.dumps({"peak GiB": round(peak, 1)}), flush=True)
            bench.profile()


if __name__ == "__main__":
    main()
