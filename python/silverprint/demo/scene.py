"""Composing one picture: background, clutter, the thing itself, something before it."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from silverprint.demo.paint import Colour, Picture, Pose, paint, smooth_noise
from silverprint.demo.shapes import FIGURES, Part, arc, polygon


def compose(label: str, rng: np.random.Generator) -> Picture:
    """A scene that shows `label`, before the camera's faults; float32 [height, width, 3], 0..1.

    Only the figure's shape depends on the label: colours, place, size, turn, background and
    clutter come from the same distributions for all. The thing lies mostly within the central
    square, because that is what a centre crop leaves of a picture.
    """
    width, height = int(rng.integers(320, 401)), int(rng.integers(240, 301))
    short = min(width, height)
    light = rng.uniform(np.pi, 2 * np.pi)
    ground = _colour(rng)
    picture = _background(height, width, ground, rng)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        _paint_clutter(picture, x, y, short * rng.uniform(0.06, 0.17), light, rng)

    size = short * rng.uniform(0.35, 0.48)
    room = max(0.0, short / 2 - 0.8 * size)
    x, y = width / 2 + rng.uniform(-room, room), height / 2 + rng.uniform(-room, room)
    pose = Pose(x, y, size, rng.normal(0, 0.15), rng.random() < 0.5, rng.uniform(0.85, 1.18))
    paint(picture, FIGURES[label](rng), pose, _palette(rng, ground), light, rng)

    if rng.random() < 0.5:
        angle, away = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.75, 1.1)
        x, y = x + away * np.cos(angle), y + away * np.sin(angle)
        _paint_clutter(picture, x, y, size * rng.uniform(0.15, 0.36), light, rng)
    return picture


def _colour(rng: np.random.Generator) -> Colour:
    return colorsys.hsv_to_rgb(rng.random(), rng.beta(1.2, 2.6), rng.uniform(0.15, 1.0))


def _palette(rng: np.random.Generator, *apart: Colour) -> list[Colour]:
    """Three colours that differ clearly from one another and from those of `apart`.

    Terminates: at a distance of 0.4 each colour rules out one corner of the colour cube, and
    there are more corners than colours.
    """
    chosen: list[Colour] = []
    while len(chosen) < 3:
        colour = _colour(rng)
        others = (*apart, *chosen)
        if all(max(abs(a - b) for a, b in zip(colour, o, strict=True)) > 0.4 for o in others):
            chosen.append(colour)
    return chosen


def _background(height: int, width: int, ground: Colour, rng: np.random.Generator) -> Picture:
    """Two colours mixed by a pattern, on an uneven surface."""
    change = np.subtract(_colour(rng), ground).astype(np.float32)
    mix = _pattern(height, width, rng)[..., None]
    picture = np.asarray(np.array(ground, np.float32) + mix * change, np.float32)
    for cells in (6, 25, 80):
        rough = smooth_noise(rng, height, width, (cells, int(cells * rng.uniform(0.3, 1.5))))
        picture *= 1 + rng.uniform(0, 0.07) * rough[..., None]
    return picture


def _pattern(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A slope, a table's edge, stripes, checks or a blurred distance; 0..1, [height, width]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    turn, long = rng.uniform(0, np.pi), max(width, height)
    along = (x * np.cos(turn) + y * np.sin(turn)) / long
    across = (y * np.cos(turn) - x * np.sin(turn)) / long
    strength = rng.uniform(0.08, 0.35)
    match int(rng.integers(5)):
        case 0:
            mix = along + rng.uniform(-0.3, 0.3)
            strength = 1.0
        case 1:
            horizon = rng.uniform(0.35, 0.75) * height + rng.uniform(-0.15, 0.15) * (x - width / 2)
            mix = (y - horizon) / rng.uniform(1, 6)
            strength = 1.0
        case 2:
            wave = np.sin(along * rng.uniform(20, 90) + smooth_noise(rng, height, width, (3, 3)))
            mix = 0.5 + rng.uniform(0.5, 3) * wave
        case 3:
            pitch = rng.uniform(15, 50)
            mix = 0.5 + rng.uniform(1, 6) * np.sin(along * pitch) * np.sin(across * pitch)
        case _:
            cells = int(rng.integers(3, 12))
            mix = 0.5 + 0.9 * smooth_noise(rng, height, width, (cells, cells))
    return np.asarray(strength * np.clip(mix, 0, 1), np.float32)


def _paint_clutter(
    picture: Picture, x: float, y: float, size: float, light: float, rng: np.random.Generator
) -> None:
    pose = Pose(x, y, size, rng.uniform(-np.pi, np.pi), False, rng.uniform(0.7, 1.3))
    figure = [_clutter_part(rng, centred=index == 0) for index in range(int(rng.integers(1, 4)))]
    paint(picture, figure, pose, _palette(rng), light, rng)


def _clutter_part(rng: np.random.Generator, *, centred: bool) -> Part:
    """A stroke, disc, ring or edge such as the labels' figures are made of as well."""
    x, y = (0.0, 0.0) if centred else rng.uniform(-0.6, 0.6, 2)
    a, b = rng.uniform(0.25, 0.9, 2)
    colour, width = int(rng.integers(3)), rng.uniform(0.05, 0.25)
    match int(rng.integers(6)):
        case 0:
            corners = polygon((x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b))
            return Part(corners, colour)
        case 1:
            return Part(arc(x, y, a, b), colour)
        case 2:
            return Part(arc(x, y, a, a), colour, width)
        case 3:
            return Part(rng.uniform(-1, 1, (3, 2)), colour)
        case 4:
            start = rng.uniform(0, 360)
            return Part(arc(x, y, a, b, start, start + rng.uniform(60, 250)), colour, width)
        case _:
            return Part(rng.uniform(-1, 1, (int(rng.integers(2, 5)), 2)), colour, width)
