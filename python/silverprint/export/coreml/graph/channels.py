"""Lets a graph that begins at RGB planes begin at BGR planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from silverprint.export.coreml.graph.renaming import used_names
from silverprint.export.coreml.names import IMAGE

if TYPE_CHECKING:
    import onnx

_ELEMENTWISE = {"Add", "Sub", "Mul", "Div"}


def take_bgr(body: onnx.GraphProto) -> None:
    """Make `body`, whose input ``image`` is RGB, compute the same from BGR planes, in place.

    Where the graph itself turns its normalised input to BGR that step is left out, and the
    constants of the normalisation change places instead; else the first step turns BGR to RGB.
    """
    chain = _until_reversal(body)
    if chain is None:
        _begin_with_reversal(body)
        return
    *steps, reversal = chain
    for step in steps:
        for place, name in enumerate(step.input):
            constant = _constants(body).get(name)
            if constant is not None:
                step.input[place] = _reversed(body, constant)
    source, result = reversal.input[0], reversal.output[0]
    body.node.remove(reversal)
    for node in body.node:
        node.input[:] = [source if name == result else name for name in node.input]


def _until_reversal(body: onnx.GraphProto) -> list[onnx.NodeProto] | None:
    """The nodes from the image through arithmetic with constants to a reversal of channels."""
    constants = _constants(body)
    outputs = {value.name for value in body.output}
    chain: list[onnx.NodeProto] = []
    current = IMAGE
    while True:
        readers = [node for node in body.node if current in node.input]
        if len(readers) != 1 or current in outputs:
            return None
        (node,) = readers
        others = [constants.get(name) for name in node.input if name != current]
        if len(others) != 1 or others[0] is None:
            return None
        chain.append(node)
        if node.op_type == "Gather":
            ends = node.output[0] in outputs or not _is_reversal(node, others[0])
            return None if ends else chain
        if node.op_type not in _ELEMENTWISE or not _by_channel(others[0]):
            return None
        current = node.output[0]


def _is_reversal(node: onnx.NodeProto, indices: onnx.TensorProto) -> bool:
    from onnx import numpy_helper

    axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
    wanted = [2, 1, 0]
    return axes[:1] in ([1], [-3]) and numpy_helper.to_array(indices).tolist() == wanted


def _by_channel(tensor: onnx.TensorProto) -> bool:
    """Whether it is one number, or three along the channels."""
    shape = (1,) * (4 - len(tensor.dims)) + tuple(tensor.dims)
    return shape in ((1, 1, 1, 1), (1, 3, 1, 1))


def _reversed(body: onnx.GraphProto, tensor: onnx.TensorProto) -> str:
    """The name of a new weight: `tensor` with its channels in reverse order."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    if values.size == 1:
        return tensor.name
    new = numpy_helper.from_array(
        np.ascontiguousarray(np.flip(values, axis=values.ndim - 3)), _free(body, tensor.name)
    )
    body.initializer.append(new)
    return str(new.name)


def _begin_with_reversal(body: onnx.GraphProto) -> None:
    from onnx import helper, numpy_helper

    planes, order = _free(body, f"{IMAGE}_rgb"), _free(body, f"{IMAGE}_bgr_order")
    for node in body.node:
        node.input[:] = [planes if name == IMAGE else name for name in node.input]
    body.initializer.append(numpy_helper.from_array(np.array([2, 1, 0], np.int64), order))
    body.node.insert(0, helper.make_node("Gather", [IMAGE, order], [planes], "to_rgb", axis=1))


def _constants(body: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in body.initializer}


def _free(body: onnx.GraphProto, name: str) -> str:
    used = used_names(body)
    while name in used:
        name += "_"
    return name
