"""How a detection head is built and trained, chosen by the sizes of the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_SMALL, _LARGE = 64.0, 200.0
"""Pixels of the tensor: below the first a box needs the finest cells, above the second a coarser
level than the backbone's."""


@dataclass(frozen=True)
class Recipe:
    """A head and its training; ``cpp/detect/network.h`` and ``trainer.h`` say what they do.

    Attributes:
        strides: of the maps that it is given.
        coarser: whether it adds a level of twice the largest stride.
        channels: of each of its layers, a multiple of 16.
        context: residual layers on the coarsest map.
        tower: layers that all levels share.
        rate: length of the optimiser's steps at its height.
        steps: batches in all.
        batch: pictures in each.
    """

    strides: tuple[int, ...] = (16, 32)
    coarser: bool = True
    channels: int = 64
    context: int = 4
    tower: int = 2
    rate: float = 2e-3
    steps: int = 600
    batch: int = 16


def recipe_for(sides: npt.NDArray[np.floating]) -> Recipe:
    """The recipe for boxes of these sizes.

    Small boxes need cells of 8 pixels, which cost most of a step: the layers are fewer and narrower
    then, and there are more steps. Boxes that fill the picture need a level that sees all of it.

    Args:
        sides: float (b, 2), width and height of each box in pixels of the tensor.
    """
    shorter, longer = sides.min(axis=1), sides.max(axis=1)
    fine = bool(np.percentile(shorter, 5) < _SMALL)
    coarser = bool(np.percentile(longer, 95) > _LARGE)
    if not fine:
        return Recipe()
    return Recipe((8, 16, 32), coarser, channels=48, context=3, tower=1, rate=3e-3, steps=1000)
