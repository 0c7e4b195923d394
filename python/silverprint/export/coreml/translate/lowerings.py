"""Translations of operators that onnx2coreml lacks or gets wrong, registered from our side.

Each takes onnx2coreml's context (`values_map`: MIL values by ONNX name) and a node, adds MIL
operations and returns the value of the node's output. Inner operations are named by MIL.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint.export.coreml.translate.einsum import einsum
from silverprint.export.coreml.translate.pooling import average_pool, max_pool

if TYPE_CHECKING:
    import onnx

Lowering = Callable[[Any, "onnx.NodeProto"], Any]


def register_all(converter: Any) -> None:
    """Add every translation of ours to an ``onnx2coreml.Converter``."""
    for operator, lowering in _LOWERINGS.items():
        converter.register(operator)(lowering)


def _gather(context: Any, node: onnx.NodeProto) -> Any:
    """Constant indices become positive, and a single one a slice.

    A NeuralNetwork has no scalar indices, and from iOS 17 on negative ones may be stored unsigned.
    """
    mb, (x, indices) = _builder(), _inputs(context, node)
    axis = int(_attributes(node).get("axis", 0))
    axis += x.rank if axis < 0 else 0
    if indices.val is None or x.val is not None:
        return mb.gather(x=x, indices=indices, axis=axis, name=node.output[0])
    places = np.asarray(indices.val, np.int32)
    places = np.where(places < 0, places + x.shape[axis], places).astype(np.int32)
    if places.ndim or x.rank == 1:
        return mb.gather(x=x, indices=places, axis=axis, name=node.output[0])
    begin, end = np.zeros(x.rank, np.int32), np.array(x.shape, np.int32)
    begin[axis], end[axis] = places, places + 1
    slice_ = mb.slice_by_index(x=x, begin=begin, end=end)
    return mb.squeeze(x=slice_, axes=[axis], name=node.output[0])


def _local_response_norm(context: Any, node: onnx.NodeProto) -> Any:
    given = _attributes(node)
    return _builder().local_response_norm(
        x=_inputs(context, node)[0],
        size=given["size"],
        alpha=given.get("alpha", 1e-4),
        beta=given.get("beta", 0.75),
        k=given.get("bias", 1.0),
        name=node.output[0],
    )


def _mish(context: Any, node: onnx.NodeProto) -> Any:
    """x * tanh(softplus(x)) (Misra, BMVC 2020)."""
    mb, (x,) = _builder(), _inputs(context, node)
    return mb.mul(x=x, y=mb.tanh(x=mb.softplus(x=x)), name=node.output[0])


def _swish(context: Any, node: onnx.NodeProto) -> Any:
    mb, (x,) = _builder(), _inputs(context, node)
    alpha = float(_attributes(node).get("alpha", 1.0))
    inner = x if alpha == 1.0 else mb.mul(x=x, y=np.float32(alpha))
    return mb.mul(x=x, y=mb.sigmoid(x=inner), name=node.output[0])


def _selu(context: Any, node: onnx.NodeProto) -> Any:
    mb, (x,), given = _builder(), _inputs(context, node), _attributes(node)
    # ONNX's defaults, float32 of the numbers in Klambauer et al., NeurIPS 2017.
    alpha = given.get("alpha", 1.67326319217681884765625)
    gamma = given.get("gamma", 1.05070102214813232421875)
    return mb.mul(x=mb.elu(x=x, alpha=alpha), y=np.float32(gamma), name=node.output[0])


def _reciprocal(context: Any, node: onnx.NodeProto) -> Any:
    """MIL's own ``inverse`` adds an epsilon to what it divides by."""
    mb, (x,) = _builder(), _inputs(context, node)
    return mb.real_div(x=np.float32(1), y=x, name=node.output[0])


def _many(operation: str) -> Lowering:
    """An operator of any number of values, as one of two; of a single value it is no operation."""

    def lower(context: Any, node: onnx.NodeProto) -> Any:
        mb = _builder()
        combine = getattr(mb, operation)
        total = reduce(lambda x, y: combine(x=x, y=y), _inputs(context, node))
        return mb.identity(x=total, name=node.output[0])

    return lower


def _matmul(context: Any, node: onnx.NodeProto) -> Any:
    """A vector becomes a matrix of one row or column, which MIL's product needs."""
    mb, (x, y), axes = _builder(), _inputs(context, node), []
    if x.rank == y.rank == 1:
        raise ValueError("a product of two vectors")
    if x.rank == 1:
        x, axes = mb.expand_dims(x=x, axes=[0]), [-2]
    if y.rank == 1:
        y, axes = mb.expand_dims(x=y, axes=[1]), [-1]
    if not axes:
        return mb.matmul(x=x, y=y, name=node.output[0])
    return mb.squeeze(x=mb.matmul(x=x, y=y), axes=axes, name=node.output[0])


def _mean(context: Any, node: onnx.NodeProto) -> Any:
    mb, values = _builder(), _inputs(context, node)
    total = reduce(lambda x, y: mb.add(x=x, y=y), values)
    if len(values) == 1:
        return mb.identity(x=total, name=node.output[0])
    return mb.mul(x=total, y=np.float32(1 / len(values)), name=node.output[0])


def _einsum(context: Any, node: onnx.NodeProto) -> Any:
    equation = _attributes(node)["equation"].decode()
    return einsum(equation, _inputs(context, node), node.output[0])


def _average_pool(context: Any, node: onnx.NodeProto) -> Any:
    return average_pool(_inputs(context, node)[0], _attributes(node), node.output[0])


def _max_pool(context: Any, node: onnx.NodeProto) -> Any:
    return max_pool(_inputs(context, node)[0], _attributes(node), node.output[0])


_LOWERINGS: dict[str, Lowering] = {
    "AveragePool": _average_pool,
    "Einsum": _einsum,
    "Gather": _gather,
    "LRN": _local_response_norm,
    "MatMul": _matmul,
    "Max": _many("maximum"),
    "MaxPool": _max_pool,
    "Mean": _mean,
    "Min": _many("minimum"),
    "Mish": _mish,
    "Reciprocal": _reciprocal,
    "Selu": _selu,
    "Sum": _many("add"),
    "Swish": _swish,
}


def _inputs(context: Any, node: onnx.NodeProto) -> list[Any]:
    return [context.values_map[name] for name in node.input if name]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _builder() -> Any:
    from coremltools.converters.mil.mil import Builder

    return Builder
