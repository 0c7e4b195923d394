"""NeuralNetwork layers that move, copy and choose numbers. Definitions: NeuralNetwork.proto."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.execute.kernels import check_room

Array = npt.NDArray[Any]
Layer = Callable[[Any, Sequence[Array]], Array | Sequence[Array]]

_CHANNEL_LAST = 1
_SLICE_AXES = (-3, -2, -1)


def _integers(x: Array) -> list[int]:
    """A tensor that says a shape or places: whole numbers, stored as float32."""
    return [int(one) for one in x.ravel()]


def _sides(x: Array, target: Sequence[int]) -> list[int]:
    """`target` with its zeros replaced by the sides of `x`; one side may stay -1."""
    return [x.shape[at] if side == 0 else int(side) for at, side in enumerate(target)]


def _rank_preserving(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    if len(params.targetShape) != x.ndim:
        raise ExportError(f"it changes the rank of {list(x.shape)}: {list(params.targetShape)}")
    return x.reshape(_sides(x, params.targetShape))


def _flatten(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    if params.mode == _CHANNEL_LAST:
        x = np.moveaxis(x, -3, -1)
    return x.reshape(*x.shape[:-3], -1, 1, 1)


def _flatten_to_2d(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    axis = params.axis + x.ndim if params.axis < 0 else params.axis
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def _permute(params: Any, inputs: Sequence[Array]) -> Array:
    """Of [Seq, B, C, H, W] all but B, which stays where it is."""
    x = inputs[0]
    if x.ndim != 5:
        raise ExportError(f"it permutes tensors of rank 5, not {list(x.shape)}")
    others = (0, 2, 3, 4)
    first, *rest = (others[at] for at in (params.axis or range(4)))
    return x.transpose(first, 1, *rest)


def _squeeze(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    return np.atleast_1d(x.squeeze(None if params.squeezeAll else tuple(params.axes)))


def _concat(params: Any, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, -5 if params.sequenceConcat else -3)


def _concat_nd(params: Any, inputs: Sequence[Array]) -> Array:
    joined = np.concatenate(inputs, params.axis)
    if not params.interleave:
        return joined
    # The first slices of all inputs along the axis, then the second ones, and so on.
    axis = params.axis % joined.ndim
    return np.stack(inputs, axis + 1).reshape(joined.shape)


def _split_nd(params: Any, inputs: Sequence[Array]) -> Sequence[Array]:
    x = inputs[0]
    if not params.splitSizes:
        return np.split(x, int(params.numSplits), params.axis)
    if sum(params.splitSizes) != x.shape[params.axis]:
        raise ExportError(f"it splits {list(x.shape)} into {list(params.splitSizes)}")
    return np.split(x, np.cumsum(params.splitSizes)[:-1].tolist(), params.axis)


def _slice(params: Any, inputs: Sequence[Array]) -> Array:
    at: list[slice] = [slice(None)] * inputs[0].ndim
    at[_SLICE_AXES[params.axis]] = slice(params.startIndex, params.endIndex, params.stride)
    return inputs[0][tuple(at)]


def _slice_static(params: Any, inputs: Sequence[Array]) -> Array:
    return _sliced(
        inputs[0],
        begin=params.beginIds,
        end=params.endIds,
        strides=params.strides,
        begin_masks=params.beginMasks,
        end_masks=params.endMasks,
        squeeze_masks=params.squeezeMasks,
    )


def _slice_dynamic(params: Any, inputs: Sequence[Array]) -> Array:
    """The inputs after the first stand for the parameters, in this order."""
    fields = {
        "begin": [],
        "end": params.endIds,
        "strides": params.strides,
        "begin_masks": params.beginMasks,
        "end_masks": params.endMasks,
        "squeeze_masks": params.squeezeMasks,
    }
    given = {name: _integers(one) for name, one in zip(fields, inputs[1:], strict=False)}
    return _sliced(inputs[0], **{**fields, **given})


def _sliced(
    x: Array,
    *,
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    begin_masks: Sequence[int],
    end_masks: Sequence[int],
    squeeze_masks: Sequence[int],
) -> Array:
    """Where a mask is set the slice is open on that side, or one index that takes the axis away."""
    none = [False] * x.ndim
    lists = (begin, end, strides or [1] * x.ndim)
    masks = (begin_masks or none, end_masks or none, squeeze_masks or none)
    if any(len(one) != x.ndim for one in (*lists, *masks)):
        raise ExportError(f"it does not slice every axis of {list(x.shape)}")
    at: list[slice | int] = []
    for first, last, step, no_first, no_last, one in zip(*lists, *masks, strict=True):
        if one:
            at.append(int(first))
        else:
            at.append(slice(None if no_first else first, None if no_last else last, step))
    return np.atleast_1d(x[tuple(at)])


def _slice_by_size(params: Any, inputs: Sequence[Array]) -> Array:
    x, (first,) = inputs[0], _integers(inputs[1])
    return np.take(x, range(first, first + params.size), params.axis)


def _tile(params: Any, inputs: Sequence[Array]) -> Array:
    reps = _integers(inputs[1]) if len(inputs) > 1 else [int(one) for one in params.reps]
    if not 1 <= len(reps) <= inputs[0].ndim:
        raise ExportError(f"it repeats {list(inputs[0].shape)} {reps} times")
    check_room((*inputs[0].shape, *reps))
    return np.tile(inputs[0], reps)


def _reverse(params: Any, inputs: Sequence[Array]) -> Array:
    return np.flip(inputs[0], tuple(at for at, back in enumerate(params.reverseDim) if back))


def _gather_nd(params: Any, inputs: Sequence[Array]) -> Array:
    places = inputs[1].astype(np.int64)
    return np.atleast_1d(inputs[0][tuple(np.moveaxis(places, -1, 0))])


def _one_hot(params: Any, inputs: Sequence[Array]) -> Array:
    size = _integers(inputs[1])[0] if len(inputs) > 1 else int(params.oneHotVectorSize)
    check_room((*inputs[0].shape, size))
    hot = inputs[0].astype(np.int64)[..., None] == np.arange(size)
    on, off = np.float32(params.onValue), np.float32(params.offValue)
    return np.moveaxis(np.where(hot, on, off), -1, params.axis)


def _filled(value: float, shape: Sequence[int]) -> Array:
    check_room(shape)
    return np.full([int(side) for side in shape], value, np.float32)


LAYERS: Mapping[str, Layer] = {
    "reshapeStatic": lambda p, inputs: inputs[0].reshape(tuple(p.targetShape)),
    "reshapeLike": lambda p, inputs: inputs[0].reshape(inputs[1].shape),
    "reshapeDynamic": lambda p, inputs: inputs[0].reshape(_integers(inputs[1])),
    "rankPreservingReshape": _rank_preserving,
    "flatten": _flatten,
    "flattenTo2D": _flatten_to_2d,
    "transpose": lambda p, inputs: inputs[0].transpose(tuple(p.axes)),
    "permute": _permute,
    "squeeze": _squeeze,
    "expandDims": lambda p, inputs: np.expand_dims(inputs[0], tuple(p.axes)),
    "concat": _concat,
    "concatND": _concat_nd,
    "stack": lambda p, inputs: np.stack(inputs, p.axis),
    "split": lambda p, inputs: np.split(inputs[0], int(p.nOutputs), -3),
    "splitND": _split_nd,
    "slice": _slice,
    "sliceStatic": _slice_static,
    "sliceDynamic": _slice_dynamic,
    "sliceBySize": _slice_by_size,
    "tile": _tile,
    "reverse": _reverse,
    "gather": lambda p, inputs: np.take(inputs[0], inputs[1].astype(np.int64), p.axis),
    "gatherND": _gather_nd,
    "gatherAlongAxis": lambda p, inputs: np.take_along_axis(
        inputs[0], inputs[1].astype(np.int64), p.axis
    ),
    "oneHot": _one_hot,
    "broadcastToStatic": lambda p, inputs: np.broadcast_to(inputs[0], tuple(p.targetShape)),
    "broadcastToLike": lambda p, inputs: np.broadcast_to(inputs[0], inputs[1].shape),
    "broadcastToDynamic": lambda p, inputs: np.broadcast_to(inputs[0], _integers(inputs[1])),
    "fillStatic": lambda p, inputs: _filled(p.value, p.targetShape),
    "fillLike": lambda p, inputs: _filled(p.value, inputs[0].shape),
    "fillDynamic": lambda p, inputs: _filled(p.value, _integers(inputs[0])),
    "getShape": lambda p, inputs: np.array(inputs[0].shape, np.float32),
}
