"""What a detector finds in a picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture, in pixels from its top left corner.

    Immutable: threads may share it.

    Attributes:
        x, y: the left and upper edge.
        width, height: its size.
        picture_size: (width, height) of the upright picture.
    """

    x: float
    y: float
    width: float
    height: float
    picture_size: tuple[int, int]

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the middle, in pixels."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def normalized(self) -> tuple[float, float, float, float]:
        """(x, y, width, height) as shares of the picture, from its top left corner."""
        across, down = self.picture_size
        return self.x / across, self.y / down, self.width / across, self.height / down

    @property
    def vision(self) -> tuple[float, float, float, float]:
        """The same as Apple's Vision counts: from the bottom left corner, y upwards."""
        x, y, width, height = self.normalized
        return x, 1 - y - height, width, height

    @classmethod
    def of_corners(
        cls, corners: tuple[float, float, float, float], picture_size: tuple[int, int]
    ) -> Box:
        """From (left, top, right, bottom) as shares of the picture, cut off at its edges."""
        left, top, right, bottom = (min(max(float(value), 0.0), 1.0) for value in corners)
        across, down = picture_size
        return cls(
            left * across, top * down, (right - left) * across, (bottom - top) * down, picture_size
        )


@dataclass(frozen=True)
class ObjectAnnotation:
    """One object that a detector found.

    Immutable: threads may share it.

    Attributes:
        label: what it is.
        confidence: 0 to 1.
        bounding_box: where it is.
    """

    label: str
    confidence: float
    bounding_box: Box
