"""Augmentation: altered versions of pictures to train on, Create ML's option set.

A *view* is one altered version of a picture, made by one option. How strong it is, is drawn at
random, for each of four views from a quarter of the range of its own (`strength` in
``cpp/image/augment.h``):

========  ========================================================================  =====
option    a view is the picture                                                     views
========  ========================================================================  =====
crop      60 to 100 % of what the rule keeps, up to 1.15 times wider or higher           4
rotation  turned by up to 20 degrees either way; mirrored beyond the edges              4
blur      blurred with a Gaussian of 0.5 to 1.5 pixels, at 224 pixels a side            4
exposure  darkened or lightened by up to one stop, in linear light                      4
noise     with Gaussian noise of 2 to 10 levels on each pixel and colour                4
flip      flipped left to right, upside down, and both                                  3
========  ========================================================================  =====

Options add up and are never combined in one view: ``{"crop", "flip"}`` gives 7 views beside the
picture itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from silverprint.errors import InvalidParameterError, nearest

_COUNTS = {"crop": 4, "rotation": 4, "blur": 4, "exposure": 4, "noise": 4, "flip": 3}

AUGMENTATIONS = tuple(_COUNTS)
"""The options."""

SeededView = tuple[str, int, int]
"""Option, number and seed: all that decides how a picture is altered."""


class PictureView(Protocol):
    """One altered version of a picture, of whatever kind."""

    @property
    def option(self) -> str: ...

    @property
    def number(self) -> int: ...

    def seeded(self, seed: int, digest: bytes) -> SeededView:
        """This view of the picture with that digest, as the core takes it."""
        ...


@dataclass(frozen=True)
class View:
    """One altered version of a picture.

    Attributes:
        option: one of `AUGMENTATIONS`.
        number: from 1; of flip 1 is left to right, 2 upside down and 3 both.

    Raises:
        InvalidParameterError: there is no such view.
    """

    option: str
    number: int

    def __post_init__(self) -> None:
        _check_option(self.option)
        last = _COUNTS[self.option]
        if type(self.number) is not int or not 1 <= self.number <= last:
            raise InvalidParameterError(
                "number", self.number, f"a whole number from 1 to {last} for {self.option}"
            )

    def seeded(self, seed: int, digest: bytes) -> SeededView:
        """This view of the picture with that digest, as the core takes it."""
        return self.option, self.number, view_seed(seed, digest, self)


def views_of(options: Iterable[str]) -> tuple[View, ...]:
    """The views that each picture gets, in the order of `AUGMENTATIONS` and of their numbers.

    Raises:
        InvalidParameterError: `options` is not a collection of names, or one is unknown.
    """
    if isinstance(options, str) or not isinstance(options, Iterable):
        raise InvalidParameterError("augmentation", options, f"a set of {', '.join(AUGMENTATIONS)}")
    chosen = list(options)
    for option in chosen:
        _check_option(option)
    return tuple(
        View(option, number)
        for option, count in _COUNTS.items()
        if option in chosen
        for number in range(1, count + 1)
    )


def view_seed(seed: int, digest: bytes, view: PictureView) -> int:
    """The seed of a view, of 64 bits.

    It depends on the picture's bytes, not on its name or place: views of other pictures do not
    change when some are added. From the first 8 bytes of a SHA-256.

    Args:
        seed: the seed of the training.
        digest: SHA-256 of the picture's bytes.
    """
    text = f"silverprint view {seed} {view.option} {view.number}\0".encode()
    return int.from_bytes(hashlib.sha256(text + digest).digest()[:8], "big")


def _check_option(option: object) -> None:
    if option not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise InvalidParameterError(
            "augmentation", option, f"one of {known}{nearest(option, AUGMENTATIONS)}"
        )
