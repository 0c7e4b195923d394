"""Makes a composed classifier graph ready for translation: one picture, fixed size, no ballast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from silverprint.errors import ExportError
from silverprint.export.coreml.names import IMAGE, INDEX, LABEL, PROBABILITIES

if TYPE_CHECKING:
    import onnx

_TAKEN = {PROBABILITIES, LABEL, f"{LABEL}_probs", INDEX}
"""Names that the package uses for its own outputs."""


def prepare(graph: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """A copy of `graph` for one picture of `height` x `width` pixels, probabilities only.

    Its input is ``image`` [1, 3, height, width]; its one output is what `graph` calls
    ``targetProbability``, under a name that leaves that one free for the package. Nodes that do
    not lead there (``target_index``, other feature tensors) are gone, every node has a name,
    and whatever depends on constants alone is a constant.

    Raises ExportError: no such input or output, another fixed size, weights outside the file.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(graph)
    body = model.graph
    for tensor in body.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ExportError(f"weight {tensor.name!r} is not in the graph: load external data")
    _fix_input(body, height, width)
    _keep_probabilities(body)
    _free_names(body)
    _drop_dead(body)
    _fold(model)
    _drop_dead(body)
    del body.value_info[:]
    for node in body.node:
        node.name = node.name or f"the {node.op_type} that gives {node.output[0]!r}"
    return model


def _fix_input(body: onnx.GraphProto, height: int, width: int) -> None:
    weights = {tensor.name for tensor in body.initializer}
    inputs = [value for value in body.input if value.name not in weights]
    if [value.name for value in inputs] != [IMAGE]:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ExportError(f"the graph must have one input, {IMAGE!r}; it has: {names}")
    del body.input[:]
    body.input.extend(inputs)
    tensor = body.input[0].type.tensor_type
    if tensor.elem_type != 1:
        raise ExportError(f"the input {IMAGE!r} must be float32")
    size = (1, 3, height, width)
    declared = tensor.shape.dim
    fits = len(declared) == 4 and all(
        dim.dim_value in (0, wanted) for dim, wanted in zip(declared, size, strict=True)
    )
    if not fits:
        shown = [dim.dim_value or dim.dim_param or "?" for dim in declared]
        raise ExportError(
            f"the input {IMAGE!r} has the shape {shown}, the picture rule needs {list(size)}"
        )
    for dim, wanted in zip(declared, size, strict=True):
        dim.dim_value = wanted


def _keep_probabilities(body: onnx.GraphProto) -> None:
    kept = [value for value in body.output if value.name == PROBABILITIES]
    if not kept:
        names = ", ".join(value.name for value in body.output) or "none"
        raise ExportError(f"the graph has no output {PROBABILITIES!r}; it has: {names}")
    del body.output[:]
    body.output.extend(kept)
    body.output[0].type.tensor_type.ClearField("shape")


def _free_names(body: onnx.GraphProto) -> None:
    used = {name for node in body.node for name in (*node.input, *node.output)}
    used |= {tensor.name for tensor in body.initializer}
    renamed: dict[str, str] = {}
    for old in sorted(_TAKEN & used):
        new = f"{old}_tensor"
        while new in used:
            new += "_"
        used.add(new)
        renamed[old] = new
    for node in body.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for named in (*body.initializer, *body.output):
        named.name = renamed.get(named.name, named.name)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Every value that `node` needs, those of its subgraphs included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for child in inner.node:
                yield from _reads(child)
            yield from (value.name for value in inner.output)


def _drop_dead(body: onnx.GraphProto) -> None:
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


def _fold(model: onnx.ModelProto) -> None:
    """Turn each node whose inputs are all constant into constants, in place.

    Left to onnx2coreml this would start a second ONNX Runtime inside the process.
    """
    body = model.graph
    known = {tensor.name: tensor for tensor in body.initializer}
    given, rest = len(known), []
    for node in body.node:
        constants = None
        if all(not name or name in known for name in _reads(node)):
            constants = _evaluate(node, known, model.opset_import)
        if constants is None:
            rest.append(node)
        else:
            known.update((tensor.name, tensor) for tensor in constants)
    del body.node[:]
    body.node.extend(rest)
    body.initializer.extend(list(known.values())[given:])


def _evaluate(
    node: onnx.NodeProto,
    known: Mapping[str, onnx.TensorProto],
    opsets: Iterable[onnx.OperatorSetIdProto],
) -> list[onnx.TensorProto] | None:
    """What `node` gives for constants; None where ONNX has no reference for the operator."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    inputs = [name for name in dict.fromkeys(node.input) if name]
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
