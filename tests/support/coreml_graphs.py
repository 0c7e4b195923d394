"""Small composed classifiers as they are handed to the Core ML exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ["🐈 Katze", "hund", "a/b", "Ärger"]
RULE = {"height": 32, "width": 24, "crop_and_scale": "center_crop", "version": 1}
METADATA = {
    "author": "Ada",
    "license": "CC0",
    "version": "1.2",
    "short_description": "Cats 🐈",
    "z": "last",
    "a": "first",
}
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def constant(name: str, values: Any, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values, dtype), name)


def small_backbone() -> onnx.ModelProto:
    """Two convolutions (one with float16 weights, Cast in the graph) and a global mean."""
    rng = np.random.default_rng(5)
    body = helper.make_graph(
        [
            helper.make_node("Cast", ["half"], ["first"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["image", "first", "bias"], ["c1"], pads=[0, 0, 1, 1]),
            helper.make_node("Constant", [], ["six"], value=constant("six", 6)),
            helper.make_node("Clip", ["c1", "zero", "six"], ["r1"]),
            helper.make_node("Conv", ["r1", "second"], ["c2"], strides=[2, 2]),
            helper.make_node("Relu", ["c2"], ["r2"]),
            helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
        ],
        "backbone",
        [
            helper.make_tensor_value_info(
                "image", TensorProto.FLOAT, ["batch", 3, "height", "width"]
            )
        ],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 12])],
        [
            constant("half", rng.normal(size=(8, 3, 3, 3)), np.float16),
            constant("bias", rng.normal(size=8)),
            constant("zero", 0),
            constant("second", rng.normal(size=(12, 8, 3, 3))),
        ],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def wide_backbone() -> onnx.ModelProto:
    """The same with 96 features: its second convolution has 6912 weights instead of 864."""
    graph = small_backbone()
    body = graph.graph
    rng = np.random.default_rng(8)
    body.node[4].input[1:] = ["wide", "wide_bias"]
    body.initializer.append(constant("wide", rng.normal(size=(96, 8, 3, 3))))
    body.initializer.append(constant("wide_bias", rng.normal(size=96)))
    body.output[0].type.tensor_type.shape.dim[1].dim_value = 96
    return graph


def compose(
    backbone: onnx.ModelProto, *, classes: int = len(LABELS), head_scale: float = 0.1
) -> onnx.ModelProto:
    """Normalisation + backbone up to `features` + Gemm + Softmax + ArgMax, as one graph."""
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    body = model.graph
    features = next(value for value in body.output if value.name == "features")
    width = features.type.tensor_type.shape.dim[1].dim_value
    rng = np.random.default_rng(6)
    weights = rng.normal(size=(classes, width)) * head_scale
    body.initializer.extend(
        [
            constant("mean", np.reshape(MEAN, (1, 3, 1, 1))),
            constant("std", np.reshape(STD, (1, 3, 1, 1))),
            constant("head_weight", weights),
            constant("head_bias", rng.normal(size=classes)),
        ]
    )
    for node in body.node:
        node.input[:] = ["normalised" if name == "image" else name for name in node.input]
    head = [
        helper.make_node("Gemm", ["features", "head_weight", "head_bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["targetProbability"], axis=1),
        helper.make_node("ArgMax", ["targetProbability"], ["target_index"], axis=1, keepdims=0),
    ]
    normalise = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalised"]),
    ]
    nodes = [*normalise, *body.node, *head]
    del body.node[:]
    body.node.extend(nodes)
    del body.output[:]
    body.output.extend(
        [
            helper.make_tensor_value_info(
                "targetProbability", TensorProto.FLOAT, ["batch", classes]
            ),
            helper.make_tensor_value_info("target_index", TensorProto.INT64, ["batch"]),
        ]
    )
    onnx.checker.check_model(model)
    return model


def initialiser(graph: onnx.ModelProto, name: str) -> np.ndarray[Any, Any]:
    """A weight of the ONNX graph as float32, through the Cast that may follow it."""
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    casts = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "Cast"}
    return numpy_helper.to_array(tensors[casts.get(name, name)]).astype(np.float32)


def replace(graph: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    next(old for old in graph.graph.initializer if old.name == tensor.name).CopyFrom(tensor)


def bits(array: np.ndarray[Any, Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def insert(
    graph: onnx.ModelProto, value: str, operator: str, *more: str, name: str, **attributes: Any
) -> None:
    """Put a node called `name` behind `value`; what read `value` reads its result, ``<name>_out``.

    `more` are its other inputs.
    """
    body = graph.graph
    result = f"{name}_out"
    for node in body.node:
        node.input[:] = [result if one == value else one for one in node.input]
    place = next(i for i, node in enumerate(body.node) if value in node.output)
    node = helper.make_node(operator, [value, *more], [result], name, **attributes)
    body.node.insert(place + 1, node)
