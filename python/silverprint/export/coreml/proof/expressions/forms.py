"""Every form of a value that `rules` know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product

from silverprint.export.coreml.proof.expressions.rules import RULES, Rule
from silverprint.export.coreml.proof.expressions.rules_moves import BY_NUMBER, WITH_CONSTANT
from silverprint.export.coreml.proof.expressions.values import MOVE, Unreadable, Value, moved

_MOST = 24
"""Forms of one value; the longest chain of the rules gives fewer."""

_MOVED = 4
"""Ways to move the inputs of an operator of two that are tried."""

_TRANSPARENT = (
    {MOVE, "layer_norm", "batch_norm", "instance_norm", "reduce_mean"} | BY_NUMBER | WITH_CONSTANT
)
"""Kinds whose other forms may show only behind another form of their input."""


class Forms:
    """The forms of values, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[int, list[Value]] = {}

    def __call__(self, value: Value) -> list[Value]:
        """`value` itself and every other form of it, the nearest first."""
        found = self._known.get(id(value))
        if found is not None:
            return found
        # The end of a chain first, so that no value waits for a long row of others.
        for one in reversed(self._chain(value)):
            if id(one) not in self._known:
                self._known[id(one)] = list(self._all(one))
        return self._known[id(value)]

    def _chain(self, value: Value) -> list[Value]:
        """`value` and what `_behind` asks for, as far as it is not known."""
        chain, waiting, seen = [], [value], set()
        while waiting:
            one = waiting.pop()
            if id(one) not in seen and id(one) not in self._known:
                seen.add(id(one))
                chain.append(one)
                waiting += one.inputs if one.kind in _TRANSPARENT else ()
        return chain

    def _all(self, value: Value) -> Iterator[Value]:
        waiting, seen = [value], 0
        while waiting and seen < _MOST:
            current = waiting.pop(0)
            seen += 1
            yield current
            found = [_applied(rule, current) for rule in RULES]
            waiting += [other for other in found if other is not None]
            if current is value:
                waiting += self._behind(value)

    def _behind(self, value: Value) -> list[Value]:
        """`value` computed from other forms of its inputs."""
        if len(value.inputs) == 1 and value.kind in _TRANSPARENT:
            return [_on(value, other) for other in self(value.inputs[0])[1:]]
        if len(value.inputs) == 2 and value.kind in WITH_CONSTANT:
            either = [
                [one for one in self(given) if one.kind == MOVE and len(one.inputs) == 1]
                for given in value.inputs
            ]
            both = islice(product(*either), 1 + _MOVED)
            return [replace(value, inputs=pair) for pair in both if pair != value.inputs]
        return []


def _applied(rule: Rule, value: Value) -> Value | None:
    try:
        return rule(value)
    except (Unreadable, ValueError, TypeError, IndexError):  # a form that the rule does not mean
        return None


def _on(value: Value, other: Value) -> Value:
    """`value` computed from another form of its input."""
    index = value.settings.get("index")
    if index is None or (index < 0).any():
        return replace(value, inputs=(other,))
    return moved(other, lambda i: i.reshape(-1)[index], value.name, value.place)
