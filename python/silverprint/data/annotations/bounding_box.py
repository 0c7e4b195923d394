"""What the four numbers of a box mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from silverprint.errors import InvalidParameterError, nearest

Units: TypeAlias = Literal["pixel", "normalized"]
Origin: TypeAlias = Literal["top_left", "bottom_left"]
Anchor: TypeAlias = Literal["center", "top_left", "bottom_left"]

_ALLOWED = {
    "units": ("pixel", "normalized"),
    "origin": ("top_left", "bottom_left"),
    "anchor": ("center", "top_left", "bottom_left"),
}


@dataclass(frozen=True)
class BoundingBox:
    """What x, y, width and height of a box mean; the defaults are Create ML's.

    Immutable: threads may share it.

    Args:
        units: ``"pixel"``, or ``"normalized"``: fractions of the picture's width and height.
        origin: the corner of the picture that x and y are measured from, x to the right and y away
            from it: ``"top_left"`` or ``"bottom_left"``.
        anchor: the point of the box that x and y are those of: ``"center"``, ``"top_left"`` or
            ``"bottom_left"``, as one sees the picture, whatever the origin.

    Raises:
        InvalidParameterError: a field has a value that is not allowed.
    """

    units: Units = "pixel"
    origin: Origin = "top_left"
    anchor: Anchor = "center"

    def __post_init__(self) -> None:
        for field, allowed in _ALLOWED.items():
            value = getattr(self, field)
            if not isinstance(value, str) or value not in allowed:
                words = " or ".join(map(repr, allowed))
                raise InvalidParameterError(field, value, words + nearest(value, allowed))

    def edges(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The edges of boxes: left, nearer, right, farther, where nearer means nearer the origin.

        Args:
            values: x, y, width and height, shape (n, 4).
        """
        x, y, width, height = values.T
        left = x - width / 2 if self.anchor == "center" else x
        if self.anchor == "center":
            near = y - height / 2
        else:
            near = y if self.anchor == self.origin else y - height
        return np.stack([left, near, left + width, near + height], axis=1)


def upright(
    edges: npt.NDArray[np.float64], height: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float64]:
    """Edges measured from the bottom left as left, top, right, bottom from the top left.

    Args:
        edges: shape (n, 4), as `BoundingBox.edges` gives them.
        height: of the pictures, in the same units: one number, or shape (n,).
    """
    left, low, right, high = edges.T
    return np.stack([left, height - high, right, height - low], axis=1)
