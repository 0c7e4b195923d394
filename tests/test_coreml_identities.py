"""Which expressions the structural proof of Core ML files takes for the same, and which not.

Both sides are written as ONNX graphs here. That the two sides of an identity compute the same is
checked with ONNX Runtime, so that no wrong identity can stand in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.pairing import Pairing, pair
from silverprint.export.coreml.proof.expressions.values import INPUT, Value, unreadable
from silverprint.export.coreml.proof.reading.reference import read_reference

Array = np.ndarray[Any, Any]

SHAPE = (1, 3, 6, 8)


class Graph:
    """A graph in the making, from ``image`` on; every call returns the name of a value."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = [one if isinstance(one, str) else self._weight(one) for one in inputs]
        results = [f"value{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, names, results, **attributes))
        return results[0] if outputs == 1 else results

    def _weight(self, values: Any) -> str:
        name = f"weight{len(self.weights)}"
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


Build = Callable[[Graph, str], str]


def model(build: Build, opset: int = 20) -> onnx.ModelProto:
    graph = Graph()
    result = build(graph, "image")
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        graph.nodes,
        "graph",
        [value("image", TensorProto.FLOAT, SHAPE)],
        [value(result, TensorProto.FLOAT, None)],
        graph.weights,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def compared(saved: onnx.ModelProto, reference: onnx.ModelProto) -> Pairing:
    sides = []
    for one in (saved, reference):
        values = read_reference(one, "image", SHAPE)
        sides.append(values[one.graph.output[0].name])
    return pair([(sides[0], sides[1])], {})


def computed(graph: onnx.ModelProto) -> Array:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    picture = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    return np.asarray(session.run(None, {"image": picture})[0])


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


WEIGHT, BIAS = random(5, 3, 3, 3), random(5, seed=1)
SCALE, SHIFT, MEAN = 1 + random(5, seed=2) / 4, random(5, seed=3), random(5, seed=4)
VARIANCE = np.abs(random(5, seed=5)) + 0.5
MATRIX = random(8, 4, seed=6)


def conv(g: Graph, x: str) -> str:
    return g("Conv", x, WEIGHT, BIAS, pads=[1, 1, 1, 1])


def conv_and_norm(g: Graph, x: str) -> str:
    return g("BatchNormalization", conv(g, x), SCALE, SHIFT, MEAN, VARIANCE)


def folded(g: Graph, x: str) -> str:
    """The fold as coremltools computes it, in float32."""
    factor = SCALE / np.sqrt(VARIANCE + np.float32(1e-5))
    weight = WEIGHT * factor[:, None, None, None]
    return g("Conv", x, weight, factor * (BIAS - MEAN) + SHIFT, pads=[1, 1, 1, 1])


def gelu_by_erf(g: Graph, x: str) -> str:
    share = g("Add", g("Erf", g("Div", x, np.sqrt(np.float32(2)))), 1.0)
    return g("Mul", g("Mul", x, share), 0.5)


def gelu_half_first(g: Graph, x: str) -> str:
    share = g("Add", g("Erf", g("Mul", x, np.sqrt(np.float32(0.5)))), 1.0)
    return g("Mul", g("Mul", x, 0.5), share)


def gelu_by_tanh(g: Graph, x: str) -> str:
    cube = g("Mul", g("Pow", x, 3.0), 0.044715)
    inner = g("Mul", g("Add", x, cube), np.sqrt(np.float32(2 / np.pi)))
    return g("Mul", x, g("Mul", g("Add", g("Tanh", inner), 1.0), 0.5))


def layer_norm_spelt_out(g: Graph, x: str) -> str:
    centred = g("Sub", x, g("ReduceMean", x, [-1]))
    variance = g("ReduceMean", g("Pow", centred, 2.0), [-1])
    norm = g("Div", centred, g("Sqrt", g("Add", variance, 1e-6)))
    return g("Add", g("Mul", norm, random(8, seed=7)), random(8, seed=8))


def layer_norm(g: Graph, x: str) -> str:
    return g("LayerNormalization", x, random(8, seed=7), random(8, seed=8), epsilon=1e-6)


def layer_norm_turned(g: Graph, x: str) -> str:
    """Over the first of the two axes that were changed round."""
    turned = g("Transpose", x, perm=[0, 1, 3, 2])
    centred = g("Sub", turned, g("ReduceMean", turned, [2]))
    variance = g("ReduceMean", g("Mul", centred, centred), [2])
    norm = g("Div", centred, g("Sqrt", g("Add", variance, 1e-6)))
    scaled = g("Add", g("Mul", norm, random(8, seed=7)[:, None]), random(8, seed=8)[:, None])
    return g("Transpose", scaled, perm=[0, 1, 3, 2])


def windows(g: Graph, x: str) -> str:
    """As Swin cuts a map into windows."""
    parts = g("Reshape", x, [1, 3, 3, 2, 4, 2])
    parts = g("Transpose", parts, perm=[0, 2, 4, 3, 5, 1])
    return g("Reshape", parts, [12, 4, 3])


def windows_otherwise(g: Graph, x: str) -> str:
    turned = g("Transpose", x, perm=[0, 2, 3, 1])
    rows = [g("Slice", turned, [2 * n], [2 * n + 2], [1]) for n in range(3)]
    cells = [
        g("Reshape", g("Slice", row, [2 * n], [2 * n + 2], [2]), [1, 4, 3])
        for row in rows
        for n in range(4)
    ]
    return g("Concat", *cells, axis=0)


IDENTITIES: dict[str, tuple[Build, Build]] = {
    "x * sigmoid(x), either way round": (
        lambda g, x: g("Mul", x, g("Sigmoid", x)),
        lambda g, x: g("Mul", g("Sigmoid", x), x),
    ),
    "GELU, half first or last": (gelu_by_erf, gelu_half_first),
    "GELU by erf as one operator": (gelu_by_erf, lambda g, x: g("Gelu", x)),
    "GELU by tanh as one operator": (gelu_by_tanh, lambda g, x: g("Gelu", x, approximate="tanh")),
    "GELU of a product": (
        lambda g, x: gelu_by_erf(g, g("Mul", x, g("Sigmoid", x))),
        lambda g, x: g("Gelu", g("Mul", x, g("Sigmoid", x))),
    ),
    "division as multiplication": (
        lambda g, x: g("Mul", x, np.float32(1) / np.float32(3)),
        lambda g, x: g("Div", x, 3.0),
    ),
    "reciprocal as division": (
        lambda g, x: g("Reciprocal", g("Exp", x)),
        lambda g, x: g("Div", 1.0, g("Exp", x)),
    ),
    "difference as sum": (lambda g, x: g("Add", x, -2.5), lambda g, x: g("Sub", x, 2.5)),
    "sum with nothing, product with one": (
        lambda g, x: g("Relu", x),
        lambda g, x: g("Mul", g("Add", g("Relu", x), 0.0), np.ones((1, 3, 1, 1))),
    ),
    "a product with ones that broadcasts": (
        lambda g, x: g("Mul", g("Slice", x, [0], [1], [1]), np.ones((1, 3, 6, 8))),
        lambda g, x: g("Expand", g("Slice", x, [0], [1], [1]), [1, 3, 6, 8]),
    ),
    "hard swish": (
        lambda g, x: g("Mul", x, g("Clip", g("Add", g("Mul", x, 1 / 6), 0.5), 0.0, 1.0)),
        lambda g, x: g("HardSwish", x),
    ),
    "hard swish by hard sigmoid": (
        lambda g, x: g("Mul", x, g("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
        lambda g, x: g("HardSwish", x),
    ),
    "relu as clip": (lambda g, x: g("Relu", x), lambda g, x: g("Clip", x, 0.0)),
    "relu6 by two negations": (
        lambda g, x: g("Neg", g("Max", g("Neg", g("Relu", x)), -6.0)),
        lambda g, x: g("Clip", x, 0.0, 6.0),
    ),
    "PRelu": (
        lambda g, x: g("Add", g("Relu", x), g("Mul", g("Min", x, 0.0), random(3, 1, 1))),
        lambda g, x: g("PRelu", x, random(3, 1, 1)),
    ),
    "square": (lambda g, x: g("Mul", x, x), lambda g, x: g("Pow", x, 2.0)),
    "layer norm": (layer_norm, layer_norm_spelt_out),
    "layer norm along another axis": (layer_norm_turned, layer_norm),
    "bias of a matrix": (
        lambda g, x: g("Add", g("MatMul", x, MATRIX), random(4)),
        lambda g, x: g("Add", random(4), g("MatMul", x, MATRIX)),
    ),
    "a matrix as Gemm": (
        lambda g, x: g("Gemm", g("Reshape", x, [18, 8]), MATRIX.T, random(4), transB=1),
        lambda g, x: g("Add", g("MatMul", g("Reshape", x, [18, 8]), MATRIX), random(4)),
    ),
    "batch norm in the weights": (folded, conv_and_norm),
    "bias of a convolution": (
        conv,
        lambda g, x: g("Add", g("Conv", x, WEIGHT, pads=[1, 1, 1, 1]), BIAS.reshape(1, -1, 1, 1)),
    ),
    "a factor in the weights": (
        lambda g, x: g(
            "Conv",
            x,
            WEIGHT * SCALE[:, None, None, None],
            BIAS * SCALE,
            pads=[1, 1, 1, 1],
        ),
        lambda g, x: g("Mul", conv(g, x), SCALE.reshape(-1, 1, 1)),
    ),
    "zeros around a convolution": (
        conv,
        lambda g, x: g("Conv", g("Pad", x, [0, 0, 1, 1, 0, 0, 1, 1], 0.0), WEIGHT, BIAS),
    ),
    "zeros that an average counts": (
        lambda g, x: g("AveragePool", g("Pad", x, [0, 0, 1, 0, 0, 0, 1, 1]), kernel_shape=[3, 3]),
        lambda g, x: g(
            "AveragePool", x, kernel_shape=[3, 3], pads=[1, 0, 1, 1], count_include_pad=1
        ),
    ),
    "Selu spelt out": (
        lambda g, x: g("Mul", g("Elu", x, alpha=1.2), 0.8),
        lambda g, x: g("Selu", x, alpha=1.2, gamma=0.8),
    ),
    "Mish spelt out": (
        lambda g, x: g("Mul", g("Tanh", g("Softplus", x)), x),
        lambda g, x: g("Mish", x),
    ),
    "a mean of three": (
        lambda g, x: g("Mul", g("Add", g("Add", x, g("Exp", x)), g("Relu", x)), 1 / 3),
        lambda g, x: g("Mean", x, g("Exp", x), g("Relu", x)),
    ),
    "a product with a vector": (
        lambda g, x: g("MatMul", x, MATRIX[:, 0]),
        lambda g, x: g("Squeeze", g("MatMul", x, MATRIX[:, :1]), [3]),
    ),
    "an average over everything": (
        lambda g, x: g("GlobalAveragePool", x),
        lambda g, x: g("AveragePool", x, kernel_shape=[6, 8]),
    ),
    "a mean that keeps no axes": (
        lambda g, x: g("Flatten", g("GlobalAveragePool", x)),
        lambda g, x: g("ReduceMean", x, [2, 3], keepdims=0),
    ),
    "windows of a map": (windows, windows_otherwise),
    "a split as slices": (
        lambda g, x: g("Concat", *g("Split", x, [1, 2], outputs=2, axis=1), axis=1),
        lambda g, x: g("Identity", x),
    ),
    "an activation before or behind a transpose": (
        lambda g, x: g("Transpose", g("Relu", x), perm=[0, 2, 3, 1]),
        lambda g, x: g("Relu", g("Transpose", x, perm=[0, 2, 3, 1])),
    ),
    "constants that turn with a transpose": (
        lambda g, x: g("Transpose", g("Mul", x, random(3, 1, 1)), perm=[0, 2, 3, 1]),
        lambda g, x: g("Mul", g("Transpose", x, perm=[0, 2, 3, 1]), random(3)),
    ),
    "a sum of what is turned": (
        lambda g, x: g("Transpose", g("Add", g("Relu", x), g("Tanh", x)), perm=[0, 2, 3, 1]),
        lambda g, x: g(
            "Add",
            g("Transpose", g("Relu", x), perm=[0, 2, 3, 1]),
            g("Transpose", g("Tanh", x), perm=[0, 2, 3, 1]),
        ),
    ),
    "softmax along an axis that was moved": (
        lambda g, x: g("Softmax", x, axis=1),
        lambda g, x: g(
            "Transpose",
            g("Softmax", g("Transpose", x, perm=[0, 2, 3, 1]), axis=-1),
            perm=[0, 3, 1, 2],
        ),
    ),
    "planes in another order before a normalisation": (
        lambda g, x: g(
            "Mul", g("Sub", g("Gather", x, [2, 1, 0], axis=1), [[[3.0]], [[2.0]], [[1.0]]]), 0.5
        ),
        lambda g, x: g(
            "Gather", g("Mul", g("Sub", x, [[[1.0]], [[2.0]], [[3.0]]]), 0.5), [2, 1, 0], axis=1
        ),
    ),
    "nearest neighbours": (
        lambda g, x: g(
            "Resize",
            x,
            "",
            [1.0, 1.0, 2.0, 2.0],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        lambda g, x: g(
            "Reshape",
            g("Tile", g("Reshape", x, [1, 3, 6, 1, 8, 1]), [1, 1, 1, 2, 1, 2]),
            [1, 3, 12, 16],
        ),
    ),
}

DIFFERENT: dict[str, tuple[Build, Build, str]] = {
    "another activation": (
        lambda g, x: g("Relu", x),
        lambda g, x: g("Clip", x, 0.0, 6.0),
        "is relu, the reference has clip",
    ),
    "another form of GELU": (
        lambda g, x: g("Gelu", x, approximate="tanh"),
        gelu_by_erf,
        "mode is tanh, the reference has exact",
    ),
    "another axis": (
        lambda g, x: g("Softmax", x, axis=1),
        lambda g, x: g("Softmax", x, axis=2),
        "axis",
    ),
    "another epsilon": (
        lambda g, x: g("LayerNormalization", x, random(8, seed=7), random(8, seed=8)),
        layer_norm_spelt_out,
        "epsilon 'epsilon' is 1e-05",
    ),
    "another order": (
        lambda g, x: g("Transpose", x, perm=[0, 3, 2, 1]),
        lambda g, x: g("Transpose", x, perm=[0, 2, 3, 1]),
        "instead of [1, 6, 8, 3]",
    ),
    "the same shape in another order": (
        lambda g, x: g("Reshape", g("Transpose", x, perm=[0, 1, 3, 2]), [1, 3, 6, 8]),
        lambda g, x: g("Identity", g("Relu", x)),
        "",
    ),
    "operands the other way round": (
        lambda g, x: g("Sub", g("Relu", x), g("Tanh", x)),
        lambda g, x: g("Sub", g("Tanh", x), g("Relu", x)),
        "is relu, the reference has tanh",
    ),
    "another sampling": (
        lambda g, x: g(
            "Resize",
            x,
            "",
            [1.0, 1.0, 2.0, 2.0],
            mode="linear",
            coordinate_transformation_mode="align_corners",
        ),
        lambda g, x: g("Resize", x, "", [1.0, 1.0, 2.0, 2.0], mode="linear"),
        "samples at other positions",
    ),
    "padding with another number": (
        lambda g, x: g("Relu", g("Pad", x, [0, 0, 1, 1, 0, 0, 1, 1], 1.0)),
        lambda g, x: g("Relu", g("Pad", x, [0, 0, 1, 1, 0, 0, 1, 1], 0.0)),
        "table",
    ),
    "another number over x": (
        lambda g, x: g("Div", 2.0, g("Exp", x)),
        lambda g, x: g("Reciprocal", g("Exp", x)),
        "",
    ),
    "another number before an elu": (
        lambda g, x: g("Mul", g("Elu", x, alpha=1.2), 0.9),
        lambda g, x: g("Selu", x, alpha=1.2, gamma=0.8),
        "gamma",
    ),
    "zeros that an average does not count": (
        lambda g, x: g("AveragePool", g("Pad", x, [0, 0, 1, 1, 0, 0, 1, 1]), kernel_shape=[3, 3]),
        lambda g, x: g("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        "counts_pads",
    ),
    "the smallest instead of the largest": (
        lambda g, x: g("TopK", x, [3], outputs=2, largest=0)[0],
        lambda g, x: g("TopK", x, [3], outputs=2)[0],
        "smallest is True, the reference has False",
    ),
    "more neighbours": (
        lambda g, x: g("LRN", x, size=3),
        lambda g, x: g("LRN", x, size=5),
        "size is 3, the reference has 5",
    ),
    "dropout in training": (
        lambda g, x: g("Relu", x),
        lambda g, x: g("Dropout", g("Relu", x), 0.5, np.bool_(True)),
        "",
    ),
    "overhang in an average": (
        lambda g, x: g(
            "AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1
        ),
        lambda g, x: g("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        "counts_pads is True, the reference has False",
    ),
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("turned", [False, True], ids=["", "the other way round"])
def test_what_is_the_same_matches(name: str, turned: bool) -> None:
    first, second = (model(build) for build in IDENTITIES[name][:: -1 if turned else 1])
    np.testing.assert_allclose(computed(first), computed(second), rtol=1e-4, atol=2e-6)
    found = compared(first, second)
    assert found.differences == []
    assert found.unproven == []


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_not_the_same_is_told_apart(name: str) -> None:
    first, second, said = DIFFERENT[name]
    found = compared(model(first), model(second))
    assert found.differences or found.unproven
    assert any(said in one.what for one in found.differences) or not said


def test_what_cannot_be_read_is_unproven_and_no_error() -> None:
    """A layer of a NeuralNetwork whose input has no known shape, for example."""
    x = Value(INPUT, (1, 3), name="x")
    wanted = layers.softmax(x, 1, "y")
    found = pair([(unreadable("nn:softmaxND", (1, 3), [x], "y", 0, 0), wanted)], {})
    assert (found.differences, len(found.unproven)) == ([], 1)
    assert pair([(layers.unary("relu", x, "y"), wanted)], {}).differences


def test_weights_are_compared_with_the_one_weight_that_they_come_from() -> None:
    """As a set the weights of two equal blocks are the same; in their places they are not."""

    def blocks(first: int, second: int) -> Build:
        return lambda g, x: g(
            "Conv",
            g("Relu", g("Conv", x, random(3, 3, 1, 1, seed=first))),
            random(3, 3, 1, 1, seed=second),
        )

    assert compared(model(blocks(1, 2)), model(blocks(1, 2))).differences == []
    found = compared(model(blocks(2, 1)), model(blocks(1, 2))).differences
    assert [one.check for one in found] == ["c", "c"]
