"""Reads an ONNX graph as expressions, for one picture of a fixed size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from silverprint.export.coreml.proof.expressions.values import (
    CONSTANT,
    INPUT,
    Array,
    Shape,
    Unreadable,
    Value,
    constant,
    known,
    shapeless,
    unreadable,
)
from silverprint.export.coreml.proof.reading.node import Node
from silverprint.export.coreml.proof.reading.reference_activations import ACTIVATIONS
from silverprint.export.coreml.proof.reading.reference_layers import LAYERS
from silverprint.export.coreml.proof.reading.reference_moves import MOVES
from silverprint.export.coreml.proof.reading.reference_windows import WINDOWS

if TYPE_CHECKING:
    import onnx


def read_reference(model: onnx.ModelProto, image: str, shape: Shape) -> dict[str, Value]:
    """Every value of `model` by its name; `image` is its input, of `shape`."""
    from onnx import helper, numpy_helper

    values = {
        tensor.name: constant(_plain(numpy_helper.to_array(tensor)), tensor.name)
        for tensor in model.graph.initializer
    }
    values[image] = Value(INPUT, shape, name=image)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    evaluate = _Evaluator(list(model.opset_import))
    inferred: dict[str, Shape] | None = None
    for place, node in enumerate(model.graph.node):
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        inputs = [values.get(name) if name else None for name in node.input]
        read = Node(node.op_type, attributes, inputs, list(node.output), opsets.get("", 1), place)
        found = evaluate(node, read)
        if found is None:
            try:
                found = _read(node, read)
            except Unreadable:
                if inferred is None:
                    inferred = _inferred(model, image, shape)
                given = [one for one in inputs if one is not None]
                found = [
                    unreadable(
                        f"onnx:{node.op_type}", inferred.get(name, ()), given, name, place, number
                    )
                    for number, name in enumerate(node.output)
                ]
        for name, value in zip(node.output, found, strict=False):
            if name:
                values[name] = value
    return values


_READERS = {**ACTIVATIONS, **LAYERS, **WINDOWS, **MOVES}


def _read(node: onnx.NodeProto, read: Node) -> list[Value]:
    known = node.op_type in _READERS and node.domain in ("", "ai.onnx") and read.inputs
    if not known or any(one is not None and shapeless(one) for one in read.inputs):
        raise Unreadable(node.op_type)
    try:
        found = _READERS[node.op_type](read)
    except Exception as error:  # an unusual form fails in as many ways as numpy has
        raise Unreadable(f"{node.op_type}: {error}") from error
    return found if isinstance(found, list) else [found]


def _plain(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(array.shape)


class _Evaluator:
    """Evaluates nodes whose inputs are all known."""

    def __init__(self, opsets: list[onnx.OperatorSetIdProto]) -> None:
        self._opsets = opsets

    def __call__(self, node: onnx.NodeProto, read: Node) -> list[Value] | None:
        if node.op_type == "Shape" and read.inputs[0] is not None:
            first, last = read.attributes.get("start", 0), read.attributes.get("end")
            sizes = np.array(read.inputs[0].shape[first:last], np.int64)
            return [constant(sizes, read.name)]
        if any(one is not None and one.kind != CONSTANT for one in read.inputs):
            return None
        if any(name and one is None for name, one in zip(node.input, read.inputs, strict=True)):
            return None
        if node.op_type == "Cast" or node.op_type == "Identity":
            (value,) = read.inputs
            if value is not None and node.op_type == "Identity":
                return [value]
        arrays = {
            name: known(one)
            for name, one in zip(node.input, read.inputs, strict=True)
            if one is not None
        }
        return self._run(node, arrays)

    def _run(self, node: onnx.NodeProto, arrays: Mapping[str, Array | None]) -> list[Value] | None:
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        outputs = [name for name in node.output if name]
        graph = helper.make_graph(
            [node],
            "constants",
            [helper.make_empty_tensor_value_info(name) for name in arrays],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
        )
        model = helper.make_model(graph, opset_imports=self._opsets)
        try:
            results = ReferenceEvaluator(model).run(None, dict(arrays))
        except Exception:  # an operator without a reference implementation stays as it is
            return None
        found = dict(zip(outputs, results, strict=True))
        return [constant(np.asarray(found[name]), name) for name in node.output if name]


def _inferred(model: onnx.ModelProto, image: str, shape: Shape) -> dict[str, Shape]:
    """Shapes as ONNX's own inference finds them, for what the readers do not know."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        if value.name == image:
            for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                dim.dim_value = size
    del copy.graph.value_info[:]
    try:
        graph = onnx.shape_inference.infer_shapes(copy, data_prop=True).graph
    except Exception:  # no shapes then
        return {}
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
    return {name: found for name, found in shapes.items() if all(found)}
