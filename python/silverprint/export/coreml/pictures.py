"""The pictures that a Core ML file is executed on, as image tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.decode import decode
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError, InvalidParameterError
from silverprint.features.extraction import as_pictures

if TYPE_CHECKING:
    from silverprint.data.decode import Picture

    Tensor = npt.NDArray[np.float32]

COUNT = 16
"""How many pictures a file is proven on."""


def tensor_of(picture: Picture, rule: PictureRule) -> Tensor:
    """float32 (1, 3, height, width), RGB, levels 0..255.

    Raises:
        InvalidDataError: the picture cannot be read.
    """
    pixels = decode(picture, rule)
    tensor: Tensor = _core.image.prepare(pixels, rule.height, rule.width, rule.crop_and_scale)[None]
    return tensor


def tensors_of(pictures: Sequence[Picture], rule: PictureRule) -> list[Tensor]:
    """Those of at most `COUNT` of the pictures, evenly taken.

    Raises:
        InvalidDataError: one of them cannot be read.
        InvalidParameterError: there is none, or no list of pictures.
    """
    pictures = as_pictures("pictures", pictures)
    if not pictures:
        raise InvalidParameterError("pictures", pictures, "at least one picture")
    places = np.linspace(0, len(pictures) - 1, min(COUNT, len(pictures))).astype(int)
    return [tensor_of(pictures[place], rule) for place in places.tolist()]


def readable(pictures: Iterable[Picture], rule: PictureRule) -> list[Tensor]:
    """The tensors of those that are still there and can be read, at most `COUNT`."""
    tensors: list[Tensor] = []
    for picture in pictures:
        if len(tensors) == COUNT:
            break
        try:
            tensors.append(tensor_of(picture, rule))
        except InvalidDataError:
            continue
    return tensors


def drawn(rule: PictureRule) -> list[Tensor]:
    """Pictures for a model whose own are not at hand: soft shapes and edges in many colours."""
    rng = np.random.default_rng(0)
    return [_draw(rng, rule.height, rule.width) for _ in range(COUNT)]


def _draw(rng: np.random.Generator, height: int, width: int) -> Tensor:
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    picture = np.tile(rng.uniform(0, 255, (3, 1, 1)), (1, height, width))
    for _ in range(12):
        angle, frequency, phase = rng.uniform(0, np.pi), rng.uniform(0.5, 12), rng.uniform(0, 6)
        centre, size = rng.uniform(-1, 1, 2), rng.uniform(0.05, 0.8)
        across = x * np.cos(angle) + y * np.sin(angle)
        waves = 0.5 + 0.5 * np.sin(frequency * np.pi * across + phase)
        away = np.hypot(y - centre[0], x - centre[1]) / size
        cover = 1 / (1 + np.exp(np.minimum(rng.choice((6.0, 60.0)) * (away - 1), 50)))
        colour = rng.uniform(0, 255, (2, 3, 1, 1))
        picture += cover * (colour[0] * waves + colour[1] * (1 - waves) - picture)
    levels: Tensor = np.rint(picture.clip(0, 255))[None].astype(np.float32)
    return levels
