"""One training step of the detector's head, without loss and optimiser, against the same in torch.

Forward and backward of a batch of 16 cached rows, the maps MobileNetV2 gives at 416 pixels, three
classes. Floating-point operations are those of the convolutions, backward counted as two forwards.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import common
from common import note, say
from silverprint import _core

_BATCH = 16
_CLASSES = 3
_FINE, _MIDDLE, _COARSE = (8, 32, 52, 52), (16, 96, 26, 26), (32, 320, 13, 13)
_HEADS: dict[str, tuple[list[tuple[int, int, int, int]], dict[str, Any]]] = {
    "16+32+64, 64 channels, context 4, tower 2": (
        [_MIDDLE, _COARSE],
        {"channels": 64, "context": 4, "tower": 2, "coarser": True},
    ),
    "8+16+32, 48 channels, context 3, tower 1": (
        [_FINE, _MIDDLE, _COARSE],
        {"channels": 48, "context": 3, "tower": 1, "coarser": False},
    ),
}
_OURS, _TORCH, _LOOSE = "silverprint", "torch", "torch, statistics level by level"


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="steps of each")
    args = common.start(parser)
    rounds = 2 if args.quick else args.rounds
    if importlib.util.find_spec("torch") is None:
        note("torch is not installed: left out")
    rows = []
    for title, (inputs, options) in _HEADS.items():
        rows += measure(title, inputs, options, args.threads, rounds)
    say("## A training step of the detector's head\n")
    header = ["head", "side", "ms", "GFLOP", "GFLOP/s", "silverprint is faster by"]
    say(common.table(header, rows))


def measure(
    title: str,
    inputs: list[tuple[int, int, int, int]],
    options: dict[str, Any],
    threads: int,
    rounds: int,
) -> list[list[str]]:
    """Lines of the table."""
    planes = sum(channels for _, channels, _, _ in inputs)
    zeros, ones = np.zeros(planes, np.float32), np.ones(planes, np.float32)
    network = _core.detect.Network(
        inputs, _CLASSES, zeros, ones, batch=_BATCH, threads=threads, **options
    )
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(_BATCH, network.row_size)).astype(np.float16)
    given = [
        rng.normal(size=(_BATCH, network.cells, size)).astype(np.float32) for size in (_CLASSES, 4)
    ]

    def ours() -> None:
        network.forward(rows, True)
        network.backward(*given)

    steps: dict[str, Callable[[], object]] = {_OURS: ours}
    if importlib.util.find_spec("torch") is not None:
        steps |= torch_steps(network, inputs, (zeros, ones), rows, given, threads)
    for step in steps.values():
        step()
    seconds = common.interleaved(steps, rounds)
    gflop = 3 * 2e-9 * _BATCH * network.multiply_adds
    return [
        [
            title,
            name,
            common.spread([1e3 * t for t in times], 1),
            f"{gflop:.2f}",
            common.spread([gflop / t for t in times], 0),
            "" if name == _OURS else common.spread(common.ratios(seconds[_OURS], times)),
        ]
        for name, times in seconds.items()
    ]


def torch_steps(
    network: Any,
    inputs: list[tuple[int, int, int, int]],
    scaling: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    given: list[np.ndarray],
    threads: int,
) -> dict[str, Callable[[], object]]:
    """The same head, and one that copies less: its tower normalises level by level."""
    import torch

    from plain_detector import Head

    torch.set_num_threads(threads)
    same, loose = (Head.of(network, inputs, *scaling).train() for _ in range(2))
    for block in loose.blocks.values():
        block.together = False
    half, signals = torch.from_numpy(rows), [torch.from_numpy(signal) for signal in given]

    def step(head: Head) -> None:
        head.zero_grad(set_to_none=True)
        torch.autograd.backward(head(half), signals)

    return {_TORCH: lambda: step(same), _LOOSE: lambda: step(loose)}


if __name__ == "__main__":
    main()
