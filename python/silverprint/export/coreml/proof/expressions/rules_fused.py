"""Rules for chains that are one operator elsewhere: activations, norms, folded weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.rules_activation import ACTIVATIONS, close, single
from silverprint.export.coreml.proof.expressions.values import Array, Constant, Value


def _layer_norm(value: Value) -> Value | None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), gamma and beta left to `_scaled`."""
    if value.kind == "div" and len(value.inputs) == 2:
        centred, root = value.inputs
    else:
        return None
    spread = root.inputs[0] if root.kind == "sqrt" else None
    raised = single(root.numbers.get("y")) if root.kind == "pow" else None
    if raised is not None and close(raised, 0.5):
        spread = root.inputs[0]
    if spread is None or spread.kind != "add" or single(spread.numbers.get("y")) is None:
        return None
    variance, parts = _mean_of(spread.inputs[0]), _difference_of(centred)
    if variance is None or parts is None:
        return None
    x, mean = parts
    found = _mean_of(mean)
    squares, axes = variance
    fits = found is not None and found[0] is x and found[1] == axes
    if not fits or not _is_square_of(squares, centred, parts):
        return None
    epsilon = Constant(spread.numbers["y"].array.reshape(()), spread.numbers["y"].name)
    return layers.layer_norm(x, axes, value.name, value.place, epsilon=epsilon)


def _mean_of(value: Value) -> tuple[Value, tuple[int, ...]] | None:
    """(x, axes), where `value` is a mean, also as a sum divided by the count."""
    if value.kind == "reduce_mean":
        return value.inputs[0], value.settings["axes"]
    total = value.inputs[0] if value.kind == "div" and len(value.inputs) == 1 else None
    if total is None or total.kind != "reduce_sum":
        return None
    x, axes = total.inputs[0], total.settings["axes"]
    count = math.prod(x.shape[axis] for axis in axes)
    return (x, axes) if single(value.numbers.get("y")) == count else None


def _difference_of(value: Value) -> tuple[Value, Value] | None:
    """(x, y), where `value` is x - y, also as x + (-1) * y."""
    if len(value.inputs) != 2:
        return None
    first, second = value.inputs
    if value.kind == "sub":
        return first, second
    negative = second.kind == "mul" and single(second.numbers.get("y")) == -1
    return (first, second.inputs[0]) if value.kind == "add" and negative else None


def _is_square_of(value: Value, x: Value, parts: tuple[Value, Value]) -> bool:
    def same(one: Value) -> bool:
        """The difference may stand there twice."""
        return one is x or _difference_of(one) == parts

    if value.kind == "mul" and len(value.inputs) == 2:
        return same(value.inputs[0]) and same(value.inputs[1])
    return value.kind == "pow" and single(value.numbers.get("y")) == 2 and same(value.inputs[0])


_NORMS = ("layer_norm", "instance_norm")


def _scaled(value: Value) -> Value | None:
    """norm(x) * gamma and norm(x) + beta take the factor and the term into the norm."""
    if value.kind not in ("mul", "add") or len(value.inputs) != 1:
        return None
    norm = value.inputs[0]
    key = "gamma" if value.kind == "mul" else "beta"
    if norm.kind not in _NORMS or norm.shape != value.shape or key in norm.numbers:
        return None
    if key == "gamma" and "beta" in norm.numbers:
        return None
    axes = norm.settings["axes"] if norm.kind == "layer_norm" else (1,)
    given = _along(value.numbers["y"], norm.shape, axes)
    if given is None:
        return None
    numbers = {**norm.numbers, key: given}
    return Value(
        norm.kind, norm.shape, norm.inputs, norm.settings, numbers, value.name, value.place
    )


def _along(given: Constant, shape: tuple[int, ...], axes: tuple[int, ...]) -> Constant | None:
    """`given` with the shape of `axes` alone, where it varies along no other."""
    full = (1,) * (len(shape) - given.array.ndim) + given.array.shape
    if any(size != 1 and axis not in axes for axis, size in enumerate(full)):
        return None
    wanted = [shape[axis] for axis in axes]
    array = np.broadcast_to(given.array.reshape([full[axis] for axis in axes]), wanted)
    return Constant(np.ascontiguousarray(array), given.name)


def _instance_norm(value: Value) -> Value | None:
    """A norm over the spatial axes without scale is both a layer and an instance norm."""
    if value.kind != "layer_norm" or set(value.numbers) != {"epsilon"}:
        return None
    spatial = tuple(axis for axis in range(2, len(value.shape)) if value.shape[axis] > 1)
    if value.settings["axes"] != spatial:
        return None
    return layers.channel_norm(
        "instance_norm", value.inputs[0], value.name, value.place, **value.numbers
    )


def _biased(value: Value) -> Value | None:
    """A constant added to a linear layer or a convolution is its bias."""
    if value.kind != "add" or len(value.inputs) != 1:
        return None
    layer = value.inputs[0]
    axis = {"linear": -1, "conv": 1, "conv_transpose": 1}.get(layer.kind)
    if axis is None or layer.shape != value.shape:
        return None
    given = _along(value.numbers["y"], layer.shape, (axis % len(layer.shape),))
    if given is None:
        return None
    old = layer.numbers.get("bias")
    if old is not None:
        given = Constant(old.array + given.array, given.name)
    return _with(layer, value, bias=given)


def _with(layer: Value, last: Value, **numbers: Constant) -> Value:
    """`layer` with other numbers, standing where `last` stood."""
    return Value(
        layer.kind,
        last.shape,
        layer.inputs,
        layer.settings,
        {**layer.numbers, **numbers},
        last.name,
        last.place,
    )


def _folded(value: Value) -> Value | None:
    """A batch norm, or a factor per channel, after a convolution goes into its weights."""
    layer = value.inputs[0] if len(value.inputs) == 1 else None
    if layer is None or layer.kind not in ("conv", "conv_transpose"):
        return None
    weight = layer.numbers["weight"].array
    channels = layer.shape[1]
    bias = layer.numbers.get("bias")
    old = np.zeros(channels, weight.dtype) if bias is None else bias.array
    if value.kind == "batch_norm":
        mean, variance, epsilon = (
            value.numbers[key].array for key in ("mean", "variance", "epsilon")
        )
        gamma, beta = value.numbers.get("gamma"), value.numbers.get("beta")
        scale = (np.ones_like(mean) if gamma is None else gamma.array) / np.sqrt(variance + epsilon)
        new = scale * (old - mean) + (0 if beta is None else beta.array)
    elif value.kind == "mul" and layer.shape == value.shape:
        factor = _along(value.numbers["y"], layer.shape, (1,))
        if factor is None:
            return None
        scale, new = factor.array, old * factor.array
    else:
        return None
    names = [one.name for one in value.numbers.values()]
    return _with(
        layer,
        value,
        weight=Constant(
            _times(layer, weight, scale).astype(weight.dtype), layer.numbers["weight"].name
        ),
        bias=Constant(np.asarray(new).astype(weight.dtype), names[0] if names else ""),
    )


def _times(layer: Value, weight: Array, scale: Array) -> Array:
    """Each output channel of `weight` times its number."""
    if layer.kind == "conv":
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    groups = layer.settings["groups"]
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    parts = weight.reshape(groups, inputs, *weight.shape[1:])
    factors = scale.reshape(groups, 1, outputs, *[1] * (weight.ndim - 2))
    return (parts * factors).reshape(weight.shape)


FUSED: tuple[Callable[[Value], Value | None], ...] = (
    *ACTIVATIONS,
    _layer_norm,
    _scaled,
    _instance_norm,
    _biased,
    _folded,
)
