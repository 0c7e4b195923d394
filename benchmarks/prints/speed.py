"""Pictures a second of one core: ready tensors through the runtime, extractors in turns.

A second is one of the calling thread's processor time, and no other thread works: what else the
machine does costs no time here, but it shares caches and clocks; turns are short and many, so that
it does so for all extractors alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prints.contenders import Contender

_TURN = 0.05
"""Seconds that an extractor runs before it is the next one's turn."""

_TENSORS = 8


def rates(
    contenders: Sequence[Contender], pictures: Sequence[Path], rounds: int
) -> dict[str, list[float]]:
    """Pictures a second in each round, by name; one thread, one picture a run."""
    turns: dict[str, Callable[[int], float]] = {}
    counts: dict[str, int] = {}
    for contender in contenders:
        turn = partial(
            _turn, contender.extractor.function.run_tensor, _tensors(contender, pictures)
        )
        turn(1)
        turns[contender.name] = turn
        counts[contender.name] = max(1, round(_TURN * _TENSORS / turn(_TENSORS)))
    found: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, take in turns.items():
            found[name].append(counts[name] / take(counts[name]))
    return found


def _turn(
    run: Callable[[npt.NDArray[np.float32]], object],
    tensors: Sequence[npt.NDArray[np.float32]],
    count: int,
) -> float:
    """Seconds of this thread that `count` runs take."""
    begin = time.thread_time()
    for tensor in itertools.islice(itertools.cycle(tensors), count):
        run(tensor)
    return time.thread_time() - begin


def _tensors(contender: Contender, pictures: Sequence[Path]) -> list[npt.NDArray[np.float32]]:
    """Some pictures as the extractor sees them, each float32 (1, 3, height, width)."""
    from silverprint import _core
    from silverprint.data.decode import decode

    rule = contender.extractor.rule
    shape = (rule.height, rule.width, rule.crop_and_scale)
    some = pictures[:: max(1, len(pictures) // _TENSORS)][:_TENSORS]
    return [_core.image.prepare(decode(path.read_bytes(), rule), *shape)[None] for path in some]
