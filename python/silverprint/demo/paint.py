"""Painting figures onto a picture: antialiased, shaded, textured, with a cast shadow.

A picture is float32 [height, width, 3], RGB, 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from silverprint.demo.shapes import Figure, Points

Picture = NDArray[np.float32]
Colour = tuple[float, float, float]

OVERSAMPLING = 2
"""Outlines are drawn this many times larger and averaged, since Pillow draws hard edges."""


@dataclass(frozen=True)
class Pose:
    """Where a figure stands: centre and size in pixels, a turn in radians, mirrored or not."""

    x: float
    y: float
    size: float
    turn: float
    mirrored: bool
    stretch: float

    def place(self, points: Points) -> Points:
        """Figure coordinates to picture coordinates."""
        scale = self.size * np.array([self.stretch * (-1 if self.mirrored else 1), 1.0])
        c, s = np.cos(self.turn), np.sin(self.turn)
        placed: Points = points * scale @ np.array([[c, s], [-s, c]]) + [self.x, self.y]
        return placed


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]
) -> NDArray[np.float32]:
    """Noise in about -1..1 that varies over `cells` (down, across); float32 [height, width]."""
    grid = rng.uniform(-1, 1, size=(cells[0] + 2, cells[1] + 2)).astype(np.float32)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def paint(
    picture: Picture,
    figure: Figure,
    pose: Pose,
    colours: Sequence[Colour],
    light: float,
    rng: np.random.Generator,
) -> None:
    """Paint a figure in place. `light` is the direction, in radians, that light comes from."""
    height, width = picture.shape[:2]
    placed = [pose.place(part.points) for part in figure]
    corners = np.concatenate(placed)
    margin = 0.3 * pose.size + 4
    left, top = np.maximum(0, np.floor(corners.min(0) - margin)).astype(int)
    right, bottom = np.minimum([width, height], np.ceil(corners.max(0) + margin)).astype(int)
    if right - left < 4 or bottom - top < 4:
        return
    layer = _draw(figure, placed, pose.size, colours, (left, top, right, bottom))
    pixels = np.asarray(layer, dtype=np.float32) / np.float32(255)
    cover = pixels[..., 3:]
    view = picture[top:bottom, left:right]

    outline = layer.getchannel("A")
    reach = rng.uniform(0.04, 0.16) * pose.size
    away = (1, 0, reach * np.cos(light), 0, 1, reach * np.sin(light))
    fallen = outline.transform(outline.size, Image.Transform.AFFINE, away)
    view *= 1 - rng.uniform(0.25, 0.6) * _blurred(fallen, 0.07 * pose.size)[..., None]

    # The slope of the blurred outline passes for the roundness of a solid thing.
    down, across = np.gradient(_blurred(outline, 0.09 * pose.size))
    slope = (across * np.cos(light) + down * np.sin(light)) * pose.size
    fine = max(2, int(rng.uniform(6, 40)))
    grain = smooth_noise(rng, bottom - top, right - left, (fine, fine))
    shade = 1 - rng.uniform(0.08, 0.22) * slope + rng.uniform(0.02, 0.12) * grain
    colour = pixels[..., :3] * np.clip(shade, 0.35, 1.7)[..., None]
    view += cover * (colour - view)


def _draw(
    figure: Figure,
    placed: Sequence[Points],
    size: float,
    colours: Sequence[Colour],
    box: tuple[int, int, int, int],
) -> Image.Image:
    """The flat colours of a figure within `box`, RGBA."""
    left, top, right, bottom = box
    layer = Image.new("RGBA", (OVERSAMPLING * (right - left), OVERSAMPLING * (bottom - top)))
    draw = ImageDraw.Draw(layer)
    for part, points in zip(figure, placed, strict=True):
        red, green, blue = (round(255 * channel) for channel in colours[part.colour])
        fill = (red, green, blue, 255)
        dots = [(float(x), float(y)) for x, y in OVERSAMPLING * (points - [left, top])]
        if part.width == 0:
            draw.polygon(dots, fill=fill)
            continue
        thick = max(2.0, OVERSAMPLING * part.width * size)
        draw.line(dots, fill=fill, width=round(thick), joint="curve")
        for x, y in (dots[0], dots[-1]):
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=fill)
    return layer.reduce(OVERSAMPLING)


def _blurred(cover: Image.Image, radius: float) -> NDArray[np.float32]:
    """A grey picture, blurred, 0..1."""
    return np.asarray(
        cover.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32
    ) / np.float32(255)
