"""
From pixels to the image tensor.
"""

from __future__ import annotations
import numpy
import numpy.typing
import typing

__all__: list[str] = ["prepare", "scene_geometry"]

def prepare(
    picture: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    height: typing.SupportsInt | typing.SupportsIndex,
    width: typing.SupportsInt | typing.SupportsIndex,
    crop_and_scale: str,
    order: str = "rgb",
    view: tuple[
        str, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex
    ]
    | None = None,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    The image tensor, float32 (3, height, width), whole levels 0..255, of a uint8 picture (h, w, c),
    or of its view (option, number, seed).
    """

def scene_geometry(
    number: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[float, float, float, float, bool]:
    """
    Which rectangle of a picture, from 0 to 1 both ways, the view ("scene", number, seed) shows: left,
    top, right, bottom, and whether it is then mirrored left to right.
    """
