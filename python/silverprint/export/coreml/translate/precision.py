"""Which operations of a MIL program may become float16."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

HEAD_LIMIT = 1e3
"""A head with a weight or bias beyond this stays float32: float16 keeps only 11 bits of it."""

_LEAST = 2.0**-14
"""Constants that are all smaller than this lose bits in float16, and below 6e-8 their size."""

_HEAD = {
    *("softmax", "linear", "relu", "matmul", "add", "sub", "mul", "real_div", "transpose", "const"),
}
"""What a head may be made of, from the probabilities back to the features."""


def may_round(program: Any) -> Callable[[Any], bool]:
    """Selects the operations of `program` that may become float16.

    All but a head with numbers beyond `HEAD_LIMIT`, and operations with a constant that float16
    cannot hold to 11 bits because it is too small.
    """
    if largest_in_head(program) > HEAD_LIMIT:
        return lambda operation: not _in_head(operation) and not _too_small(operation)
    return lambda operation: not _too_small(operation)


def largest_in_head(program: Any) -> float:
    """The largest absolute constant between the probabilities and the features; 0 without any."""
    largest = 0.0
    pending = [program.functions["main"].outputs[0].op]
    if pending[0] is None or pending[0].op_type != "softmax":
        return largest
    while pending:
        operation = pending.pop()
        if operation is None or operation.op_type not in _HEAD:
            continue
        if operation.op_type == "const":
            largest = max(largest, _magnitude(operation.outputs[0]))
        pending += [value.op for value in _inputs(operation)]
    return largest


def _in_head(operation: Any) -> bool:
    if operation.op_type not in _HEAD:
        return False
    users = [user for value in operation.outputs for user in value.child_ops]
    if users:
        return all(_in_head(user) for user in users)
    return bool(operation.op_type == "softmax")


def _too_small(operation: Any) -> bool:
    constants = [
        _magnitude(value)
        for name, given in operation.inputs.items()
        if name != "epsilon"
        for value in _listed(given)
        if value.op is not None and value.op.op_type == "const"
    ]
    return any(0.0 < magnitude < _LEAST for magnitude in constants)


def _inputs(operation: Any) -> Iterator[Any]:
    for given in operation.inputs.values():
        yield from _listed(given)


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _magnitude(value: Any) -> float:
    array = np.asarray(value.val)
    return float(np.abs(array).max(initial=0.0)) if array.dtype.kind == "f" else 0.0
