"""Matches the expressions of the saved file with those of the reference, operator by operator.

It begins at the outputs and goes to the picture. Two values match when some form of the one and
some form of the other (see `rules`) are the same operator with equal settings, equal numbers and
inputs that match. So every weight is compared with the one weight that it must come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from silverprint.export.coreml.proof.expressions.forms import Forms
from silverprint.export.coreml.proof.expressions.layers import COMMUTATIVE
from silverprint.export.coreml.proof.expressions.values import CONSTANT, INPUT, MOVE, Value, moved
from silverprint.export.coreml.proof.expressions.weights import difference, not_finite

_ALTERNATIVES = (
    {
        *("conv", "conv_transpose", "linear", "max_pool", "average_pool", "softmax", "input"),
        *("relu", "clip", "sigmoid", "tanh", "silu", "gelu", "hard_sigmoid", "hard_swish", "elu"),
        *("leaky_relu", "prelu", "softplus", "softsign", "erf", "exp", "log", "sqrt", "abs"),
    },
    {"add", "sub", "mul", "div", "pow", "maximum", "minimum"},
)
"""Kinds that no translator puts for one another: one for the other is an error."""

_UNIQUE = {INPUT, "softmax"}
"""Kinds that nothing else stands for."""

_POSITIONS = 1e-6


@dataclass(frozen=True)
class Difference:
    """A layer that does not match: its `place` in the file, its `layer` name, what differs."""

    place: int
    layer: str
    check: str
    what: str


@dataclass
class Pairing:
    """What was found.

    `matched` operators and `numbers` (constants) with `count` single numbers in them are equal.
    `differences` are errors; `unproven` are layers that have no counterpart; `types` are those of
    the weights.
    """

    matched: int = 0
    numbers: int = 0
    count: int = 0
    differences: list[Difference] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    types: set[str] = field(default_factory=set)


def pair(outputs: Sequence[tuple[Value, Value]], names: Mapping[str, Value]) -> Pairing:
    """Match pairs of (saved, reference) and all that they are computed from.

    `names` are the values of the reference by the names that the file would give them: where two
    values have no form in common, matching goes on at the nearest values of the same name.
    """
    return _Matcher(names, Forms()).run(outputs)


_Fit = tuple[Value, Value, list[tuple[Value, Value]]]


class _Matcher:
    def __init__(self, names: Mapping[str, Value], forms: Forms) -> None:
        self._names, self._forms = names, forms
        self._done: set[tuple[int, int]] = set()
        self._kept: list[Value] = []
        self._result = Pairing()

    def run(self, outputs: Sequence[tuple[Value, Value]]) -> Pairing:
        waiting = list(outputs)
        while waiting:
            saved, reference = waiting.pop()
            key = (id(saved), id(reference))
            if key in self._done:
                continue
            self._done.add(key)
            self._kept += [saved, reference]
            waiting += self._match(saved, reference)
        self._result.differences.sort(key=lambda one: one.place)
        return self._result

    def _match(self, saved: Value, reference: Value) -> list[tuple[Value, Value]]:
        """Compare two values; the pairs of inputs that remain to be compared."""
        best = self._fitting(saved, reference)
        if best is None:
            return self._unlike(saved, reference)
        one, other, inputs = best
        self._result.matched += one.kind not in (INPUT, CONSTANT)
        self._compare(one, other)
        return [_of_one_shape(*both) for both in inputs] if one.kind == MOVE else inputs

    def _fitting(self, saved: Value, reference: Value) -> _Fit | None:
        """The forms with the same operator, and of those the ones whose inputs look alike."""
        plain = self._candidate(saved, reference)
        if plain is not None and plain[0] > len(saved.inputs):
            return plain[1]
        best = plain
        for one in self._forms(saved):
            for other in self._forms(reference):
                found = self._candidate(one, other)
                if found is not None and (best is None or found[0] > best[0]):
                    best = found
                    if found[0] > len(one.inputs):
                        return found[1]
        return None if best is None else best[1]

    def _candidate(self, one: Value, other: Value) -> tuple[int, _Fit] | None:
        """How well two values fit: a point if they agree, one for each pair of like inputs."""
        if one.kind != other.kind or len(one.inputs) != len(other.inputs):
            return None
        if set(one.numbers) != set(other.numbers) and not _optional(one, other):
            return None
        orders = [other.inputs]
        if one.kind in COMMUTATIVE and len(other.inputs) == 2:
            orders.append(other.inputs[::-1])
        agree = int(one.shape == other.shape and not _unequal(one, other))
        found = []
        for order in orders:
            inputs = list(zip(one.inputs, order, strict=True))
            found.append((agree + sum(self._alike(*both) for both in inputs), inputs))
        score, inputs = max(found, key=lambda each: each[0])
        return score, (one, other, inputs)

    def _alike(self, saved: Value, reference: Value) -> bool:
        if math.prod(saved.shape) != math.prod(reference.shape):
            return False
        if saved.kind == reference.kind and len(saved.inputs) == len(reference.inputs):
            return True
        kinds = {(one.kind, len(one.inputs)) for one in self._forms(saved)}
        return any((one.kind, len(one.inputs)) in kinds for one in self._forms(reference))

    def _unlike(self, saved: Value, reference: Value) -> list[tuple[Value, Value]]:
        """No form in common: an error where the kinds exclude one another, else unproven."""
        kinds = {saved.kind, reference.kind}
        exclusive = any(kinds <= family for family in _ALTERNATIVES)
        unknown = ":" in saved.kind + reference.kind
        unique = kinds & _UNIQUE and not unknown
        if unique or (exclusive and len(saved.inputs) == len(reference.inputs)):
            self._differs(saved, "d", f"is {saved.kind}, the reference has {reference.kind}")
            inputs = list(zip(saved.inputs, reference.inputs, strict=False))
            if all(one.shape == other.shape and self._alike(one, other) for one, other in inputs):
                return inputs
        else:
            named = f"{saved.name!r} ({saved.kind}, the reference has {reference.kind})"
            self._result.unproven.append(named)
        return self._nearest_named(saved)

    def _nearest_named(self, saved: Value) -> list[tuple[Value, Value]]:
        """The nearest values that `saved` is computed from and the reference has by name."""
        found, waiting, seen = [], list(saved.inputs), set()
        while waiting:
            value = waiting.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            same = self._names.get(value.name)
            if same is not None and same.shape == value.shape:
                found.append((value, same))
                continue
            if value.kind not in (INPUT, CONSTANT, MOVE):
                self._result.unproven.append(f"{value.name!r} ({value.kind})")
            waiting += value.inputs
        return found

    def _compare(self, saved: Value, reference: Value) -> None:
        if saved.shape != reference.shape:
            self._differs(
                saved, "b", f"has the shape {list(saved.shape)} instead of {list(reference.shape)}"
            )
            return
        for key in _unequal(saved, reference):
            one, other = saved.settings.get(key), reference.settings.get(key)
            self._differs(saved, "d", _setting(saved.kind, key, one, other))
        for key in sorted(set(saved.numbers) | set(reference.numbers)):
            mine, theirs = saved.numbers.get(key), reference.numbers.get(key)
            found = difference(key, mine, theirs, saved.shape)
            if found is None and mine is not None:
                found = not_finite(key, mine)
            if found is not None:
                self._differs(saved, "c", f"({saved.kind}): {found}")
            elif mine is not None and mine.array.size:
                self._result.numbers += 1
                self._result.count += mine.array.size
                if mine.array.dtype.kind == "f":
                    self._result.types.add(
                        "int8" if mine.steps is not None else mine.array.dtype.name
                    )

    def _differs(self, saved: Value, check: str, what: str) -> None:
        self._result.differences.append(Difference(saved.place, saved.name, check, what))


def _of_one_shape(saved: Value, reference: Value) -> tuple[Value, Value]:
    """The sources of a move: it takes them flat, so that a reshape before it does not show."""
    shape = reference.shape
    if saved.shape == shape or math.prod(saved.shape) != math.prod(shape):
        return saved, reference
    return moved(saved, lambda i: i.reshape(shape), saved.name, saved.place), reference


_LEFT_OUT = {"bias", "beta", "gamma", "epsilon", "low", "high"}


def _optional(one: Value, other: Value) -> bool:
    """Whether the two differ only in numbers that may be left out."""
    return set(one.numbers) ^ set(other.numbers) <= _LEFT_OUT


def _unequal(one: Value, other: Value) -> list[str]:
    """The settings that are not the same."""
    keys = sorted({*one.settings, *other.settings})
    return [key for key in keys if not _equal(one.settings.get(key), other.settings.get(key))]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape:
            return False
        if one.dtype.kind == "f":
            return bool(np.allclose(one, other, rtol=0, atol=_POSITIONS))
        return np.array_equal(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _setting(kind: str, key: str, one: Any, other: Any) -> str:
    if kind == MOVE:
        return "puts its numbers in another order than the reference (transpose, reshape, slice)"
    if isinstance(one, tuple) and any(isinstance(item, np.ndarray) for item in one):
        return f"({kind}) samples at other {key} than the reference"
    return f"({kind}): {key} is {one}, the reference has {other}"
