"""How a backbone wants its pixels: as its user says, or else as its metadata does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from silverprint.errors import BackboneError, InvalidParameterError


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / std on the 0..255 scale, then the order of the channels.

    Attributes:
        mean, std: for red, green and blue.
        channel_order: "RGB" or "BGR".
    """

    mean: Sequence[float]
    std: Sequence[float]
    channel_order: str = "RGB"


def normalisation_of(
    path: object,
    entries: Mapping[str, str],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: str | None = None,
) -> Normalisation:
    """What the model at `path` wants; None: what its metadata `entries` say.

    Raises:
        BackboneError: neither says mean or std.
        InvalidParameterError: a value is not allowed.
    """
    found_mean, found_std = stated_normalisation(entries)
    values = {
        "mean": found_mean if mean is None else mean,
        "std": found_std if std is None else std,
    }
    for name, value in values.items():
        if value is None:
            raise BackboneError(
                f"{path}: its metadata does not say {name}; pass mean= and std= on the 0..255 "
                "scale, or mean=(0, 0, 0), std=(1, 1, 1) for a graph that normalises itself"
            )
        numbers = all(isinstance(v, (int, float)) for v in value)
        good = len(value) == 3 and numbers and bool(np.isfinite(value).all())
        if not good or (name == "std" and min(value) <= 0):
            positive = "positive " if name == "std" else ""
            raise InvalidParameterError(name, value, f"three {positive}numbers")
    order = channel_order or entries.get("channel_order") or "RGB"
    if order not in ("RGB", "BGR"):
        raise InvalidParameterError("channel_order", order, "'RGB' or 'BGR'")
    return Normalisation(values["mean"] or (), values["std"] or (), order)


def stated_normalisation(
    entries: Mapping[str, str],
) -> tuple[list[float] | None, list[float] | None]:
    """`mean` and `std` as a model's metadata give them: three numbers, or one for all channels."""
    found: list[list[float] | None] = []
    for key in ("mean", "std"):
        try:
            value = json.loads(entries[key])
            values = [float(v) for v in (value if isinstance(value, list) else [value])]
            found.append(values * 3 if len(values) == 1 else values if len(values) == 3 else None)
        except (KeyError, ValueError, TypeError):
            found.append(None)
    return found[0], found[1]


def as_tuple(name: str, value: Any) -> tuple[Any, ...]:
    """A parameter that holds several values, with Python's numbers for NumPy's.

    Raises:
        InvalidParameterError: it holds one value only.
    """
    try:
        return tuple(item.item() if isinstance(item, np.generic) else item for item in value)
    except TypeError:
        raise InvalidParameterError(name, value, "a sequence of numbers") from None
