"""The executor of NeuralNetwork files, layer by layer: what works number by number, and shapes.

Expected values come from ONNX Runtime, or are the examples and formulas of NeuralNetwork.proto;
the layers are written by coremltools' NeuralNetworkBuilder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from silverprint.errors import ExportError
from silverprint.export.coreml.library import available
from support.coreml_layers import Array, Build, layers, onnx, random, same

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

X = random(2, 3, 4, 5) * 3
ALPHA = np.array([0.5, -1.0, 2.0], np.float32)


def counted(*shape: int) -> Array:
    return np.arange(1, math.prod(shape) + 1, dtype=np.float32).reshape(shape)


def sigmoid(x: Array) -> Array:
    return onnx("Sigmoid", x)


# Number by number


def activation(kind: str, params: Any = None) -> Build:
    return lambda b: b.add_activation("act", kind, "a", "y", params, X.ndim, list(X.shape))


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("LINEAR", [2.0, -3.0], lambda x: 2 * x - 3),
        ("RELU", None, lambda x: onnx("Relu", x)),
        ("LEAKYRELU", [0.1], lambda x: onnx("LeakyRelu", x, alpha=0.1)),
        ("THRESHOLDEDRELU", 1.5, lambda x: onnx("ThresholdedRelu", x, alpha=1.5)),
        ("PRELU", ALPHA, lambda x: onnx("PRelu", x, ALPHA.reshape(3, 1, 1))),
        ("TANH", None, lambda x: onnx("Tanh", x)),
        ("SCALED_TANH", [1.7, 0.6], lambda x: 1.7 * onnx("Tanh", 0.6 * x)),
        ("SIGMOID", None, sigmoid),
        ("SIGMOID_HARD", [0.3, 0.4], lambda x: onnx("HardSigmoid", x, alpha=0.3, beta=0.4)),
        ("ELU", 0.7, lambda x: onnx("Elu", x, alpha=0.7)),
        ("SOFTSIGN", None, lambda x: onnx("Softsign", x)),
        ("SOFTPLUS", None, lambda x: onnx("Softplus", x)),
        (
            "PARAMETRICSOFTPLUS",
            [ALPHA, ALPHA],
            lambda x: ALPHA.reshape(3, 1, 1) * onnx("Softplus", ALPHA.reshape(3, 1, 1) * x),
        ),
    ],
)
def test_activations(kind: str, params: Any, expected: Callable[[Array], Array]) -> None:
    (found,) = layers(activation(kind, params), X)
    same(found, expected(X))


def test_activations_bear_large_numbers() -> None:
    x = np.array([-1e4, -100.0, 100.0, 1e4], np.float32)
    for kind, expected in (("SIGMOID", [0, 0, 1, 1]), ("SOFTPLUS", [0, 0, 100, 1e4])):
        (found,) = layers(lambda b, kind=kind: b.add_activation("act", kind, "a", "y"), x)
        same(found, expected)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sqrt", lambda x: onnx("Sqrt", x)),
        ("rsqrt", lambda x: 1 / onnx("Sqrt", x + np.float32(0.5))),
        ("inverse", lambda x: onnx("Reciprocal", x + np.float32(0.5))),
        ("power", lambda x: onnx("Pow", x, np.array(2.5, np.float32))),
        ("exp", lambda x: onnx("Exp", x)),
        ("log", lambda x: onnx("Log", x)),
        ("abs", lambda x: onnx("Abs", x)),
        ("threshold", lambda x: onnx("Max", x, np.array(2.5, np.float32))),
    ],
)
def test_unary_functions_work_on_what_is_scaled_and_shifted(
    mode: str, expected: Callable[[Array], Array]
) -> None:
    x = np.abs(X)
    (found,) = layers(
        lambda b: b.add_unary("u", "a", "y", mode, alpha=2.5, shift=1.0, scale=0.5, epsilon=0.5), x
    )
    same(found, expected(0.5 * x + 1))


def test_epsilon_and_scale_that_are_not_set_have_their_defaults() -> None:
    x = np.array([0.0, 1.0], np.float32)

    def build(builder: Any) -> None:
        builder.add_unary("u", "a", "y", "inverse")
        layer = builder.spec.neuralNetwork.layers[0].unary
        layer.scale = layer.epsilon = 0.0

    (found,) = layers(build, x)
    np.testing.assert_allclose(found, [1e6, 1 / (1 + 1e-6)], rtol=1e-6)


def test_gelu_and_erf() -> None:
    x = np.linspace(-6, 6, 999, dtype=np.float32)
    exact = np.array([math.erf(one) for one in x])
    (found,) = layers(lambda b: b.add_erf("e", "a", "y"), x)
    same(found, exact, 1e-7)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x.astype(np.float64) ** 3)
    expected = {
        "EXACT": 0.5 * x * (1 + np.array([math.erf(one / math.sqrt(2)) for one in x])),
        "TANH_APPROXIMATION": 0.5 * x * (1 + np.tanh(inner)),
        "SIGMOID_APPROXIMATION": x * sigmoid(np.float32(1.702) * x),
    }
    for mode, values in expected.items():
        (found,) = layers(lambda b, mode=mode: b.add_gelu("g", "a", "y", mode), x)
        same(found, values, 1e-6)
    assert np.abs(expected["EXACT"] - expected["TANH_APPROXIMATION"]).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        *(("ceil", "Ceil"), ("floor", "Floor"), ("sign", "Sign"), ("round", "Round")),
        *(("sin", "Sin"), ("cos", "Cos"), ("tan", "Tan"), ("sinh", "Sinh"), ("cosh", "Cosh")),
        *(("asin", "Asin"), ("acos", "Acos"), ("atan", "Atan"), ("tanh", "Tanh")),
        *(("asinh", "Asinh"), ("acosh", "Acosh"), ("atanh", "Atanh")),
    ],
)
def test_functions(name: str, operator: str) -> None:
    x = np.linspace(-0.95, 0.95, 41, dtype=np.float32)
    x = 2 + x if name == "acosh" else x
    (found,) = layers(lambda b: getattr(b, f"add_{name}")("f", "a", "y"), x)
    same(found, onnx(operator, x))


def test_clip_exp2_and_clamped_relu() -> None:
    x = np.array([-3.0, -1.0, 0.0, 2.0, 7.0], np.float32)
    (found,) = layers(lambda b: b.add_clip("c", "a", "y", -2.0, 5.0), x)
    same(found, [-2, -1, 0, 2, 5])
    (found,) = layers(lambda b: b.add_exp2("e", "a", "y"), x)
    same(found, [1 / 8, 1 / 2, 1, 4, 128])
    (found,) = layers(lambda b: b.add_clamped_relu("r", "a", "y", 0.5, 5.0), x)
    same(found, [-1.5, -0.5, 0, 2, 5])


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        *(("add", "Add"), ("subtract", "Sub"), ("multiply", "Mul"), ("divide", "Div")),
        *(("pow", "Pow"), ("max", "Max"), ("min", "Min")),
    ],
)
def test_broadcasting_pairs(name: str, operator: str) -> None:
    x, y = np.abs(random(2, 1, 5)) + 0.1, random(3, 1, seed=1)
    (found,) = layers(lambda b: getattr(b, f"add_{name}_broadcastable")("p", ["a", "b"], "y"), x, y)
    same(found, onnx(operator, x, y))


def test_floor_division_and_modulus_follow_the_divisor() -> None:
    x, y = (np.array(one, np.float32) for one in ([7.5, -7.5, 7.5, -7.5], [2, 2, -2, -2]))
    (found,) = layers(lambda b: b.add_floor_div_broadcastable("p", ["a", "b"], "y"), x, y)
    same(found, [3, -4, -4, 3])
    (found,) = layers(lambda b: b.add_mod_broadcastable("p", ["a", "b"], "y"), x, y)
    same(found, [1.5, 0.5, -0.5, -1.5])


@pytest.mark.parametrize(
    ("mode", "expected"), [("ADD", [3, 4, 5]), ("MULTIPLY", [2, 4, 6]), ("MAX", [2, 2, 3])]
)
def test_elementwise_layers(mode: str, expected: list[float]) -> None:
    x, two = counted(3), np.full(3, 2, np.float32)
    (found,) = layers(lambda b: b.add_elementwise("e", ["a", "b"], "y", mode), x, two)
    same(found, expected)
    if mode != "MAX":
        (found,) = layers(lambda b: b.add_elementwise("e", ["a"], "y", mode, alpha=2.0), x)
        same(found, expected)


def test_average_and_minimum_of_three() -> None:
    given = [np.array(one, np.float32) for one in ([1, 5], [3, 1], [8, 0])]
    (found,) = layers(lambda b: b.add_elementwise("e", ["a", "b", "c"], "y", "AVE"), *given)
    same(found, [4, 2])
    (found,) = layers(lambda b: b.add_elementwise("e", ["a", "b", "c"], "y", "MIN"), *given)
    same(found, [1, 0])


def test_the_first_input_of_an_addition_is_as_large_as_the_result() -> None:
    x, y = random(2, 3, 4), random(3, 1, seed=1)
    (found,) = layers(lambda b: b.add_elementwise("e", ["a", "b"], "y", "ADD"), x, y)
    same(found, onnx("Add", x, y))
    (found,) = layers(lambda b: b.add_elementwise("e", ["a", "b"], "y", "ADD"), x, x[None])
    same(found, 2 * x[None])
    with pytest.raises(ExportError, match=r"'e' \(add\).*broadcast its first input"):
        layers(lambda b: b.add_elementwise("e", ["b", "a"], "y", "ADD"), x, y)


def test_comparisons_logic_and_choice() -> None:
    x, y = (np.array(one, np.float32) for one in ([0, 1, 2], [1, 1, 1]))
    results: list[tuple[Build, list[float]]] = [
        (lambda b: b.add_greater_than("g", ["a", "b"], "y"), [0, 0, 1]),
        (lambda b: b.add_greater_than("g", ["a", "b"], "y", True), [0, 1, 1]),
        (lambda b: b.add_less_than("l", ["a"], "y", alpha=1.0), [1, 0, 0]),
        (lambda b: b.add_less_than("l", ["a"], "y", True, alpha=1.0), [1, 1, 0]),
        (lambda b: b.add_equal("e", ["a", "b"], "y"), [0, 1, 0]),
        (lambda b: b.add_not_equal("n", ["a"], "y", alpha=2.0), [1, 1, 0]),
        (lambda b: b.add_logical("l", ["a", "b"], "y", "AND"), [0, 1, 1]),
        (lambda b: b.add_logical("l", ["a", "b"], "y", "XOR"), [1, 0, 0]),
        (lambda b: b.add_logical("l", ["a", "b"], "y", "OR"), [1, 1, 1]),
        (lambda b: b.add_logical("l", ["a"], "y", "NOT"), [1, 0, 0]),
        (lambda b: b.add_where_broadcastable("w", ["a", "a", "b"], "y"), [1, 1, 2]),
    ]
    for build, expected in results:
        (found,) = layers(build, x, y)
        same(found, expected)


# Shapes


PROTO_PADDED = {
    "constant": [[0] * 6, [0] * 6, [0, 0, 1, 2, 3, 4], [0, 0, 5, 6, 7, 8], [0, 0, 9, 10, 11, 12]],
    "reflection": [
        [11, 10, 9, 10, 11, 12],
        [7, 6, 5, 6, 7, 8],
        [3, 2, 1, 2, 3, 4],
        [7, 6, 5, 6, 7, 8],
        [11, 10, 9, 10, 11, 12],
    ],
    "replication": [[1, 1, 1, 2, 3, 4]] * 3 + [[5, 5, 5, 6, 7, 8], [9, 9, 9, 10, 11, 12]],
}


@pytest.mark.parametrize(("kind", "expected"), PROTO_PADDED.items())
def test_padding(kind: str, expected: list[list[float]]) -> None:
    edges = {"left": 2, "top": 2, "input_name": "a", "output_name": "y"}
    (found,) = layers(lambda b: b.add_padding("p", **edges, padding_type=kind), counted(1, 3, 4))
    same(found, [expected])


def test_constant_padding_of_any_axis() -> None:
    x, amounts = counted(1, 2), [0, 1, 2, 0]
    (found,) = layers(lambda b: b.add_constant_pad("p", ["a"], "y", 7, False, amounts), x)
    same(found, [[7, 7, 1, 2], [7, 7, 7, 7]])
    sizes = [0, 2, 3, 0]
    (found,) = layers(lambda b: b.add_constant_pad("p", ["a"], "y", 0, True, sizes), x)
    same(found, [[0, 1, 2], [0, 0, 0]])


def test_crop() -> None:
    x = counted(1, 4, 5)
    (found,) = layers(lambda b: b.add_crop("c", 1, 2, 1, 0, 0, ["a"], "y"), x)
    same(found, x[:, 1:, 1:3])
    like = counted(1, 2, 3)
    (found,) = layers(lambda b: b.add_crop("c", 0, 0, 0, 0, [2, 1], ["a", "b"], "y"), x, like)
    same(found, x[:, 2:, 1:4])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("DEPTH_TO_SPACE", [[[1, 5, 2, 6], [9, 13, 10, 14]], [[3, 7, 4, 8], [11, 15, 12, 16]]]),
        ("PIXEL_SHUFFLE", [[[1, 3, 2, 4], [5, 7, 6, 8]], [[9, 11, 10, 12], [13, 15, 14, 16]]]),
    ],
)
def test_reorganize_data(mode: str, expected: list[Any]) -> None:
    x = counted(8, 1, 2)
    (found,) = layers(lambda b: b.add_reorganize_data("r", "a", "y", mode, 2), x)
    same(found, expected)
    back = random(2, 3, 4, 6)
    (found,) = layers(lambda b: b.add_reorganize_data("r", "a", "y", "SPACE_TO_DEPTH", 2), back)
    same(found, onnx("SpaceToDepth", back, blocksize=2))


@pytest.mark.parametrize("size", [(8, 10), (5, 7)])
@pytest.mark.parametrize(
    ("mode", "coordinates"),
    [("STRICT_ALIGN_ENDPOINTS_MODE", "align_corners"), ("UPSAMPLE_MODE", "asymmetric")],
)
def test_resize_bilinear(size: tuple[int, int], mode: str, coordinates: str) -> None:
    x = random(2, 3, 4, 5)
    (found,) = layers(lambda b: b.add_resize_bilinear("r", "a", "y", *size, mode), x)
    same(found, resized(x, size, coordinates))


def resized(x: Array, size: tuple[int, int], coordinates: str, mode: str = "linear") -> Array:
    sizes = np.array([*x.shape[:2], *size], np.int64)
    return onnx(
        "Resize",
        x,
        None,
        None,
        sizes,
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode="floor",
    )


def test_other_sampling_modes_by_hand() -> None:
    """4 pixels to 2 places: ROI_ALIGN samples at 0.75 and 2.25; one place lies in the middle."""
    x = np.array([[[0.0, 10, 20, 30]]], np.float32)
    for mode, width, expected in (
        ("ROI_ALIGN_MODE", 2, [7.5, 22.5]),
        ("ALIGN_ENDPOINTS_MODE", 1, [15]),
        ("ALIGN_ENDPOINTS_MODE", 2, [0, 30]),
        ("STRICT_ALIGN_ENDPOINTS_MODE", 1, [0]),
    ):
        (found,) = layers(
            lambda b, mode=mode, width=width: b.add_resize_bilinear("r", "a", "y", 1, width, mode),
            x,
        )
        same(found, [[expected]])


@pytest.mark.parametrize(
    ("mode", "linear", "coordinates"),
    [
        ("BILINEAR", "DEFAULT", "asymmetric"),
        ("BILINEAR", "ALIGN_CORNERS_TRUE", "align_corners"),
        ("BILINEAR", "ALIGN_CORNERS_FALSE", "half_pixel"),
        ("NN", "DEFAULT", "asymmetric"),
    ],
)
def test_upsample(mode: str, linear: str, coordinates: str) -> None:
    x = random(2, 3, 4, 5)
    (found,) = layers(
        lambda b: b.add_upsample("u", 2, 3, "a", "y", mode, linear_upsample_mode=linear), x
    )
    nearest = "nearest" if mode == "NN" else "linear"
    same(found, resized(x, (8, 15), coordinates, nearest))


def test_upsample_by_a_fraction() -> None:
    x = random(1, 2, 4, 6)
    mode = {"mode": "BILINEAR", "linear_upsample_mode": "ALIGN_CORNERS_TRUE"}
    (found,) = layers(lambda b: b.add_upsample("u", 1.5, 2.5, "a", "y", **mode), x)
    same(found, resized(x, (6, 15), "align_corners"))


def keeping_rank(*target: int) -> Build:
    return lambda b: b.add_rank_preserving_reshape("r", "a", "y", target)


@pytest.mark.parametrize(
    ("build", "given", "expected"),
    [
        (lambda b: b.add_reshape_static("r", "a", "y", [4, -1]), (2, 3, 4), (4, 6)),
        (keeping_rank(5, -1), (20, 10), (5, 40)),
        (keeping_rank(0, 2, 25), (20, 10, 5), (20, 2, 25)),
        (keeping_rank(25, 0, -1), (10, 3, 5), (25, 3, 2)),
        (lambda b: b.add_flatten_to_2d("f", "a", "y", -2), (5, 5, 3), (5, 15)),
        (lambda b: b.add_flatten_to_2d("f", "a", "y", 0), (5, 2), (1, 10)),
        (lambda b: b.add_flatten("f", 0, "a", "y"), (2, 3, 4, 5), (2, 60, 1, 1)),
        (lambda b: b.add_expand_dims("e", "a", "y", [0, 2]), (10, 5), (1, 10, 1, 5)),
        (lambda b: b.add_expand_dims("e", "a", "y", [-2, -1]), (10, 5), (10, 5, 1, 1)),
        (lambda b: b.add_squeeze("s", "a", "y", [0, 3]), (1, 10, 5, 1), (10, 5)),
        (lambda b: b.add_squeeze("s", "a", "y", [0]), (1,), (1,)),
        (lambda b: b.add_squeeze("s", "a", "y", squeeze_all=True), (1, 2, 1), (2,)),
    ],
)
def test_shapes_change_and_the_order_of_numbers_stays(
    build: Build, given: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    x = counted(*given)
    (found,) = layers(build, x)
    same(found, x.reshape(expected))


def test_orders_of_axes() -> None:
    x = random(6, 7, 8, 9)
    (found,) = layers(lambda b: b.add_transpose("t", [3, 1, 2, 0], "a", "y"), x)
    same(found, onnx("Transpose", x, perm=[3, 1, 2, 0]))
    (found,) = layers(lambda b: b.add_flatten("f", 1, "a", "y"), counted(1, 2, 1, 3))
    same(found.ravel(), [1, 4, 2, 5, 3, 6])
    five = random(2, 3, 4, 5, 6)
    (found,) = layers(lambda b: b.add_permute("p", [3, 1, 2, 0], "a", "y"), five)
    same(found, five.transpose(4, 1, 2, 3, 0))
    (found,) = layers(lambda b: b.add_reverse("r", "a", "y", [False, True]), counted(2, 3))
    same(found, [[3, 2, 1], [6, 5, 4]])


def test_joining() -> None:
    x, y = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    (found,) = layers(lambda b: b.add_elementwise("c", ["a", "b"], "y", "CONCAT"), x, y)
    same(found, onnx("Concat", x, y, axis=1))
    long = [one[None] for one in (x, y)]
    (found,) = layers(lambda b: b.add_elementwise("c", ["a", "b"], "y", "SEQUENCE_CONCAT"), *long)
    same(found, onnx("Concat", *long, axis=0))
    (found,) = layers(lambda b: b.add_concat_nd("c", ["a", "b"], "y", -1), x, y)
    same(found, onnx("Concat", x, y, axis=3))
    (found,) = layers(lambda b: b.add_stack("s", ["a", "b"], "y", -2), x, y)
    assert found.shape == (2, 3, 4, 2, 5)
    same(found[:, :, :, 1], y)
    (found,) = layers(
        lambda b: b.add_concat_nd("c", ["a", "b"], "y", 0, interleave=True), counted(3), -counted(3)
    )
    same(found, [1, -1, 2, -2, 3, -3])


def test_splitting() -> None:
    x = random(5, 3, 4)
    first, second = layers(
        lambda b: b.add_split_nd("s", "a", ["y", "z"], -3, split_sizes=[3, 2]), x, outputs=2
    )
    same(first, x[:3])
    same(second, x[3:])
    _, second = layers(
        lambda b: b.add_split_nd("s", "a", ["y", "z"], 2, num_splits=2), x, outputs=2
    )
    same(second, x[:, :, 2:])
    channels = random(2, 4, 1, 1)
    _, second = layers(lambda b: b.add_split("s", "a", ["y", "z"]), channels, outputs=2)
    same(second, channels[:, 2:])
    with pytest.raises(ExportError, match=r"splits \[5, 3, 4\] into \[3, 3\]"):
        layers(lambda b: b.add_split_nd("s", "a", ["y", "z"], 0, split_sizes=[3, 3]), x, outputs=2)


SLICE: dict[str, Any] = {
    "begin_ids": [1, 2, 3],
    "end_ids": [3, -3, 2],
    "strides": [2, 2, 2],
    "begin_masks": [True, False, True],
    "end_masks": [False, True, True],
}


def test_slices() -> None:
    x = random(5, 5, 5)
    (found,) = layers(lambda b: b.add_slice_static("s", "a", "y", **SLICE), x)
    same(found, x[:3:2, 2::2, ::2])
    squeezed = {**SLICE, "squeeze_masks": [False, True, False]}
    (found,) = layers(lambda b: b.add_slice_static("s", "a", "y", **squeezed), x)
    same(found, x[:3:2, 2, ::2])
    (found,) = layers(lambda b: b.add_slice("s", "a", "y", "height", 1, -1, 2), x)
    same(found, x[:, 1:-1:2])
    begin, end = np.array([1, 0, 2], np.float32), np.array([4, 5, 3], np.float32)
    masks = {"begin_masks": [False] * 3, "end_masks": [False, False, True], "strides": [1, 2, 1]}
    (found,) = layers(
        lambda b: b.add_slice_dynamic("s", ["a", "b", "c"], "y", **masks), x, begin, end
    )
    same(found, x[1:4, 0:5:2, 2:])
    start = np.array([3], np.float32)
    (found,) = layers(lambda b: b.add_slice_by_size("s", ["a", "b"], "y", axis=1, size=2), x, start)
    same(found, x[:, 3:5])


def test_choosing_by_index() -> None:
    x = random(2, 3, 5)
    places = np.array([[0, 2], [-1, 1]], np.float32)
    (found,) = layers(lambda b: b.add_gather("g", ["a", "b"], "y", 1), x, places)
    same(found, onnx("Gather", x, places.astype(np.int64), axis=1))
    along = np.array([[[4, 0]] * 3, [[1, 1]] * 3], np.float32)
    (found,) = layers(lambda b: b.add_gather_along_axis("g", ["a", "b"], "y", 2), x, along)
    same(found, onnx("GatherElements", x, along.astype(np.int64), axis=2))
    points = np.array([[1, 2], [0, 0]], np.float32)
    (found,) = layers(lambda b: b.add_gather_nd("g", ["a", "b"], "y"), x, points)
    same(found, onnx("GatherND", x, points.astype(np.int64)))
    with pytest.raises(ExportError, match=r"'g' \(gather\) cannot be computed"):
        layers(lambda b: b.add_gather("g", ["a", "b"], "y", 0), x, np.array([2], np.float32))


def test_one_hot_tile_and_broadcast() -> None:
    hot = np.array([2, -1], np.float32)
    (found,) = layers(lambda b: b.add_one_hot("h", ["a"], "y", 4, -1, 5.0, -1.0), hot)
    same(found, [[-1, -1, 5, -1], [-1, -1, -1, -1]])
    x = random(2, 4, 2)
    (found,) = layers(lambda b: b.add_tile("t", "a", "y", [1, 2, 6]), x)
    same(found, onnx("Tile", x, np.array([1, 2, 6])))
    (found,) = layers(lambda b: b.add_tile("t", "a", "y", [6]), x)
    same(found, onnx("Tile", x, np.array([1, 1, 6])))
    (found,) = layers(lambda b: b.add_broadcast_to_static("b", "a", "y", [3, 2]), counted(2))
    same(found, [[1, 2]] * 3)
    (found,) = layers(lambda b: b.add_broadcast_to_like("b", ["a", "b"], "y"), counted(2), x[0])
    assert found.shape == (4, 2)


def test_constants_and_shapes_as_tensors() -> None:
    x, stored = random(2, 3), random(1, 4, 2, seed=1)
    (found,) = layers(lambda b: b.add_load_constant_nd("l", "y", stored, stored.shape), x)
    same(found, stored)
    (found,) = layers(lambda b: b.add_load_constant("l", "y", stored, [1, 4, 2]), x)
    same(found, stored.reshape(1, 1, 1, 4, 2))
    (found,) = layers(lambda b: b.add_fill_static("f", "y", [2, 2], 3.5), x)
    same(found, np.full((2, 2), 3.5))
    (found,) = layers(lambda b: b.add_fill_like("f", "a", "y", 2.0), x)
    same(found, np.full((2, 3), 2))
    (found,) = layers(lambda b: b.add_get_shape("s", "a", "y"), x)
    same(found, [2, 3])
    (found,) = layers(
        lambda b: b.add_reshape_dynamic("r", ["a", "b"], "y"), x, np.array([3, 2], np.float32)
    )
    same(found, x.reshape(3, 2))
    (found,) = layers(lambda b: b.add_reshape_like("r", ["a", "b"], "y"), x, counted(6))
    same(found, x.ravel())


# Reductions and orders


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        *(("sum", "ReduceSum"), ("mean", "ReduceMean"), ("max", "ReduceMax"), ("min", "ReduceMin")),
        *(("prod", "ReduceProd"), ("l1", "ReduceL1"), ("l2", "ReduceL2")),
        *(("sumsquare", "ReduceSumSquare"), ("logsum", "ReduceLogSum")),
        ("logsumexp", "ReduceLogSumExp"),
    ],
)
@pytest.mark.parametrize("axes", [[1], [-1, 0], None])
def test_reductions(name: str, operator: str, axes: list[int] | None) -> None:
    x = np.abs(random(2, 3, 4)) + 0.1
    for keep in (True, False):
        (found,) = layers(
            lambda b, keep=keep: getattr(b, f"add_reduce_{name}")(
                "r", "a", "y", axes, keep, reduce_all=axes is None
            ),
            x,
        )
        given = {"axes": axes} if axes else {}
        expected = onnx(operator, x, opset=11, keepdims=int(keep), **given)
        same(found, np.atleast_1d(expected), 5e-6)


def test_the_old_reductions() -> None:
    x = np.abs(random(2, 3, 4)) + 0.1
    for mode, expected in (
        ("sum", x.sum((-2, -1))),
        ("avg", x.mean((-2, -1))),
        ("logsum", np.log(x + np.float32(1e-6)).sum((-2, -1))),
        ("max", x.max((-2, -1))),
    ):
        (found,) = layers(lambda b, mode=mode: b.add_reduce("r", "a", "y", "HW", mode), x)
        same(found, expected.reshape(2, 1, 1))
    (found,) = layers(lambda b: b.add_reduce("r", "a", "y", "C", "argmax"), counted(3, 1, 1))
    same(found, [[[2]]])


def test_indices_of_extremes() -> None:
    x = random(2, 3, 4)
    for name, operator in (("argmax", "ArgMax"), ("argmin", "ArgMin")):
        for keep in (True, False):
            (found,) = layers(
                lambda b, add=f"add_{name}", keep=keep: getattr(b, add)("i", "a", "y", -2, keep), x
            )
            same(found, onnx(operator, x, axis=1, keepdims=int(keep)))
    (found,) = layers(lambda b: b.add_argmax("i", "a", "y", 0, False), counted(5))
    same(found, [4])


def test_orders() -> None:
    x = np.array([[3.0, 5, 32, 5], [3, 77, 6, 1]], np.float32)
    values, places = layers(lambda b: b.add_topk("t", ["a"], ["y", "z"], 2, -1), x, outputs=2)
    same(values, [[32, 5], [77, 6]])
    same(places, [[2, 1], [1, 2]])
    values, places = layers(
        lambda b: b.add_topk("t", ["a"], ["y", "z"], 1, 1, use_bottom_k=True), x, outputs=2
    )
    same(values, [[3], [1]])
    (found,) = layers(lambda b: b.add_argsort("s", "a", "y", 1, descending=True), x)
    same(found, [[2, 1, 3, 0], [1, 2, 0, 3]])
    with pytest.raises(ExportError, match=r"takes the first 5"):
        layers(lambda b: b.add_topk("t", ["a"], ["y", "z"], 5, -1), x, outputs=2)


@pytest.mark.parametrize(
    ("exclusive", "backwards", "expected"),
    [
        (False, False, [4, 10, 17]),
        (True, False, [0, 4, 10]),
        (False, True, [17, 13, 7]),
        (True, True, [13, 7, 0]),
    ],
)
def test_running_sums(exclusive: bool, backwards: bool, expected: list[float]) -> None:
    x = np.array([4, 6, 7], np.float32)
    (found,) = layers(lambda b: b.add_cumsum("c", ["a"], "y", -1, backwards, exclusive), x)
    same(found, expected)
