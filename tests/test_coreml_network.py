"""The executor of NeuralNetwork files, layer by layer: convolutions, pools, matrices, norms.

Expected values come from ONNX Runtime, or are the formulas of NeuralNetwork.proto worked out by
hand; the layers are written by coremltools' NeuralNetworkBuilder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from silverprint.errors import ExportError
from silverprint.export.coreml.library import available
from support.coreml_layers import Array, layers, onnx, random, same

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

# Convolutions

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strides": {"strides": [2, 3]},
    "asymmetric pads": {"pads": [0, 2, 1, 3]},
    "dilations": {"dilations": [2, 1], "pads": [1, 1, 1, 1]},
    "groups": {"group": 2},
    "depthwise": {"group": 4, "pads": [1, 1, 1, 1]},
    "same, heavy at the end": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "same, heavy at the start": {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
}


def convolution(builder: Any, weights: Array, bias: Array | None, onnx: dict[str, Any]) -> None:
    """`weights` and the attributes are ONNX's."""
    top, left, bottom, right = onnx.get("pads", [0, 0, 0, 0])
    mode = onnx.get("auto_pad", "NOTSET")
    builder.add_convolution(
        name="conv",
        kernel_channels=weights.shape[1],
        output_channels=weights.shape[0],
        height=weights.shape[2],
        width=weights.shape[3],
        stride_height=onnx.get("strides", [1, 1])[0],
        stride_width=onnx.get("strides", [1, 1])[1],
        border_mode="valid" if mode == "NOTSET" else "same",
        same_padding_asymmetry_mode=(
            "TOP_LEFT_HEAVY" if mode == "SAME_LOWER" else "BOTTOM_RIGHT_HEAVY"
        ),
        groups=onnx.get("group", 1),
        W=weights.transpose(2, 3, 1, 0),
        b=bias,
        has_bias=bias is not None,
        input_name="a",
        output_name="y",
        dilation_factors=onnx.get("dilations", [1, 1]),
        padding_top=top,
        padding_bottom=bottom,
        padding_left=left,
        padding_right=right,
    )


@pytest.mark.parametrize("attributes", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
@pytest.mark.parametrize("biased", [True, False])
def test_convolution(attributes: dict[str, Any], biased: bool) -> None:
    x = random(2, 4, 9, 8)
    weights = random(8, 4 // attributes.get("group", 1), 3, 2, seed=1)
    bias = random(8, seed=2) if biased else None
    (found,) = layers(lambda b: convolution(b, weights, bias, attributes), x)
    operands = [x, weights] + ([bias] if bias is not None else [])
    same(found, onnx("Conv", *operands, **attributes))


def test_a_dilated_kernel_is_padded_by_what_it_reaches() -> None:
    """ONNX Runtime has no such mode: 9 pixels and a reach of 5 need 4, 8 and 3 need 2."""
    x, weights = random(1, 4, 9, 8), random(8, 4, 3, 2, seed=1)
    given = {"auto_pad": "SAME_UPPER", "dilations": [2, 2]}
    (found,) = layers(lambda b: convolution(b, weights, None, given), x)
    same(found, onnx("Conv", x, weights, dilations=[2, 2], pads=[2, 1, 2, 1]))


def test_convolution_takes_its_weights_from_a_second_input() -> None:
    x, weights = random(1, 4, 6, 6), random(5, 4, 3, 3, seed=1)

    def build(builder: Any) -> None:
        convolution(builder, weights, None, {})
        layer = builder.spec.neuralNetwork.layers[0]
        layer.convolution.weights.Clear()
        layer.input.append("b")

    (found,) = layers(build, x, weights)
    same(found, onnx("Conv", x, weights))


def test_leading_axes_of_a_convolution_are_a_batch() -> None:
    x, weights = random(2, 3, 4, 6, 6), random(5, 4, 3, 3, seed=1)
    (found,) = layers(lambda b: convolution(b, weights, None, {}), x)
    expected = onnx("Conv", x.reshape(6, 4, 6, 6), weights)
    same(found, expected.reshape(2, 3, 5, 4, 4))


def deconvolution(builder: Any, weights: Array, onnx: dict[str, Any], **changed: Any) -> None:
    top, left, bottom, right = onnx.get("pads", [0, 0, 0, 0])
    given = {
        "name": "deconv",
        "kernel_channels": weights.shape[0],
        "output_channels": weights.shape[1] * onnx.get("group", 1),
        "height": weights.shape[2],
        "width": weights.shape[3],
        "stride_height": onnx.get("strides", [1, 1])[0],
        "stride_width": onnx.get("strides", [1, 1])[1],
        "border_mode": "valid" if "auto_pad" not in onnx else "same",
        "groups": onnx.get("group", 1),
        "W": weights.transpose(2, 3, 0, 1),
        "b": None,
        "has_bias": False,
        "is_deconv": True,
        "input_name": "a",
        "output_name": "y",
        "padding_top": top,
        "padding_bottom": bottom,
        "padding_left": left,
        "padding_right": right,
    }
    builder.add_convolution(**{**given, **changed})


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 3]},
        {"strides": [2, 2], "pads": [1, 0, 2, 1]},
        {"strides": [2, 2], "group": 2},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ],
)
def test_deconvolution(attributes: dict[str, Any]) -> None:
    x, weights = random(2, 4, 5, 6), random(4, 3, 3, 4, seed=1)
    (found,) = layers(lambda b: deconvolution(b, weights, attributes), x)
    same(found, onnx("ConvTranspose", x, weights, **attributes))


def test_a_stride_beyond_the_kernel_leaves_zeros_at_the_end() -> None:
    """Height: 5 pixels and a stride of 4 give 20, of which a kernel of 3 reaches 19."""
    x, weights = random(1, 4, 5, 6), random(4, 3, 3, 4, seed=1)
    given = {"strides": [4, 4], "auto_pad": "SAME_UPPER"}
    (found,) = layers(lambda b: deconvolution(b, weights, given), x)
    reached = onnx("ConvTranspose", x, weights, strides=[4, 4])
    same(found, np.pad(reached, [(0, 0), (0, 0), (0, 1), (0, 0)]))


def test_a_deconvolution_whose_sizes_disagree_is_refused() -> None:
    x, weights = random(1, 4, 5, 6), random(4, 3, 3, 4, seed=1)
    (found,) = layers(lambda b: deconvolution(b, weights, {}, output_shape=[7, 9]), x)
    same(found, onnx("ConvTranspose", x, weights))
    with pytest.raises(ExportError, match=r"'deconv' \(convolution\).*\[8, 9\].*\[7, 9\]"):
        layers(lambda b: deconvolution(b, weights, {}, output_shape=[8, 9]), x)


# Pools


def pooling(builder: Any, kind: str, kernel: Sequence[int], **given: Any) -> None:
    builder.add_pooling(
        name="pool",
        height=kernel[0],
        width=kernel[1],
        layer_type=kind,
        input_name="a",
        output_name="y",
        **{"stride_height": 1, "stride_width": 1, "padding_type": "VALID", **given},
    )


PADS = {"padding_top": 1, "padding_left": 0, "padding_bottom": 1, "padding_right": 2}


@pytest.mark.parametrize("kind", ["MAX", "AVERAGE", "L2"])
@pytest.mark.parametrize(
    ("given", "attributes"),
    [
        ({}, {}),
        ({"stride_height": 2, "stride_width": 3}, {"strides": [2, 3]}),
        (PADS, {"pads": [1, 0, 1, 2]}),
        (
            {"padding_type": "SAME", "stride_height": 2},
            {"auto_pad": "SAME_UPPER", "strides": [2, 1]},
        ),
    ],
)
def test_pools(kind: str, given: dict[str, Any], attributes: dict[str, Any]) -> None:
    x = random(2, 3, 8, 9)
    operator = {"MAX": "MaxPool", "AVERAGE": "AveragePool", "L2": "LpPool"}[kind]
    if kind == "AVERAGE":
        given = {**given, "exclude_pad_area": True}
    (found,) = layers(lambda b: pooling(b, kind, (3, 3), **given), x)
    same(found, onnx(operator, x, kernel_shape=[3, 3], **attributes))


def test_an_average_counts_the_padding_unless_it_is_excluded() -> None:
    x = random(1, 2, 5, 5)
    given = {**PADS, "exclude_pad_area": False}
    (found,) = layers(lambda b: pooling(b, "AVERAGE", (3, 3), **given), x)
    expected = onnx("AveragePool", x, kernel_shape=[3, 3], pads=[1, 0, 1, 2], count_include_pad=1)
    same(found, expected)


@pytest.mark.parametrize("size", range(5, 12))
@pytest.mark.parametrize("pad", [0, 1])
def test_the_last_pixel_is_included_as_with_ceil_mode(size: int, pad: int) -> None:
    x = random(1, 2, size, size)
    given = {"padding_type": "INCLUDE_LAST_PIXEL", "stride_height": 3, "stride_width": 2}
    given |= {"padding_top": pad, "padding_left": pad, "padding_bottom": pad, "padding_right": pad}
    (found,) = layers(lambda b: pooling(b, "MAX", (3, 3), **given), x)
    expected = onnx("MaxPool", x, kernel_shape=[3, 3], strides=[3, 2], pads=[pad] * 4, ceil_mode=1)
    same(found, expected)


def test_a_window_beyond_the_end_is_divided_by_the_whole_kernel() -> None:
    """coremltools issue 2772: PyTorch divides by what lies inside, Core ML by the kernel."""
    x = np.ones((1, 1, 1, 4), np.float32)
    given = {"padding_type": "INCLUDE_LAST_PIXEL", "stride_width": 3, "exclude_pad_area": False}
    (found,) = layers(lambda b: pooling(b, "AVERAGE", (1, 3), **given), x)
    same(found, [[[[1, 1 / 3]]]])
    excluded = {**given, "exclude_pad_area": True}
    (found,) = layers(lambda b: pooling(b, "AVERAGE", (1, 3), **excluded), x)
    same(found, [[[[1, 1]]]])


def test_global_pools() -> None:
    x = random(2, 3, 5, 7)
    for kind, operator in (("MAX", "GlobalMaxPool"), ("AVERAGE", "GlobalAveragePool")):
        (found,) = layers(lambda b, kind=kind: pooling(b, kind, (0, 0), is_global=True), x)
        same(found, onnx(operator, x))


# Matrices


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6), (4, 2, 1, 3), (2, 4, 3, 2, 1)])
def test_inner_product_folds_the_last_three_axes_from_rank_4_on(shape: tuple[int, ...]) -> None:
    x, weights, bias = random(*shape), random(5, 6, seed=1), random(5, seed=2)

    def build(builder: Any) -> None:
        builder.add_inner_product("fc", weights, bias, 6, 5, True, "a", "y")

    (found,) = layers(build, x)
    flat = onnx("Gemm", x.reshape(-1, 6), weights, bias, transB=1)
    lead, tail = (shape[:-1], (5,)) if len(shape) < 4 else (shape[:-3], (5, 1, 1))
    same(found, flat.reshape(*lead, *tail))


@pytest.mark.parametrize(
    ("a", "b", "transposed"),
    [
        ((3, 4), (4, 5), ""),
        ((2, 3, 4), (2, 4, 5), ""),
        ((2, 1, 3, 4), (6, 4, 5), ""),
        ((2, 4, 3), (2, 5, 4), "ab"),
    ],
)
def test_batched_matmul_of_two_inputs(
    a: tuple[int, ...], b: tuple[int, ...], transposed: str
) -> None:
    x, y = random(*a), random(*b, seed=1)
    (found,) = layers(
        lambda builder: builder.add_batched_mat_mul(
            "mm", ["a", "b"], "y", transpose_a="a" in transposed, transpose_b="b" in transposed
        ),
        x,
        y,
    )
    first, second = (v.swapaxes(-1, -2) if transposed else v for v in (x, y))
    same(found, onnx("MatMul", np.ascontiguousarray(first), np.ascontiguousarray(second)))


def test_batched_matmul_with_a_matrix_of_its_own() -> None:
    x, weights, bias = random(2, 3, 4), random(4, 5, seed=1), random(5, seed=2)
    (found,) = layers(
        lambda b: b.add_batched_mat_mul(
            "mm",
            ["a"],
            "y",
            weight_matrix_rows=4,
            weight_matrix_columns=5,
            W=weights,
            bias=bias,
        ),
        x,
    )
    same(found, onnx("MatMul", x, weights) + bias)


def test_a_vector_becomes_a_matrix_of_one_row_or_column() -> None:
    x, y = random(4), random(4, seed=1)
    (found,) = layers(lambda b: b.add_batched_mat_mul("mm", ["a", "b"], "y"), x, y)
    same(found, [[float(x @ y)]])


def test_embedding_and_dot_product() -> None:
    table, bias = random(7, 3), random(3, seed=1)
    rows = np.array([[0], [6], [2]], np.float32)
    (found,) = layers(lambda b: b.add_embedding_nd("e", "a", "y", 7, 3, table.T, b=bias), rows)
    same(found, table[[0, 6, 2]] + bias)
    x, y = random(2, 5, 1, 1), random(2, 5, 1, 1, seed=1)
    (found,) = layers(lambda b: b.add_elementwise("d", ["a", "b"], "y", mode="COS"), x, y)
    expected = [
        float(p @ q) / math.sqrt(float(p @ p) * float(q @ q))
        for p, q in zip(x.reshape(2, 5), y.reshape(2, 5), strict=True)
    ]
    same(found.ravel(), expected)


# Normalisation


def test_batchnorm() -> None:
    x = random(2, 3, 4, 5)
    gamma, beta, mean = (random(3, seed=at) for at in (1, 2, 3))
    variance = np.abs(random(3, seed=4)) + 0.1
    (found,) = layers(
        lambda b: b.add_batchnorm(
            "bn", 3, gamma, beta, mean, variance, input_name="a", output_name="y", epsilon=1e-3
        ),
        x,
    )
    same(found, onnx("BatchNormalization", x, gamma, beta, mean, variance, epsilon=1e-3))


def test_instance_norm() -> None:
    x, gamma, beta = random(2, 3, 4, 5), random(3, seed=1), random(3, seed=2)
    (found,) = layers(
        lambda b: b.add_batchnorm(
            "in",
            3,
            gamma,
            beta,
            input_name="a",
            output_name="y",
            compute_mean_var=True,
            instance_normalization=True,
            epsilon=1e-3,
        ),
        x,
    )
    same(found, onnx("InstanceNormalization", x, gamma, beta, epsilon=1e-3))


def test_layer_normalization() -> None:
    x, gamma, beta = random(2, 3, 4, 5), random(4, 5, seed=1), random(4, 5, seed=2)
    (found,) = layers(
        lambda b: b.add_layer_normalization("ln", "a", "y", [4, 5], gamma, beta, eps=1e-2), x
    )
    same(found, onnx("LayerNormalization", x, gamma, beta, axis=2, epsilon=1e-2))


@pytest.mark.parametrize("across", [False, True])
def test_mvn_adds_epsilon_to_the_variance(across: bool) -> None:
    x = random(2, 3, 4, 5)
    (found,) = layers(lambda b: b.add_mvn("mvn", "a", "y", across_channels=across, epsilon=0.5), x)
    axes = 1 if across else 2
    ones = np.ones(x.shape[axes:], np.float32)
    same(found, onnx("LayerNormalization", x, ones, axis=axes, epsilon=0.5))
    (found,) = layers(
        lambda b: b.add_mvn("m", "a", "y", across_channels=across, normalize_variance=False), x
    )
    same(found, x - x.mean(tuple(range(axes, 4)), keepdims=True))


@pytest.mark.parametrize("size", [3, 5])
def test_lrn(size: int) -> None:
    x = random(2, 6, 3, 3)
    (found,) = layers(
        lambda b: b.add_lrn("lrn", "a", "y", alpha=0.9, beta=0.6, local_size=size, k=2), x
    )
    same(found, onnx("LRN", x, alpha=0.9, beta=0.6, bias=2.0, size=size))


def test_l2_normalize_takes_channels_and_pixels_together() -> None:
    x = np.array([[[[3.0]], [[4.0]]], [[[0.0]], [[0.0]]]], np.float32)
    (found,) = layers(lambda b: b.add_l2_normalize("l2", "a", "y", epsilon=11), x)
    same(found.ravel(), [3 / 6, 4 / 6, 0, 0])


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 4, 5), (3, 4, 5)])
def test_scale_and_bias(shape: tuple[int, ...]) -> None:
    x, scale, bias = random(2, 3, 4, 5), random(*shape, seed=1), random(*shape, seed=2)
    by_axes = (3, 1, 1) if shape == (3,) else shape
    (found,) = layers(
        lambda b: b.add_scale("s", scale, bias, True, "a", "y", list(shape), list(shape)), x
    )
    same(found, x * scale.reshape(by_axes) + bias.reshape(by_axes))
    (found,) = layers(lambda b: b.add_bias("b", bias, "a", "y", list(shape)), x)
    same(found, x + bias.reshape(by_axes))


def test_softmax() -> None:
    x = random(2, 3, 4, 5) * 50
    (found,) = layers(lambda b: b.add_softmax("s", "a", "y"), x)
    same(found, onnx("Softmax", x, axis=1))
    for axis in (0, -1, 2):
        (found,) = layers(lambda b, axis=axis: b.add_softmax_nd("s", "a", "y", axis), x)
        same(found, onnx("Softmax", x, axis=axis))
