"""Constant folding of an ONNX graph whose sizes are all known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_RANDOM = {
    *("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"),
    *("Multinomial", "Bernoulli"),
}
_SMALL = 1024
"""Constants of more numbers say nothing about shapes."""


def drop_dead(body: onnx.GraphProto) -> None:
    """Remove nodes and weights that no output needs, in place."""
    needed = {value.name for value in body.output}
    alive = []
    for node in reversed(body.node):
        if needed.intersection(node.output):
            alive.append(node)
            needed.update(_reads(node))
    weights = [tensor for tensor in body.initializer if tensor.name in needed]
    del body.node[:]
    del body.initializer[:]
    body.node.extend(reversed(alive))
    body.initializer.extend(weights)


def fold(model: onnx.ModelProto) -> None:
    """Turn every node that depends on constants and sizes alone into constants, in place.

    Left to onnx2coreml this would start a second ONNX Runtime inside the process.
    """
    _fold_known(model, {})
    # A folded chain may end in a Reshape that makes further sizes known.
    while _measures(model) and _fold_known(model, known_shapes(model)):
        pass


def _measures(model: onnx.ModelProto) -> bool:
    return any(node.op_type in ("Shape", "Size") for node in model.graph.node)


def _fold_known(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a node was folded."""
    body = model.graph
    known = {tensor.name: tensor for tensor in body.initializer}
    given, rest = len(known), []
    for node in body.node:
        constants = None
        if node.op_type in ("Shape", "Size") and node.input[0] in shapes:
            constants = [_measured(node, shapes[node.input[0]])]
        elif node.op_type not in _RANDOM and all(
            not name or name in known for name in _reads(node)
        ):
            constants = _evaluate(node, known, model.opset_import)
        if constants is None:
            rest.append(node)
        else:
            known.update((tensor.name, tensor) for tensor in constants)
    folded = len(rest) < len(body.node)
    del body.node[:]
    body.node.extend(rest)
    body.initializer.extend(list(known.values())[given:])
    return folded


def _measured(node: onnx.NodeProto, shape: tuple[int, ...]) -> onnx.TensorProto:
    """What ``Shape`` or ``Size`` gives for a value of this shape."""
    from onnx import helper, numpy_helper

    if node.op_type == "Size":
        result = np.array(math.prod(shape), np.int64)
    else:
        limits = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        result = np.array(shape[limits.get("start", 0) : limits.get("end")], np.int64)
    return numpy_helper.from_array(result, node.output[0])


def known_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes that ONNX's own inference finds, where every side is known."""
    inferred = inferred_graph(model)
    found = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return found


def inferred_graph(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph with the types and shapes that ONNX's own inference finds; empty where it fails."""
    import onnx

    body = model.graph
    small, inputs = [], list(body.input)
    for tensor in body.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            small.append(tensor)
        else:
            dims = list(tensor.dims)
            inputs.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, dims))
    sketch = onnx.helper.make_model(
        onnx.helper.make_graph(body.node, "sketch", inputs, body.output, small),
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
    )
    try:
        return onnx.shape_inference.infer_shapes(sketch, data_prop=True).graph
    except onnx.shape_inference.InferenceError:
        return onnx.GraphProto()


def _evaluate(
    node: onnx.NodeProto,
    known: Mapping[str, onnx.TensorProto],
    opsets: Iterable[onnx.OperatorSetIdProto],
) -> list[onnx.TensorProto] | None:
    """What `node` gives for constants; None where ONNX has no reference for the operator."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    inputs = [name for name in dict.fromkeys(_reads(node)) if name in known]
    outputs = [name for name in node.output if name]
    body = helper.make_graph(
        [node],
        "constants",
        [helper.make_empty_tensor_value_info(name) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
    )
    model = helper.make_model(body, opset_imports=list(opsets))
    try:
        values = ReferenceEvaluator(model).run(
            None, {name: numpy_helper.to_array(known[name]) for name in inputs}
        )
        return [
            numpy_helper.from_array(value, name)
            for name, value in zip(outputs, values, strict=True)
        ]
    except Exception:  # whatever it was, the node stays and is reported by name later
        return None


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Every value that `node` needs from outside, those of its subgraphs included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            own = {value.name for value in (*inner.input, *inner.initializer)}
            own |= {name for child in inner.node for name in child.output}
            for child in inner.node:
                yield from (name for name in _reads(child) if name not in own)
            yield from (value.name for value in inner.output if value.name not in own)
