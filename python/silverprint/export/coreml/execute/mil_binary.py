"""Elementwise operators with two inputs, broadcast as in numpy, and ``select``.

Definitions: coremltools, iOS15 ``elementwise_binary`` and ``control_flow``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from silverprint.export.coreml.execute.mil_table import Array, operator, undefined

_FUNCTIONS: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "equal": np.equal,
    "floor_div": np.floor_divide,  # rounded towards negative infinity
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,  # x % y as in Python: the sign is that of y
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "pow": np.power,
    "sub": np.subtract,
}


def _enter(name: str, function: Callable[[Array, Array], Array]) -> None:
    @operator(name)
    def compute(*, x: Array, y: Array) -> Array:
        return function(x, y)


for _name, _function in _FUNCTIONS.items():
    _enter(_name, _function)


@operator("real_div")
def real_div(*, x: Array, y: Array) -> Array:
    """x / y."""
    if x.dtype.kind != "f":
        undefined("how real_div rounds integers")
    return np.divide(x, y)


@operator("select")
def select(*, cond: Array, a: Array | None = None, b: Array | None = None) -> Array:
    """a where cond, else b; without a and b the places (rows) where cond is true."""
    if a is None or b is None:
        return np.argwhere(cond).astype(np.int32)
    return np.where(cond, a, b)
