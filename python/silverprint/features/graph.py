"""From an ONNX file to a feature graph: normalisation, the backbone up to one tensor, pooling.

The graph begins at ``image`` (float32, NCHW, RGB, 0..255, exactly the size of the picture rule)
and ends at ``features`` [N, d].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from silverprint.errors import BackboneError, nearest
from silverprint.features.external_data import load_external_data

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message

    from silverprint.features.normalisation import Normalisation

IMAGE = "image"
FEATURES = "features"
OURS = "silverprint/"
"""Prefix of every name that we add to a graph."""

_LARGEST_MODEL = 2**31 - 1


def load(path: Path) -> onnx.ModelProto:
    """The model at `path`, self-contained.

    Raises:
        BackboneError: it is missing, not ONNX, or its external weights cannot be read.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        data = path.read_bytes()
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror})") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise BackboneError(f"{path}: not an ONNX file, or cut short") from error
    if not model.graph.node or not model.opset_import:
        raise BackboneError(f"{path}: not an ONNX file, or one without any operator")
    load_external_data(model, path)
    if model.ByteSize() > _LARGEST_MODEL:
        raise BackboneError(f"{path}: more than 2 GB of weights; use a smaller backbone")
    return model


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The model's own metadata."""
    return {entry.key: entry.value for entry in model.metadata_props}


def image_input(model: onnx.ModelProto, path: object) -> tuple[str, int | None, int | None]:
    """Name, height and width of the one input; None where a size is dynamic.

    Raises:
        BackboneError: it is not one float32 tensor (N, 3, height, width).
    """
    import onnx

    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise BackboneError(f"{path}: expected one input, an image; found {names}")
    name, tensor = inputs[0].name, inputs[0].type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        found = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise BackboneError(
            f"{path}: input {name!r} is {found}; export it with a float32 image as input"
        )
    shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if len(shape) != 4:
        raise BackboneError(
            f"{path}: input {name!r} has rank {len(shape)}; expected (N, 3, height, width)"
        )
    if shape[1] != 3:
        layout = "; export it with channels first" if shape[3] == 3 else ""
        raise BackboneError(
            f"{path}: input {name!r} is {shape}; expected (N, 3, height, width){layout}"
        )
    if shape[0] not in (None, 1):
        raise BackboneError(
            f"{path}: takes batches of {shape[0]}; export it with a free batch size"
        )
    return name, shape[2] or None, shape[3] or None


def feature_graph(
    model: onnx.ModelProto,
    *,
    path: object,
    output: str,
    size: tuple[int, int],
    normalisation: Normalisation,
    pool: bool,
) -> onnx.ModelProto:
    """`model` from ``image`` to ``features``, all else left out."""
    import onnx
    from onnx import helper

    result, (output,) = normalised_graph(
        model, path=path, outputs=[output], size=size, normalisation=normalisation
    )
    nodes = result.graph.node
    if pool:
        nodes.extend(
            [
                helper.make_node("GlobalAveragePool", [output], [OURS + "pooled"], OURS + "pool"),
                helper.make_node(
                    "Flatten", [OURS + "pooled"], [FEATURES], OURS + "flatten", axis=1
                ),
            ]
        )
    else:
        nodes.append(helper.make_node("Identity", [output], [FEATURES], OURS + "features"))
    result.graph.output.append(
        helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, None)
    )
    return result


def normalised_graph(
    model: onnx.ModelProto,
    *,
    path: object,
    outputs: Sequence[str],
    size: tuple[int, int],
    normalisation: Normalisation,
) -> tuple[onnx.ModelProto, list[str]]:
    """`model` from ``image`` to some of its tensors, all else left out, and what they are called.

    It has no outputs yet. Names that clash with ours are changed.

    Raises:
        BackboneError: its input is not one image, or there is no such tensor.
    """
    import onnx
    from onnx import helper, numpy_helper

    own_input, _, _ = image_input(model, path)
    produced = {name for node in model.graph.node for name in node.output if name}
    for output in outputs:
        if output not in produced:
            known = [value.name for value in model.graph.output]
            raise BackboneError(
                f"{path}: no tensor {output!r}{nearest(output, produced)}; "
                f"its outputs are {', '.join(known)}"
            )
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    _free_names(graph, own_input)
    names = [_renamed(output, own_input) for output in outputs]
    _keep_only(graph, names)

    nodes = []
    for name, values in (("mean", normalisation.mean), ("std", normalisation.std)):
        constant = np.asarray(values, np.float32).reshape(1, 3, 1, 1)
        graph.initializer.append(numpy_helper.from_array(constant, OURS + name))
    bgr = normalisation.channel_order == "BGR"
    scaled = OURS + ("scaled" if bgr else "normalised")
    nodes += [
        helper.make_node("Sub", [IMAGE, OURS + "mean"], [OURS + "centred"], OURS + "subtract_mean"),
        helper.make_node("Div", [OURS + "centred", OURS + "std"], [scaled], OURS + "divide_std"),
    ]
    if bgr:
        order = numpy_helper.from_array(np.array([2, 1, 0], np.int64), OURS + "bgr_order")
        graph.initializer.append(order)
        nodes.append(
            helper.make_node(
                "Gather", [scaled, order.name], [OURS + "normalised"], OURS + "to_bgr", axis=1
            )
        )
    nodes += list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    first = batch.dim_value if batch.HasField("dim_value") else "batch"
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info(IMAGE, onnx.TensorProto.FLOAT, [first, 3, *size])
    )
    del graph.output[:], graph.value_info[:]
    _drop_free_text(result)
    return result, names


def _renamed(name: str, own_input: str) -> str:
    if name == own_input:
        return OURS + "normalised"
    return OURS + "backbone/" + name if name in _RESERVED or name.startswith(OURS) else name


_RESERVED = {IMAGE, FEATURES, "targetProbability", "target_index"}


def _free_names(graph: onnx.GraphProto, own_input: str) -> None:
    """Feed the backbone from the normalised image, and rename what would clash with our names."""

    def rename(names: Sequence[str]) -> list[str]:
        return [_renamed(name, own_input) for name in names]

    for part in _graphs(graph):
        for node in part.node:
            node.input[:] = rename(node.input)
            node.output[:] = rename(node.output)
        for value in [] if part is graph else [*part.input, *part.output]:
            value.name = _renamed(value.name, own_input)
        for tensor in part.initializer:
            tensor.name = _renamed(tensor.name, own_input)
        for sparse in part.sparse_initializer:
            sparse.values.name = _renamed(sparse.values.name, own_input)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for nested in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                yield from _graphs(nested)


def _drop_free_text(message: Message) -> None:
    """Clear documentation and metadata everywhere: it may hold paths of the exporting machine."""
    for name in ("doc_string", "metadata_props"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in [value] if hasattr(value, "ListFields") else value:
            _drop_free_text(inner)


def _keep_only(graph: onnx.GraphProto, outputs: Sequence[str]) -> None:
    """Drop every node and weight that `outputs` do not depend on."""
    producer = {name: node for node in graph.node for name in node.output if name}
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in producer:
            waiting.extend(_all_inputs(producer[name]))
    nodes = [node for node in graph.node if any(name in needed for name in node.output)]
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    sparse = [tensor for tensor in graph.sparse_initializer if tensor.values.name in needed]
    del graph.node[:], graph.initializer[:], graph.sparse_initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    graph.sparse_initializer.extend(sparse)


def _all_inputs(node: onnx.NodeProto) -> Iterator[str]:
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for nested in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
            for part in _graphs(nested):
                for inner in part.node:
                    yield from (name for name in inner.input if name)


def with_outputs(model: onnx.ModelProto, maps: Mapping[str, tuple[int, int, int] | None]) -> None:
    """Make these tensors the outputs, [N, c, h, w] where their sizes are known."""
    from onnx import TensorProto, helper

    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    first = batch.dim_value if batch.HasField("dim_value") else batch.dim_param
    del model.graph.output[:]
    for name, shape in maps.items():
        known = None if shape is None else [first, *shape]
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, known))


def serialize(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def with_feature_shape(model: onnx.ModelProto, dimension: int) -> None:
    """State the shape of ``features``, once it is known."""
    shape = model.graph.output[0].type.tensor_type.shape
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    shape.dim.add().CopyFrom(batch)
    shape.dim.add().dim_value = dimension
