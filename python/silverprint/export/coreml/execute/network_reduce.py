"""NeuralNetwork layers that reduce an axis or order it. Definitions: NeuralNetwork.proto."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError

Array = npt.NDArray[Any]
Axes = tuple[int, ...]
Reduction = Callable[[Array, Axes], Array]
Layer = Callable[[Any, Sequence[Array]], Array | Sequence[Array]]


def _log_sum_exp(x: Array, axes: Axes) -> Array:
    most = x.max(axes, keepdims=True)
    result: Array = most + np.log(np.exp(x - most).sum(axes, keepdims=True))
    return result


_REDUCTIONS: Mapping[str, Reduction] = {
    "reduceSum": lambda x, axes: x.sum(axes, keepdims=True),
    "reduceMean": lambda x, axes: x.mean(axes, keepdims=True),
    "reduceMax": lambda x, axes: x.max(axes, keepdims=True),
    "reduceMin": lambda x, axes: x.min(axes, keepdims=True),
    "reduceProd": lambda x, axes: x.prod(axes, keepdims=True),
    "reduceL1": lambda x, axes: np.abs(x).sum(axes, keepdims=True),
    "reduceL2": lambda x, axes: np.sqrt((x * x).sum(axes, keepdims=True)),
    "reduceSumSquare": lambda x, axes: (x * x).sum(axes, keepdims=True),
    "reduceLogSum": lambda x, axes: np.log(x.sum(axes, keepdims=True)),
    "reduceLogSumExp": _log_sum_exp,
}


def _reduction(function: Reduction) -> Layer:
    def layer(params: Any, inputs: Sequence[Array]) -> Array:
        x = inputs[0]
        whole = params.reduceAll or not params.axes
        axes = tuple(range(x.ndim)) if whole else tuple(params.axes)
        result = function(x, axes)
        # No tensor of a NeuralNetwork has rank 0.
        return result if params.keepDims else np.atleast_1d(result.squeeze(axes))

    return layer


_OLD_AXES = ((-3, -2, -1), (-2, -1), (-3,), (-2,), (-1,))
"""By the number of ReduceLayerParams.ReduceAxis."""

_OLD_MODES = {
    0: "reduceSum",
    1: "reduceMean",
    2: "reduceProd",
    4: "reduceSumSquare",
    5: "reduceL1",
    6: "reduceL2",
    7: "reduceMax",
    8: "reduceMin",
}
_LOG_SUM, _ARG_MAX = 3, 9


def _reduce(params: Any, inputs: Sequence[Array]) -> Array:
    """The layer from before specification 4, whose LOGSUM is a sum of logarithms."""
    x, axes = inputs[0], _OLD_AXES[params.axis]
    if params.mode == _LOG_SUM:
        result: Array = np.log(x + np.float32(params.epsilon or 1e-6)).sum(axes, keepdims=True)
        return result
    if params.mode == _ARG_MAX:
        if len(axes) > 1:
            raise ExportError("its largest index is that of several axes")
        places: Array = np.argmax(x, axes[0], keepdims=True)
        return places
    return _REDUCTIONS[_OLD_MODES[params.mode]](x, axes)


def _index(function: Callable[..., Any]) -> Layer:
    def layer(params: Any, inputs: Sequence[Array]) -> Array:
        x = inputs[0]
        result: Array = function(x, axis=params.axis, keepdims=True)
        return result.squeeze(params.axis) if params.removeDim and x.ndim > 1 else result

    return layer


def _order(x: Array, axis: int, *, descending: bool) -> Array:
    """Indices that sort; equal numbers stay in their order."""
    return np.argsort(-x if descending else x, axis, kind="stable")


def _top_k(params: Any, inputs: Sequence[Array]) -> Sequence[Array]:
    x, count = inputs[0], int(inputs[1].item() if len(inputs) > 1 else params.K)
    if not 0 < count <= x.shape[params.axis]:
        raise ExportError(f"it takes the first {count} of {list(x.shape)}")
    places = _order(x, params.axis, descending=not params.useBottomK)
    places = np.take(places, range(count), params.axis)
    return np.take_along_axis(x, places, params.axis), places


def _cum_sum(params: Any, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    axis = int(inputs[1].item()) if len(inputs) > 1 else params.axis
    x = np.flip(x, axis) if params.reverse else x
    result = np.cumsum(x, axis)
    if params.excludeFinalSum:
        before = np.zeros_like(np.take(x, [0], axis))
        result = np.concatenate([before, np.delete(result, -1, axis)], axis)
    return np.flip(result, axis) if params.reverse else result


LAYERS: Mapping[str, Layer] = {
    **{name: _reduction(function) for name, function in _REDUCTIONS.items()},
    "reduce": _reduce,
    "argMax": _index(np.argmax),
    "argMin": _index(np.argmin),
    "topK": _top_k,
    "argSort": lambda p, inputs: _order(inputs[0], p.axis, descending=p.descending),
    "cumSum": _cum_sum,
}
