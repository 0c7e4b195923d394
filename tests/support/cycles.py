"""`python -m support.cycles KIND FOLDER`: make, use and destroy one thing a thousand times.

A process of its own, since what other tests left in the allocator moves the figures. Prints what
each of four windows of 250 cycles added, as JSON.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

import silverprint as sp
from support.guests import pictures, tiny_extractor, tiny_model

WINDOWS, CYCLES = 4, 250


def classifier(folder: Path) -> Callable[[], object]:
    """Load a classifier and predict with it."""
    path, asked = tiny_model(folder), pictures(1)
    return lambda: sp.load(path).probabilities(asked)


def extractor(folder: Path) -> Callable[[], object]:
    """Make an extractor of a graph and extract with it."""
    made, asked = tiny_extractor(folder), pictures(1)
    return lambda: sp.CustomFeatureExtractor(made.model_path, mean=made.mean, std=made.std).extract(
        asked
    )


def state() -> dict[str, int]:
    """Of this process: resident bytes, open handles, running threads."""
    gc.collect()
    process = psutil.Process()
    handles = process.num_handles() if hasattr(process, "num_handles") else process.num_fds()
    return {
        "bytes": process.memory_info().rss,
        "handles": handles,
        "threads": threading.active_count(),
    }


def main() -> None:
    kind, folder = sys.argv[1:]
    cycle = {"classifier": classifier, "extractor": extractor}[kind](Path(folder))
    for _ in range(CYCLES):
        cycle()
    windows = []
    for _ in range(WINDOWS):
        before = state()
        for _ in range(CYCLES):
            cycle()
        after = state()
        windows.append({name: after[name] - before[name] for name in after})
    print(json.dumps(windows))


if __name__ == "__main__":
    main()
