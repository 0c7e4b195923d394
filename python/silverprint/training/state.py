"""What a unit of work depends on: named arrays and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class State:
    """Arrays and values by name; names of a nested state begin with its own and a period.

    Attributes:
        arrays: NumPy arrays.
        values: what JSON can hold.
    """

    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Mapping[str, Any]) -> State:
        """The state with these `entries`."""
        state = cls()
        for name, value in entries.items():
            (state.arrays if isinstance(value, np.ndarray) else state.values)[name] = value
        return state

    def as_dict(self) -> dict[str, Any]:
        """The entries, without nested ones."""
        both = {**self.arrays, **self.values}
        return {name: value for name, value in both.items() if "." not in name}

    def put(self, name: str, inner: State) -> None:
        """Add a nested state."""
        self.arrays.update({f"{name}.{key}": value for key, value in inner.arrays.items()})
        self.values.update({f"{name}.{key}": value for key, value in inner.values.items()})

    def get(self, name: str) -> State:
        """The nested state that was put under that name; empty if none was."""
        start = name + "."

        def inner(entries: dict[str, Any]) -> dict[str, Any]:
            return {
                key.removeprefix(start): value
                for key, value in entries.items()
                if key.startswith(start)
            }

        return State(inner(self.arrays), inner(self.values))
