"""Names that other libraries use, and what our classes have instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def instead_of(**ours: str) -> Callable[[Class], Class]:
    """Make a class answer each name given here with an AttributeError that says what to use.

    ``hasattr`` stays False, and any other name fails as it would have.
    """

    def missing(self: object, name: str) -> Any:
        if name in ours:
            # Without obj= Python appends no guess of its own to this advice.
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}; use {ours[name]}",
                name=name,
            )
        return object.__getattribute__(self, name)

    def point(cls: Class) -> Class:
        cls.__getattr__ = missing  # type: ignore[attr-defined]
        return cls

    return point
