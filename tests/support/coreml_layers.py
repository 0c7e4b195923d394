"""Layers of a NeuralNetwork made one by one, and the same from ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, helper

from silverprint.export.coreml.execute.network import run_network
from silverprint.export.coreml.library import quiet, require
from silverprint.export.coreml.reader import SavedModel

Array = np.ndarray[Any, Any]
Build = Callable[[Any], object]


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layers(build: Build, *inputs: Array, outputs: int = 1) -> list[Array]:
    """What the layers that `build` adds make of the inputs ``a``, ``b``, ...: ``y``, ``z``, ..."""
    require()
    with quiet():
        from coremltools.models import datatypes
        from coremltools.models.neural_network import NeuralNetworkBuilder

        builder = NeuralNetworkBuilder(
            [(name, datatypes.Array(*one.shape)) for name, one in zip("abc", inputs, strict=False)],
            [(name, None) for name in "yz"[:outputs]],
            disable_rank5_shape_mapping=True,
        )
        build(builder)
    saved = SavedModel(Path("built"), builder.spec)
    found = run_network(saved, dict(zip("abc", inputs, strict=False)))
    return [found[name] for name in "yz"[:outputs]]


def onnx(operator: str, *operands: Array | None, opset: int = 17, **attributes: Any) -> Array:
    """The first output of one ONNX operator, from ONNX Runtime; None is an operand left out."""
    given = {f"x{at}": one for at, one in enumerate(operands) if one is not None}
    order = [f"x{at}" if one is not None else "" for at, one in enumerate(operands)]
    node = helper.make_node(operator, order, ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(one.dtype), one.shape
            )
            for name, one in given.items()
        ],
        [helper.make_empty_tensor_value_info("y")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    result: Array = session.run(None, given)[0]
    return result


def same(found: Array, expected: Any, tolerance: float = 2e-6) -> None:
    expected = np.asarray(expected)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def to_network(model: ModelProto, **given: Any) -> Any:
    """The NeuralNetwork protobuf that onnx2coreml and coremltools make of an ONNX model.

    `given` goes to ``coremltools.convert``.
    """
    ct = require()
    with quiet():
        from onnx2coreml import Converter

        program = Converter().to_mil(
            model, target=ct.target.iOS15, precision=ct.precision.FLOAT32, fuse=False
        )
        passes = ct.PassPipeline.DEFAULT
        passes.remove_passes({"common::fuse_elementwise_to_batchnorm"})
        converted = ct.convert(
            program,
            convert_to="neuralnetwork",
            pass_pipeline=passes,
            skip_model_load=True,
            **given,
        )
        return converted.get_spec()
