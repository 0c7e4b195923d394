"""Tiny ONNX graphs, and stock ONNX Runtime to hold ours against."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Floats = npt.NDArray[np.float32]
FLOAT = onnx.TensorProto.FLOAT
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
"""What a graph that normalises itself takes."""


def weights(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    """A float32 tensor of normal random numbers."""
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def value(
    name: str, shape: Sequence[int | str | None] | None, kind: int = FLOAT
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    stored: Sequence[onnx.TensorProto] = (),
    *,
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    outputs: Sequence[onnx.ValueInfoProto] | None = None,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """A model; by default from ``pixels`` (N, 3, 8, 8) to the last node's output."""
    graph = helper.make_graph(
        nodes,
        "graph",
        inputs or [value("pixels", ["N", 3, 8, 8])],
        outputs or [value(nodes[-1].output[0], None)],
        stored,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(made, metadata or {})
    return made


def backbone(
    *,
    input_name: str = "pixels",
    shape: Sequence[int | str | None] = ("N", 3, 8, 8),
    map_name: str = "map",
    output_name: str = "flat",
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """A convolution to a map (N, 5, h, w) and its mean over h and w, (N, 5)."""
    nodes = [
        helper.make_node("Conv", [input_name, "kernel", "bias"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["convolved"], [map_name]),
        helper.make_node("GlobalAveragePool", [map_name], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], [output_name]),
    ]
    stored = [weights("kernel", 5, 3, 3, 3), weights("bias", 5, seed=1)]
    return model(nodes, stored, inputs=[value(input_name, shape)], metadata=metadata)


def map_backbone(
    *, shape: Sequence[int | str | None] = ("N", 3, 64, 64), names: Sequence[str] = ()
) -> onnx.ModelProto:
    """Convolutions to maps at strides 8 (4 channels), 16 (5) and 32 (6), and a mean (N, 6)."""
    names = names or ("stride8", "stride16", "stride32")
    nodes, stored, before = [], [], "pixels"
    for name, (inputs, channels, stride) in zip(
        names, ((3, 4, 8), (4, 5, 2), (5, 6, 2)), strict=True
    ):
        stored.append(weights(f"kernel of {name}", channels, inputs, stride, stride, seed=channels))
        nodes += [
            helper.make_node(
                "Conv", [before, stored[-1].name], [f"{name} raw"], strides=[stride] * 2
            ),
            helper.make_node("Tanh" if channels < 6 else "Identity", [f"{name} raw"], [name]),
        ]
        before = name
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    outputs = [value("features", None), *(value(name, None) for name in names)]
    return model(nodes, stored, inputs=[value("pixels", shape)], outputs=outputs)


def constant_map(values: Floats) -> onnx.ModelProto:
    """A map at stride 32 whose channels are these values, whatever the picture of 32 x 32."""
    kernel = np.zeros((len(values), 3, 1, 1), np.float32)
    stored = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(values, "bias")]
    node = helper.make_node("Conv", ["pixels", "kernel", "bias"], ["stride32"], strides=[32, 32])
    return model([node], stored, inputs=[value("pixels", ["N", 3, 32, 32])])


def saved(made: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def run_stock(
    model: bytes, feeds: dict[str, Floats], outputs: list[str] | None = None
) -> list[Floats]:
    """Outputs of stock ONNX Runtime, through its own Python package, on one CPU thread."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(outputs, feeds)]
