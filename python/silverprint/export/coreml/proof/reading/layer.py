"""A layer of a NeuralNetwork with what it reads, and its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from silverprint.export.coreml.execute.network_weights import weights
from silverprint.export.coreml.proof.expressions.values import Array, Constant, Unreadable, Value

Reader = Callable[["Layer"], Value | list[Value]]

_BYTE_OFFSET = 128


@dataclass(frozen=True)
class Layer:
    """A layer with what it reads; `params` is the message of its own kind."""

    kind: str
    params: Any
    inputs: list[Value]
    outputs: list[str]
    place: int

    @property
    def name(self) -> str:
        return self.outputs[0]

    @property
    def x(self) -> Value:
        return self.inputs[0]


def stored(params: Any, shape: Sequence[int], name: str) -> Constant:
    """The numbers of a ``WeightParams``, in the type that they are stored in."""
    size = tuple(int(side) for side in shape)
    array = weights(params, size)
    if params.float16Value:
        return Constant(array.astype(np.float16), name)
    if not params.rawValue:
        return Constant(array, name)
    linear = params.quantization.linearQuantization
    scale, bias = (np.array(one, np.float32) for one in (linear.scale, linear.bias))
    centred = np.array_equal(bias, -_BYTE_OFFSET * scale)
    if params.quantization.numberOfBits != 8 or scale.size != size[0] or not centred:
        raise Unreadable("weights in an unknown form of 8 bits")
    levels = np.frombuffer(params.rawValue, np.uint8).astype(np.int16) - _BYTE_OFFSET
    along = (-1, *(1,) * (len(size) - 1))
    return Constant(array, name, levels.reshape(size), scale.reshape(along))


def single(number: float, name: str = "") -> Constant:
    """A parameter of a layer."""
    return Constant(np.asarray(number, np.float32), name)


def spread(params: Any, shape: Sequence[int], name: str) -> Constant:
    """Weights of [C], [1, H, W] or [C, H, W] so that they meet the last three axes."""
    found = stored(params, shape, name)
    array: Array = found.array
    if array.ndim == 1 and array.size > 1:
        array = array[:, None, None]
    return Constant(array, name)
