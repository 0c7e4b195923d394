"""The one table of MIL operators that the executor knows, and what their functions share.

Each operator is one function of keyword parameters, called and defaulted as coremltools documents
them. It takes float32, integer and bool arrays (parameters such as axes are arrays, too), or str
for texts, and returns one array, or a tuple where the operator has several outputs. A number that
the operator's documentation leaves open is never guessed: `undefined` refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

IOS15, IOS16, IOS17, IOS18 = 5, 6, 7, 8
"""Operator sets ``CoreML5`` to ``CoreML8``, as the operators' documentation calls them."""


@dataclass(frozen=True)
class Operator:
    """`compute` holds from the operator set `since` on; see `operator` for the two flags."""

    compute: Callable[..., Any]
    since: int
    mixes_floats: bool
    required: frozenset[str]
    allowed: frozenset[str]


_TABLE: dict[str, list[Operator]] = {}


def operator(
    name: str, *, since: int = IOS15, mixes_floats: bool = False
) -> Callable[[Function], Function]:
    """Enter a function into the table as the operator `name` of the operator set `since`.

    `mixes_floats`: its float inputs and outputs may have different declared widths.
    """

    def enter(compute: Function) -> Function:
        parameters = signature(compute).parameters.values()
        required = frozenset(one.name for one in parameters if one.default is Parameter.empty)
        allowed = frozenset(one.name for one in parameters)
        entry = Operator(compute, since, mixes_floats, required, allowed)
        versions = _TABLE.setdefault(name, [])
        versions.append(entry)
        versions.sort(key=lambda one: one.since)
        return compute

    return enter


def lookup(name: str, opset: int) -> Operator | None:
    """The operator as the operator set `opset` has it; None where it is unknown."""
    versions = [one for one in _TABLE.get(name, []) if one.since <= opset]
    return versions[-1] if versions else None


def known() -> list[str]:
    """The names of all operators in the table."""
    return sorted(_TABLE)


def integers(values: Array) -> tuple[int, ...]:
    """The numbers of a parameter such as ``axes`` or ``pad``."""
    return tuple(int(one) for one in np.ravel(values))


def axis_of(axis: Array | int, rank: int) -> int:
    """`axis` counted from the front. Raises ValueError where there is no such axis."""
    number = int(axis)
    if not -rank <= number < rank:
        raise ValueError(f"there is no axis {number} among {rank}")
    return number % rank


def axes_of(axes: Array | None, rank: int) -> tuple[int, ...]:
    """`axes` counted from the front; None stands for all of them."""
    if axes is None:
        return tuple(range(rank))
    return tuple(axis_of(one, rank) for one in np.ravel(axes))


def per_channel(values: Array, x: Array) -> Array:
    """A vector [C] laid along the second axis of `x`."""
    if values.shape != x.shape[1:2]:
        raise ValueError(f"{values.size} numbers for the channels of {list(x.shape)}")
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def undefined(what: str) -> NoReturn:
    """Raise ValueError: the documentation of MIL does not say what is computed here."""
    raise ValueError(f"MIL does not define {what}")
