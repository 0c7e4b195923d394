"""Rules for activations that some graphs spell out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from silverprint.export.coreml.proof.expressions.layers import unary
from silverprint.export.coreml.proof.expressions.values import Constant, Value

_CUBE = 0.044715
"""Share of the cube in the tanh form of GELU."""


def close(found: float, wanted: float) -> bool:
    """Equal but for the rounding to float32."""
    return math.isclose(found, wanted, rel_tol=1e-6)


def single(constant: Constant | None) -> float | None:
    """The number of a constant that holds one."""
    if constant is None or constant.array.size != 1:
        return None
    return float(constant.array.reshape(()))


def _scaled(value: Value) -> tuple[float, Value]:
    """`value` as a number times one other value."""
    number = single(value.numbers.get("y"))
    if number is None or value.kind not in ("mul", "div"):
        return 1.0, value
    return number if value.kind == "mul" else 1 / number, value.inputs[0]


def _product(value: Value) -> tuple[float, list[Value]]:
    """`value` as a number times values, through multiplications and small powers."""
    number, inner = _scaled(value)
    if inner is not value:
        factor, values = _product(inner)
        return number * factor, values
    power = single(value.numbers.get("y"))
    if value.kind == "pow" and power in (2, 3):
        factor, values = _product(value.inputs[0])
        return factor ** int(power), values * int(power)
    if value.kind == "mul" and len(value.inputs) == 2:
        parts = [_product(one) for one in value.inputs]
        return math.prod(part[0] for part in parts), [one for part in parts for one in part[1]]
    return 1.0, [value]


def _is_product(number: float, factors: Sequence[Value], *wanted: Value) -> bool:
    """Whether number * factors is the product of `wanted`."""
    parts = [_product(one) for one in wanted]
    own = math.prod(part[0] for part in parts)
    ids = sorted(id(one) for part in parts for one in part[1])
    return ids == sorted(map(id, factors)) and close(number, own)


def _plus(value: Value, number: float) -> Value | None:
    """x, where `value` is x + number."""
    found = single(value.numbers.get("y")) if value.kind == "add" else None
    return value.inputs[0] if found is not None and close(found, number) else None


def _silu(value: Value) -> Value | None:
    """x * sigmoid(x)."""
    if value.kind != "mul" or len(value.inputs) != 2:
        return None
    for x, gate in (value.inputs, value.inputs[::-1]):
        if gate.kind == "sigmoid" and gate.inputs[0] is x:
            return unary("silu", x, value.name, value.place)
    return None


def _gelu(value: Value) -> Value | None:
    """x / 2 * (1 + erf(x / sqrt 2)), or with tanh(sqrt(2 / pi) * (x + 0.044715 x^3)) for erf."""
    if value.kind not in ("mul", "div"):
        return None
    number, factors = _product(value)
    for place, gate in enumerate(factors):
        inner = _plus(gate, 1)
        if inner is None or inner.kind not in ("erf", "tanh"):
            continue
        rest = factors[:place] + factors[place + 1 :]
        for x, mode in _arguments(inner):
            if _is_product(2 * number, rest, x):
                return unary("gelu", x, value.name, value.place, settings={"mode": mode})
    return None


def _arguments(inner: Value) -> Iterator[tuple[Value, str]]:
    """What may be x, where `inner` is the erf or tanh of a GELU."""
    number, argument = _scaled(inner.inputs[0])
    if inner.kind == "erf":
        if close(number, math.sqrt(0.5)):
            yield argument, "exact"
        return
    if not close(number, math.sqrt(2 / math.pi)) or len(argument.inputs) != 2:
        return
    for x, rest in (argument.inputs, argument.inputs[::-1]):
        if argument.kind == "add":
            cube, factors = _product(rest)
            fits = _is_product(cube / _CUBE, factors, x, x, x)
        else:
            square = _plus(rest, 1) if argument.kind == "mul" else None
            share, factors = _product(square) if square is not None else (0.0, [])
            fits = _is_product(share / _CUBE, factors, x, x)
        if fits:
            yield x, "tanh"


ACTIVATIONS: tuple[Callable[[Value], Value | None], ...] = (_silu, _gelu)
