"""Elementwise operators with one input. Definitions: coremltools, iOS15 ``elementwise_unary``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from silverprint.export.coreml.execute import kernels
from silverprint.export.coreml.execute.mil_table import IOS17, Array, operator, undefined

_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": kernels.erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "floor": np.floor,
    "logical_not": np.logical_not,
    "round": np.round,  # to the nearest integer, 0.5 to 0: halves to even
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""What is fully said by the name of a mathematical function."""


def _enter(name: str, function: Callable[[Array], Array]) -> None:
    @operator(name)
    def compute(*, x: Array) -> Array:
        return function(x)


for _name, _function in _FUNCTIONS.items():
    _enter(_name, _function)


@operator("identity")
def identity(*, x: Array) -> Array:
    """x."""
    return x


@operator("clip")
def clip(*, x: Array, alpha: Array, beta: Array) -> Array:
    """min(max(x, alpha), beta)."""
    return np.minimum(np.maximum(x, alpha), beta)


@operator("clip", since=IOS17)
def clip_ios17(*, x: Array, alpha: Array, beta: Array) -> Array:
    """As before, but alpha must be less than beta."""
    if not alpha < beta:
        undefined(f"clip between {alpha} and {beta}")
    return clip(x=x, alpha=alpha, beta=beta)


@operator("threshold")
def threshold(*, x: Array, alpha: Array) -> Array:
    """max(x, alpha)."""
    return np.maximum(x, alpha)


@operator("inverse")
def inverse(*, x: Array, epsilon: Array | float = 1e-4) -> Array:
    """1 / (x + epsilon)."""
    return np.float32(1) / (x + np.float32(epsilon))


@operator("log")
def log(*, x: Array, epsilon: Array | float = 1e-45) -> Array:
    """log(x + epsilon)."""
    return np.log(x + np.float32(epsilon))


@operator("rsqrt")
def rsqrt(*, x: Array, epsilon: Array | float = 1e-12) -> Array:
    """1 / sqrt(x + epsilon)."""
    return np.float32(1) / np.sqrt(x + np.float32(epsilon))


_CASTS: dict[str, type] = {
    "bool": np.bool_,
    "fp16": np.float32,  # rounding to float16 is the business of whoever runs the program
    "fp32": np.float32,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "uint8": np.uint8,
    "uint16": np.uint16,
}


@operator("cast", mixes_floats=True)
def cast(*, x: Array, dtype: str) -> Array:
    """x as the type `dtype`; a fraction is cut off. What the type cannot hold is not defined."""
    if dtype not in _CASTS:
        undefined(f"cast to {dtype!r}")
    target: Any = np.dtype(_CASTS[dtype])
    if target.kind in "iu":
        limits = np.iinfo(target)
        whole = np.trunc(x.astype(np.float64))
        if not ((whole >= limits.min) & (whole <= limits.max)).all():
            undefined(f"cast of numbers beyond {dtype}")
    return x.astype(target)


@operator("quantize", mixes_floats=True)
def quantize(
    *,
    input: Array,
    scale: Array,
    output_dtype: str,
    zero_point: Array | None = None,
    axis: Array | None = None,
) -> Array:
    """clip(round(input / scale) + zero_point), iOS17."""
    target: Any = np.dtype(output_dtype)
    limits = np.iinfo(target)
    scaled = np.round(input / _along(scale, axis, input.ndim))
    if zero_point is not None:
        scaled = scaled + _along(zero_point, axis, input.ndim).astype(np.float32)
    return np.clip(scaled, limits.min, limits.max).astype(limits.dtype)


@operator("dequantize", mixes_floats=True)
def dequantize(
    *,
    input: Array,
    scale: Array,
    zero_point: Array | None = None,
    axis: Array | None = None,
) -> Array:
    """scale * (input - zero_point), iOS17."""
    numbers = input.astype(np.float32)
    if zero_point is not None:
        numbers = numbers - _along(zero_point, axis, input.ndim).astype(np.float32)
    return _along(scale, axis, input.ndim) * numbers


def _along(values: Array, axis: Array | None, rank: int) -> Array:
    """A vector laid along `axis`; a scalar as it is."""
    if values.ndim == 0:
        return values
    if axis is None:
        raise ValueError("a vector of scales needs an axis")
    shape = [1] * rank
    shape[int(axis)] = -1
    return values.reshape(shape)
