"""Many threads ask one classifier for minutes: right answers, and memory that stays flat.

    python benchmarks/soak.py --threads 32 --seconds 120

Draws the demo's pictures, trains on them, takes every picture's answer once in one thread, and then
lets the threads ask for random handfuls. Prints what it saw and PASS or FAIL; exit status 0 or 1.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import silverprint as sp
from silverprint.demo.draw import draw_pictures

WARM_UP = 0.5
"""Share of the time before memory is compared: allocators fill their pools first."""

ALLOWED_GROWTH = 0.1
"""Of the resident memory, between the first and the last fifth of what follows. Allocators still
grow by a step now and then, when more runs than ever before happen to coincide."""


@dataclass
class Soak:
    """What the threads share."""

    model: sp.ImageClassifier
    pictures: list[bytes]
    expected: list[bytes]
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)

    def ask(self, seed: int) -> None:
        """Handfuls of pictures until told to stop."""
        choice = random.Random(seed)
        try:
            while not self.stop.is_set():
                chosen = choice.choices(range(len(self.pictures)), k=choice.randint(1, 4))
                rows = self.model.probabilities(
                    [self.pictures[i] for i in chosen], threads=choice.randint(1, 2)
                )
                wrong = sum(
                    row.tobytes() != self.expected[i] for row, i in zip(rows, chosen, strict=True)
                )
                with self.lock:
                    self.asked += len(chosen)
                    self.wrong += wrong
        except Exception as error:
            with self.lock:
                self.errors.append(repr(error))


@dataclass(frozen=True)
class Sample:
    """The process at one moment; `resident` in bytes."""

    resident: int
    handles: int
    threads: int


def sample(process: psutil.Process) -> Sample:
    handles = process.num_handles() if sys.platform == "win32" else process.num_fds()
    return Sample(process.memory_info().rss, handles, threading.active_count())


def prepared(folder: Path) -> Soak:
    draw_pictures(folder / "train", per_label=10)
    draw_pictures(folder / "test", per_label=10, seed=1)
    model = sp.ImageClassifier(folder / "train", progress=False)
    model.write(folder / "model.onnx")
    model = sp.load(folder / "model.onnx")
    pictures = [path.read_bytes() for path in sorted((folder / "test").rglob("*.jpg"))]
    rows = [model.probabilities([picture], threads=1) for picture in pictures]
    return Soak(model, pictures, [row.tobytes() for row in rows])


def run(soak: Soak, threads: int, seconds: float) -> list[Sample]:
    """A sample about every second while `threads` ask."""
    process = psutil.Process()
    workers = [threading.Thread(target=soak.ask, args=(seed,)) for seed in range(threads)]
    samples = []
    end = time.monotonic() + seconds
    try:
        for worker in workers:
            worker.start()
        while (left := end - time.monotonic()) > 0 and not soak.errors:
            time.sleep(min(1.0, left))
            samples.append(sample(process))
    finally:
        soak.stop.set()
        for worker in workers:
            worker.join()
    return samples


def growth(values: Sequence[int]) -> tuple[float, float]:
    """Medians of the first and the last fifth."""
    part = max(1, len(values) // 5)
    return statistics.median(values[:part]), statistics.median(values[-part:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=120.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = prepared(Path(folder))
        before = sample(psutil.Process())
        samples = run(soak, args.threads, args.seconds)
    after = sample(psutil.Process())
    steady = samples[int(len(samples) * WARM_UP) :]
    first, last = growth([each.resident for each in steady])
    checks = {
        f"{soak.asked} answers, {soak.asked / args.seconds:.0f} a second, {soak.wrong} wrong": (
            soak.asked > 0 and soak.wrong == 0
        ),
        f"{len(soak.errors)} errors {soak.errors[:1]}": not soak.errors,
        f"memory {first / 1e6:.1f} MB at half time, {last / 1e6:.1f} MB at the end": (
            last <= first * (1 + ALLOWED_GROWTH)
        ),
        f"handles {before.handles}, then {after.handles}": after.handles <= before.handles,
        f"threads {before.threads}, then {after.threads}": after.threads <= before.threads,
    }
    print(f"{args.threads} threads, {args.seconds:g} seconds, {len(soak.pictures)} pictures")
    for text, good in checks.items():
        print(f"{'ok  ' if good else 'FAIL'} {text}")
    passed = all(checks.values())
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
