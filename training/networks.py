"""The students there are."""

from __future__ import annotations

from training.mobile import Mobile
from training.recipe import Architecture, Inherited
from training.student import Student

Network = Student | Mobile


def network(shape: Architecture | Inherited) -> Network:
    """The network that a record describes, with numbers from torch's generator."""
    return Student(shape) if isinstance(shape, Architecture) else Mobile(shape)
