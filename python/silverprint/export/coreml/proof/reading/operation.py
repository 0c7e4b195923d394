"""An operation of an ML Program with what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from silverprint.export.coreml.proof.expressions.values import (
    CONSTANT,
    Constant,
    Shape,
    Unreadable,
    Value,
)

Reader = Callable[["Operation"], Value | list[Value]]


@dataclass(frozen=True)
class Operation:
    """An operation of the program with what it reads, by the name of the parameter."""

    kind: str
    arguments: Mapping[str, list[Any]]
    outputs: list[str]
    shapes: list[Shape]
    place: int

    @property
    def name(self) -> str:
        return self.outputs[0]

    @property
    def x(self) -> Value:
        return self.value("x")

    def given(self, parameter: str) -> Any:
        """A value or a plain constant (text, truth value); None where it is left out."""
        found = self.arguments.get(parameter)
        return found[0] if found else None

    def value(self, parameter: str) -> Value:
        found = self.given(parameter)
        if not isinstance(found, Value):
            raise Unreadable(f"{self.kind} without {parameter}")
        return found

    def number(self, parameter: str) -> Constant | None:
        found = self.given(parameter)
        if found is None:
            return None
        if not isinstance(found, Value) or found.kind != CONSTANT:
            raise Unreadable(f"{self.kind} with a computed {parameter}")
        return found.numbers["value"]

    def weight(self, parameter: str) -> Constant:
        found = self.number(parameter)
        if found is None:
            raise Unreadable(f"{self.kind} without {parameter}")
        return found

    def integers(self, parameter: str, default: list[int] | None = None) -> list[int]:
        found = self.number(parameter)
        if found is None:
            if default is None:
                raise Unreadable(f"{self.kind} without {parameter}")
            return default
        return [int(one) for one in found.array.reshape(-1)]

    def flag(self, parameter: str, default: bool = False) -> bool:
        found = self.number(parameter)
        return default if found is None else bool(found.array)

    def text(self, parameter: str, default: str) -> str:
        found = self.given(parameter)
        return default if found is None else str(found)
