"""An ONNX node with what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from silverprint.export.coreml.proof.expressions.values import CONSTANT, Constant, Unreadable, Value

Reader = Callable[["Node"], Value | list[Value]]


@dataclass(frozen=True)
class Node:
    """A node with what it reads. `inputs` has None where an optional input is left out."""

    operator: str
    attributes: Mapping[str, Any]
    inputs: list[Value | None]
    outputs: list[str]
    opset: int
    place: int

    @property
    def name(self) -> str:
        return self.outputs[0]

    def value(self, number: int) -> Value:
        """An input that must be there."""
        found = self.given(number)
        if found is None:
            raise Unreadable(f"{self.operator} without its input {number}")
        return found

    def given(self, number: int) -> Value | None:
        """An input that may be left out."""
        return self.inputs[number] if number < len(self.inputs) else None

    def number(self, number: int) -> Constant | None:
        """An input that is a weight. Raises Unreadable where it is computed."""
        value = self.given(number)
        if value is None:
            return None
        if value.kind != CONSTANT:
            raise Unreadable(f"{self.operator} with a computed weight")
        return value.numbers["value"]

    def weight(self, number: int) -> Constant:
        """A weight that must be there."""
        self.value(number)
        found = self.number(number)
        assert found is not None
        return found

    def integers(self, number: int, attribute: str | None = None) -> list[int] | None:
        """Whole numbers, from an input or, as in older versions, from an attribute."""
        if attribute is not None and attribute in self.attributes:
            return [int(one) for one in np.atleast_1d(self.attributes[attribute])]
        found = self.number(number)
        return None if found is None else [int(one) for one in found.array.reshape(-1)]

    def text(self, attribute: str, default: str) -> str:
        found = self.attributes.get(attribute, default)
        return found.decode() if isinstance(found, bytes) else str(found)
