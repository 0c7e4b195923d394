"""The things to recognise, each a random member of a family that its shape alone defines.

A figure is a list of parts in painting order. Coordinates lie roughly in -1..1, x to the right
and y down. A part names its colour by number (0 body, 1 second, 2 detail); which colours these
are, where the figure stands and how it is turned is decided without looking at the label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Float64 [n, 2]."""

BODY, SECOND, DETAIL = 0, 1, 2


@dataclass(frozen=True)
class Part:
    """A filled polygon, or a line with round ends where ``width`` is not zero."""

    points: Points
    colour: int = BODY
    width: float = 0.0


Figure = list[Part]


def polygon(*corners: tuple[float, float]) -> Points:
    """The corners as points."""
    return np.array(corners, dtype=np.float64)


def arc(
    x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360, n: int = 40
) -> Points:
    """Part of an ellipse; degrees run clockwise from the right, as in Pillow."""
    angle = np.radians(np.linspace(start, end, n))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def mug(rng: np.random.Generator) -> Figure:
    """A cup with one handle, seen a little from above."""
    half, tall, taper = rng.uniform(0.45, 0.68), rng.uniform(0.5, 0.85), rng.uniform(0.68, 1.0)
    x, opening = -0.2, rng.uniform(0.1, 0.24) * half
    grip = arc(
        x + half * (0.9 + 0.1 * taper),
        rng.uniform(-0.15, 0.05) * tall,
        rng.uniform(0.28, 0.48),
        rng.uniform(0.4, 0.62) * tall,
        -95,
        95,
    )
    base = arc(x, tall - opening, half * taper, opening, 180, 0)
    figure = [
        Part(grip, width=rng.uniform(0.11, 0.2)),
        Part(np.concatenate([arc(x, -tall, half, opening, 0, -180), base])),
    ]
    decoration = rng.integers(4)
    if decoration == 0:
        for low in (rng.uniform(-0.5, 0.0), rng.uniform(0.2, 0.5)):
            wide = half * (1 - (1 - taper) * (low + 1) / 2)
            figure.append(Part(arc(x, low * tall, wide * 0.98, opening, 175, 5), SECOND, 0.1))
    elif decoration == 1:
        size = rng.uniform(0.12, 0.25)
        figure.append(Part(arc(x, rng.uniform(0.0, 0.2), size, size), SECOND))
    figure.append(Part(arc(x, -tall, half, opening), DETAIL))
    figure.append(Part(arc(x, -tall, half, opening), BODY, rng.uniform(0.04, 0.08)))
    return figure


def bicycle(rng: np.random.Generator) -> Figure:
    """Two wheels, a diamond frame, saddle and handlebar, from the side."""
    radius, tyre, tube = rng.uniform(0.33, 0.42), rng.uniform(0.05, 0.09), rng.uniform(0.05, 0.09)
    rear, front = (-0.58, 0.3), (0.58, 0.3)
    crank = (rng.uniform(-0.14, -0.04), rng.uniform(0.3, 0.38))
    seat = (rng.uniform(-0.32, -0.2), rng.uniform(-0.34, -0.2))
    head = (rng.uniform(0.32, 0.42), rng.uniform(-0.38, -0.24))
    figure = []
    for x, y in (rear, front):
        if rng.random() < 0.6:
            for spoke in np.linspace(0, np.pi, int(rng.integers(4, 8)), endpoint=False):
                dx, dy = radius * np.cos(spoke), radius * np.sin(spoke)
                figure.append(Part(polygon((x - dx, y - dy), (x + dx, y + dy)), DETAIL, 0.018))
        figure.append(Part(arc(x, y, radius, radius), DETAIL, tyre))
    for line in ((rear, crank, seat, rear), (seat, head, crank), (head, front)):
        figure.append(Part(polygon(*line), BODY, tube))
    stem = (head[0] - 0.03, head[1] - rng.uniform(0.12, 0.24))
    reach = rng.uniform(0.12, 0.2)
    if rng.random() < 0.5:
        bar = arc(stem[0] + reach * 0.5, stem[1] + 0.11, reach * 0.8, 0.11, -120, 90)
    else:
        bar = polygon((stem[0] - reach, stem[1] - 0.05), stem, (stem[0] + 0.06, stem[1] + 0.02))
    top = (seat[0] - 0.03, seat[1] - rng.uniform(0.08, 0.18))
    figure += [
        Part(polygon(head, stem), BODY, tube),
        Part(bar, SECOND, tube),
        Part(polygon(seat, top), BODY, tube * 0.8),
        Part(polygon((top[0] - 0.13, top[1] - 0.02), (top[0] + 0.12, top[1])), SECOND, 0.1),
        Part(arc(*crank, 0.1, 0.1), SECOND),
    ]
    return figure


def fish(rng: np.random.Generator) -> Figure:
    """A fish from the side: spindle body, tail, fins, eye."""
    deep, full = rng.uniform(0.3, 0.55), rng.uniform(0.8, 1.4)
    t = np.linspace(0, np.pi, 36)
    x = 0.15 + 0.75 * np.cos(t)
    y = deep * np.sin(t) ** full
    body = np.concatenate([np.stack([x, -y], 1), np.stack([x, y], 1)[::-1]])
    spread, notch = rng.uniform(0.3, 0.55), rng.uniform(-0.9, -0.62)
    tail = polygon((-0.45, -0.05), (-1, -spread), (notch, 0), (-1, spread), (-0.45, 0.05))
    rise, back = rng.uniform(0.15, 0.35), rng.uniform(-0.3, -0.1)
    dorsal = polygon(
        (0.45, -deep * 0.6), (0.1, -deep - rise), (back, -deep - rise * 0.6), (-0.3, -deep * 0.5)
    )
    belly = polygon((0.25, deep * 0.7), (-0.05, deep + rise * 0.8), (-0.15, deep * 0.7))
    figure = [Part(tail, SECOND), Part(dorsal, SECOND), Part(belly, SECOND), Part(body)]
    if rng.random() < 0.5:
        for at in np.linspace(-0.3, 0.3, int(rng.integers(2, 5))):
            high = deep * (1 - ((at - 0.15) / 0.75) ** 2) ** (full / 2) * 0.85
            figure.append(Part(arc(at, 0, 0.06, high, -90, 90), SECOND, 0.06))
    eye = rng.uniform(0.05, 0.085)
    figure += [
        Part(arc(0.4, 0, 0.08, deep * 0.6, 90, 270), DETAIL, 0.03),
        Part(polygon((0.15, 0.08), (-0.15, 0.22), (-0.1, -0.02)), SECOND),
        Part(arc(0.62, -deep * 0.22, eye, eye), DETAIL),
    ]
    return figure


def house(rng: np.random.Generator) -> Figure:
    """Walls, a pitched roof, a door and windows."""
    half, eaves, floor = rng.uniform(0.5, 0.85), rng.uniform(-0.25, 0.0), rng.uniform(0.55, 0.8)
    ridge = eaves - rng.uniform(0.35, 0.65)
    flat, over = half * rng.choice([0.0, rng.uniform(0.3, 0.6)]), rng.uniform(0.06, 0.14)
    figure = []
    if rng.random() < 0.7:
        chimney, wide = rng.uniform(0.3, 0.6) * half, 0.08
        up = ridge - rng.uniform(0.0, 0.12)
        figure.append(
            Part(
                polygon(
                    (chimney - wide, up),
                    (chimney + wide, up),
                    (chimney + wide, eaves),
                    (chimney - wide, eaves),
                ),
                SECOND,
            )
        )
    figure += [
        Part(_box(0, (eaves + floor) / 2, half, (floor - eaves) / 2)),
        Part(
            polygon((-half - over, eaves), (-flat, ridge), (flat, ridge), (half + over, eaves)),
            SECOND,
        ),
    ]
    columns = int(rng.integers(2, 4))
    door = int(rng.integers(columns))
    pane, high = rng.uniform(0.09, 0.13), rng.uniform(0.1, 0.15)
    for column in range(columns):
        x = half * ((column + 0.5) / columns * 2 - 1)
        if column == door:
            figure.append(Part(_box(x, floor - 0.2, 0.11, 0.2), DETAIL))
            continue
        y = eaves + (floor - eaves) * 0.45
        figure.append(Part(_box(x, y, pane, high), DETAIL))
        figure.append(Part(polygon((x, y - high), (x, y + high)), BODY, 0.025))
        figure.append(Part(polygon((x - pane, y), (x + pane, y)), BODY, 0.025))
    return figure


def tree(rng: np.random.Generator) -> Figure:
    """A trunk with a crown of leaves, round or in tiers."""
    thick, foot = rng.uniform(0.07, 0.14), rng.uniform(0.8, 0.95)
    trunk = polygon((-thick, foot), (-thick * 0.6, -0.1), (thick * 0.6, -0.1), (thick, foot))
    figure = [Part(trunk, SECOND)]
    if rng.random() < 0.4:
        tiers, half, top = int(rng.integers(3, 5)), rng.uniform(0.45, 0.65), -0.95
        step = rng.uniform(1.3, 1.5) / tiers
        for tier in range(tiers - 1, -1, -1):
            wide, low = half * (tier + 1.4) / (tiers + 0.4), top + step * (tier + 1.25)
            sag = (0.0, low - 0.07)
            figure.append(
                Part(polygon((0, top + step * tier * 0.85), (wide, low), sag, (-wide, low)))
            )
        return figure
    for side in (-1, 1):
        bough = polygon((0, rng.uniform(0.2, 0.4)), (side * 0.35, rng.uniform(-0.15, 0.05)))
        figure.append(Part(bough, SECOND, thick * 0.7))
    wide, high = rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.42)
    for angle in np.linspace(0, 2 * np.pi, int(rng.integers(6, 10)), endpoint=False):
        puff = rng.uniform(0.2, 0.32)
        x, y = wide * np.cos(angle), -0.35 + high * np.sin(angle)
        figure.append(Part(arc(x, y, puff, puff * rng.uniform(0.8, 1.0))))
    figure.append(Part(arc(0, -0.35, wide, high)))
    return figure


def umbrella(rng: np.random.Generator) -> Figure:
    """An open umbrella: a dome with a scalloped edge, a stick and a hooked handle."""
    half, dome, edge = rng.uniform(0.75, 0.98), rng.uniform(0.5, 0.8), rng.uniform(-0.15, 0.05)
    panels, drop = int(rng.integers(4, 8)), rng.uniform(0.06, 0.14)
    tips = -half * np.cos(np.linspace(0, np.pi, panels + 1))
    scallops = [arc((a + b) / 2, edge, (b - a) / 2, drop, 180, 360, 10) for a, b in pairwise(tips)]
    top, stick, hook = edge - dome, rng.uniform(0.04, 0.07), rng.uniform(0.1, 0.17)
    low = rng.uniform(0.65, 0.85)
    handle = np.concatenate(
        [polygon((0, top - 0.1), (0, low)), arc(-hook, low, hook, hook, 0, 170)]
    )
    cloth = np.concatenate([arc(0, edge, half, dome, 360, 180), *scallops])
    figure = [Part(handle, DETAIL, stick), Part(cloth)]
    if rng.random() < 0.5:
        for a, b in zip(tips[:-1:2], tips[1::2], strict=False):
            figure.append(Part(_panel(a, b, half, edge, dome), SECOND))
    for tip in tips[1:-1]:
        side = arc(0, edge, abs(tip), dome, 270, 360 if tip > 0 else 180, 16)
        figure.append(Part(side, SECOND, 0.022))
    return figure


def _box(x: float, y: float, half_width: float, half_height: float) -> Points:
    left, right, top, bottom = x - half_width, x + half_width, y - half_height, y + half_height
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _panel(a: float, b: float, half: float, edge: float, dome: float) -> Points:
    """The cloth between two ribs that end at `a` and `b`."""
    left = arc(0, edge, abs(a), dome, 180 if a < 0 else 360, 270, 16)
    right = arc(0, edge, abs(b), dome, 270, 180 if b < 0 else 360, 16)
    return np.concatenate(
        [left, right, arc((a + b) / 2, edge, (b - a) / 2, half * 0.1, 360, 180, 10)]
    )


FIGURES: dict[str, Callable[[np.random.Generator], Figure]] = {
    "bicycle": bicycle,
    "fish": fish,
    "house": house,
    "mug": mug,
    "tree": tree,
    "umbrella": umbrella,
}
"""Every label with its family, in the order of the folders."""
