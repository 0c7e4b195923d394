"""What a network computes, as expressions that do not depend on a file format.

The saved file and the ONNX reference are both read into these. Operators that only move numbers
(reshape, transpose, slice, concatenation, padding, ...) do not stand in them by name: a chain of
them is one ``move``, which says for every number of the result where it comes from. So it does not
matter how a translator cuts such a chain, and a wrong permutation always shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

INPUT, CONSTANT, MOVE = "input", "constant", "move"


class Unreadable(Exception):
    """An operator, or a form of one, that the structural proof does not know."""


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers of the model: a weight, or a parameter such as an epsilon.

    `array` has the dtype it is stored in. `steps` holds the stored integers of a weight of 8
    bits, `scale` and `axis` what they are multiplied by.
    """

    array: Array
    name: str = ""
    steps: Array | None = None
    scale: Array | None = None
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Value:
    """One result of the network.

    `inputs` are the values it is computed from, `settings` the parameters that are exact (axes,
    strides, modes), `numbers` the constants. `place` is the position in the file, `name` what it
    is called there.
    """

    kind: str
    shape: Shape
    inputs: tuple[Value, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Constant] = field(default_factory=dict)
    name: str = ""
    place: int = -1


@dataclass(frozen=True, eq=False)
class Plan:
    """A move: `index` has the shape of the result.

    An entry of 0 or more is a position in the sources laid one after the other, each flattened;
    ``-1 - k`` stands for entry k of `table`.
    """

    sources: tuple[Value, ...]
    index: npt.NDArray[np.int32]
    table: Array


def unreadable(
    kind: str, shape: Shape, inputs: Sequence[Value], name: str, place: int, output: int
) -> Value:
    """What an operator gives that is not known; the `kind` has a colon in it.

    The shape may be (), for one that is not known either.
    """
    return Value(kind, shape, tuple(inputs), {"output": output}, {}, name, place)


def shapeless(value: Value) -> bool:
    """Whether nothing can be computed from `value`, not even a shape."""
    return ":" in value.kind and not value.shape


_NOTHING = np.zeros(0, np.float32)


def constant(array: Array, name: str = "") -> Value:
    """A value that is known."""
    numbers = {"value": Constant(array, name)}
    return Value(CONSTANT, tuple(array.shape), (), {}, numbers, name)


def known(value: Value) -> Array | None:
    """The numbers of a constant value."""
    return value.numbers["value"].array if value.kind == CONSTANT else None


def plan_of(value: Value) -> Plan:
    """`value` as a move, be it the trivial one."""
    if value.kind == MOVE:
        return Plan(value.inputs, value.settings["index"], value.numbers["table"].array)
    if value.kind == CONSTANT:
        array = value.numbers["value"].array
        index = -1 - np.arange(array.size, dtype=np.int32).reshape(array.shape)
        return Plan((), index, array.reshape(-1))
    size = math.prod(value.shape)
    return Plan((value,), np.arange(size, dtype=np.int32).reshape(value.shape), _NOTHING)


def moved(value: Value, rearrange: Callable[[Any], Any], name: str, place: int = -1) -> Value:
    """What `rearrange`, a function from array to array, makes of `value`."""
    plan = plan_of(value)
    index = np.asarray(rearrange(plan.index))
    return _move(Plan(plan.sources, index, plan.table), name, place)


def joined(
    values: Sequence[Value], join: Callable[[list[Any]], Any], name: str, place: int = -1
) -> Value:
    """What `join`, a function from a list of arrays to an array, makes of `values`."""
    sources: list[Value] = []
    indices: list[Array] = []
    tables: list[Array] = []
    start = length = 0
    for value in values:
        plan = plan_of(value)
        indices.append(np.where(plan.index < 0, plan.index - length, plan.index + start))
        sources += plan.sources
        tables.append(plan.table)
        start += sum(math.prod(source.shape) for source in plan.sources)
        length += plan.table.size
    kept = [table for table in tables if table.size]
    table = np.concatenate(kept) if kept else _NOTHING
    return _move(Plan(tuple(sources), np.asarray(join(indices)), table), name, place)


def _move(plan: Plan, name: str, place: int) -> Value:
    """The one form of a move: sources once each, in the order in which they first appear."""
    index = np.ascontiguousarray(plan.index, np.int32)
    sources = plan.sources
    if not sources or bool((index < 0).all()):
        array = plan.table[-1 - index].reshape(index.shape)
        return Value(CONSTANT, tuple(index.shape), (), {}, {"value": Constant(array)}, name, place)
    if len(sources) > 1:
        sources, index = _ordered(sources, index)
    if len(sources) == 1 and sources[0].shape == index.shape:
        plain = np.arange(index.size, dtype=np.int32)
        if np.array_equal(index.reshape(-1), plain):
            return sources[0]
    # Constants beside the numbers: in the order of the result, so that equal moves are equal.
    from_table = index < 0
    table = plan.table[-1 - index[from_table]]
    if table.size:
        index[from_table] = -1 - np.arange(table.size)
    settings, numbers = {"index": index}, {"table": Constant(table)}
    return Value(MOVE, tuple(index.shape), sources, settings, numbers, name, place)


def _ordered(sources: tuple[Value, ...], index: Array) -> tuple[tuple[Value, ...], Array]:
    sizes = [math.prod(source.shape) for source in sources]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    flat = index.reshape(-1)
    owner = np.searchsorted(starts, flat, side="right") - 1  # -1 for constants
    identities: dict[int, int] = {}
    order: list[Value] = []
    new_starts = np.zeros(len(sources), np.int32)
    total = 0
    present, first = np.unique(owner, return_index=True)
    for number in present[np.argsort(first)]:
        if number < 0:
            continue
        source = sources[number]
        if id(source) not in identities:
            identities[id(source)] = total
            order.append(source)
            total += sizes[number]
        new_starts[number] = identities[id(source)]
    shift = np.where(owner < 0, 0, new_starts[owner] - starts[owner])
    return tuple(order), (flat + shift).reshape(index.shape)


def ancestors(outputs: Sequence[Value]) -> Iterator[Value]:
    """`outputs` and all they are computed from, each once."""
    seen: set[int] = set()
    waiting = list(outputs)
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting.extend(value.inputs)
