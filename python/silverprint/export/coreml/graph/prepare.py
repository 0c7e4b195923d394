"""Makes an ONNX graph ready for translation: one picture, fixed size, no ballast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.graph.channels import take_bgr
from silverprint.export.coreml.graph.folding import drop_dead, fold, inferred_graph
from silverprint.export.coreml.graph.renaming import free_names, rename
from silverprint.export.coreml.names import IMAGE

if TYPE_CHECKING:
    import onnx

    from silverprint.export.coreml.options import Layout

_OPSET = 13
"""The operators are translated as this version defines them, or a later one."""

_CHANGED_MEANING = {"Softmax", "LogSoftmax", "Hardmax"}
"""Operators whose default axis is another one before `_OPSET`."""


def prepare(
    graph: onnx.ModelProto,
    height: int,
    width: int,
    outputs: Mapping[str, str],
    *,
    taken: frozenset[str] = frozenset(),
    layout: Layout = "RGB",
) -> onnx.ModelProto:
    """A copy of `graph` for one picture of `height` x `width` pixels, with `outputs` alone.

    Its input is ``image`` [1, 3, height, width], the planes in the order of `layout`. `outputs`
    says what of `graph` is wanted and under which names; no other value has one of these names
    or of those `taken`. Nodes that do not lead there are gone, every node has a name, and
    whatever depends on constants and sizes alone is a constant.

    Raises ExportError: no such input or output, another fixed size, weights outside the file or
    with NaN in them, an operator set that cannot be brought up to 13, an output of other numbers
    than float32.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(graph)
    body = model.graph
    for tensor in body.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ExportError(f"weight {tensor.name!r} is not in the graph: load external data")
    if body.sparse_initializer:
        name = body.sparse_initializer[0].values.name
        raise ExportError(f"weight {name!r} is sparse: export the backbone with dense weights")
    _fix_input(body, height, width)
    _keep_outputs(body, outputs)
    free_names(body, {*taken, *outputs.values()})
    rename(body, dict(outputs))
    drop_dead(body)
    model = _modern(model)
    fold(model)
    body = model.graph
    _check_dependence(body)
    _check_types(model)
    if layout == "BGR":
        take_bgr(body)
    drop_dead(body)
    _check_numbers(body)
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


def _keep_outputs(body: onnx.GraphProto, outputs: Mapping[str, str]) -> None:
    known = {value.name: value for value in body.output}
    for name in outputs:
        if name not in known:
            shown = ", ".join(known) or "none"
            raise ExportError(f"the graph has no output {name!r}; it has: {shown}")
    kept = [known[name] for name in outputs]
    del body.output[:]
    body.output.extend(kept)
    for value in body.output:
        value.type.tensor_type.ClearField("shape")


def _check_dependence(body: onnx.GraphProto) -> None:
    computed = {name for node in body.node for name in node.output}
    for value in body.output:
        if value.name not in computed:
            raise ExportError(f"the output {value.name!r} does not depend on the picture")


def _check_types(model: onnx.ModelProto) -> None:
    """Refuse what is no float32: Core ML would give it in another type than the graph."""
    from onnx import TensorProto

    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
    if not all(kinds.values()):
        inferred = inferred_graph(model).output
        kinds |= {value.name: value.type.tensor_type.elem_type for value in inferred}
    for name, kind in kinds.items():
        if kind not in (TensorProto.UNDEFINED, TensorProto.FLOAT):
            found = TensorProto.DataType.Name(kind).lower()
            raise ExportError(
                f"the output {name!r} is {found}, and an output of a Core ML file float32: leave "
                "it out (outputs=[...] names those to keep), or cast it to float32 in the graph"
            )


def _check_numbers(body: onnx.GraphProto) -> None:
    """Infinity may be meant, as in masks; NaN never is."""
    from onnx import numpy_helper

    for tensor in body.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ExportError(f"weight {tensor.name!r} holds NaN: check the backbone")


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with operators as of `_OPSET`, if it has older ones."""
    from onnx import version_converter

    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if not versions or versions[0] >= _OPSET:
        return model
    try:
        return version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter has no type of its own
        old = _CHANGED_MEANING.intersection(node.op_type for node in model.graph.node)
        if old:
            raise ExportError(
                f"the graph uses ONNX operators of version {versions[0]}, where "
                f"{', '.join(sorted(old))} meant something else, and cannot be brought up to "
                f"{_OPSET} ({str(error).strip()}): export it with opset {_OPSET} or later"
            ) from error
        return model
