"""ML Program operators with weights or windows, against ONNX Runtime on random shapes.

Each family also goes once through a saved file. Where MIL and ONNX differ, the expected numbers
are counted by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.export.coreml import available
from silverprint.export.coreml.execute.mil_operators import lookup
from support.mil import Array, assert_close, integers, onnx_run, random, run_programs

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

EXAMPLES = settings(deadline=None, max_examples=60, derandomize=True)


def compute(name: str, opset: int = 5, **arguments: Any) -> Any:
    operator = lookup(name, opset)
    assert operator is not None
    with np.errstate(all="ignore"):
        return operator.compute(**arguments)


def onnx_pads(pad: Array) -> list[int]:
    """MIL's [before, after, before, after] as ONNX's [before, before, after, after]."""
    return [int(one) for one in (*pad[::2], *pad[1::2])]


# Convolution


@st.composite
def convolutions(draw: st.DrawFn, transposed: bool = False) -> dict[str, Any]:
    axes = draw(st.integers(1, 3))
    one_each = st.lists(st.integers(1, 3), min_size=axes, max_size=axes)
    kernel, strides, dilations = draw(one_each), draw(one_each), draw(one_each)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inside, outside = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    reach = [(side - 1) * step + 1 for side, step in zip(kernel, dilations, strict=True)]
    if transposed:
        space = [draw(st.integers(2, 4)) for _ in kernel]
        pads = [draw(st.integers(0, (one - 1) // 2)) for one in reach for _ in (0, 1)]
        weight = (inside * groups, outside, *kernel)
    else:
        space = [draw(st.integers(max(1, one - 1), one + 4)) for one in reach]
        pads = [draw(st.integers(1, 3)) for _ in range(2 * axes)]
        weight = (outside * groups, inside, *kernel)
    return {
        "x": random(draw(st.integers(1, 2)), inside * groups, *space, seed=1),
        "weight": random(*weight, seed=2),
        "bias": draw(st.sampled_from([None, random(outside * groups, seed=3)])),
        "strides": integers(strides),
        "pad_type": "custom",
        "pad": integers(pads),
        "dilations": integers(dilations),
        "groups": np.int32(groups),
    }


def onnx_convolution(operator: str, one: dict[str, Any], **attributes: Any) -> Array:
    found: Array = onnx_run(
        operator,
        one["x"],
        one["weight"],
        one["bias"],
        strides=one["strides"].tolist(),
        dilations=one["dilations"].tolist(),
        group=int(one["groups"]),
        **attributes,
    )
    return found


@given(one=convolutions())
@EXAMPLES
def test_conv(one: dict[str, Any]) -> None:
    assert_close(compute("conv", **one), onnx_convolution("Conv", one, pads=onnx_pads(one["pad"])))


@given(one=convolutions(), pad_type=st.sampled_from(["valid", "same", "same_lower"]))
@EXAMPLES
def test_conv_pads_by_name(one: dict[str, Any], pad_type: str) -> None:
    names = {"valid": "VALID", "same": "SAME_UPPER", "same_lower": "SAME_LOWER"}
    if pad_type == "valid":
        wide = [(0, 0), (0, 0)] + [(4, 4)] * (one["x"].ndim - 2)
        one["x"] = np.pad(one["x"], wide)
    elif (one["dilations"] > 1).any():
        one["dilations"][:] = 1  # ONNX Runtime has no SAME with dilations
    expected = onnx_convolution("Conv", one, auto_pad=names[pad_type])
    assert_close(compute("conv", **{**one, "pad_type": pad_type, "pad": None}), expected)


@given(one=convolutions(transposed=True))
@EXAMPLES
def test_conv_transpose(one: dict[str, Any]) -> None:
    expected = onnx_convolution("ConvTranspose", one, pads=onnx_pads(one["pad"]))
    assert_close(compute("conv_transpose", **one), expected)


@given(one=convolutions(transposed=True), more=st.integers(0, 2))
@EXAMPLES
def test_conv_transpose_to_a_given_shape(one: dict[str, Any], more: int) -> None:
    """What PyTorch and ONNX call output padding: the result ends later."""
    one["strides"] += more
    expected = onnx_convolution(
        "ConvTranspose",
        one,
        pads=onnx_pads(one["pad"]),
        output_padding=[more] * (one["x"].ndim - 2),
    )
    found = compute("conv_transpose", **one, output_shape=integers(expected.shape))
    assert_close(found, expected)


def test_conv_transpose_same_multiplies_the_sides() -> None:
    """TensorFlow's SAME: sides times stride, the odd cut pixel at the end."""
    x, weight = random(1, 2, 3, 4), random(2, 3, 4, 3, seed=1)
    found = compute("conv_transpose", x=x, weight=weight, strides=integers([2, 2]), pad_type="same")
    assert found.shape == (1, 3, 6, 8)
    whole = onnx_run("ConvTranspose", x, weight, strides=[2, 2])
    assert_close(found, whole[:, :, 1:-1, :-1])


# Pools


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    axes = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 4)) for _ in range(axes)]
    pads = [draw(st.integers(0, side // 2)) for side in kernel]
    return {
        "x": random(2, 3, *(draw(st.integers(side, side + 6)) for side in kernel), seed=4),
        "kernel_sizes": integers(kernel),
        "strides": integers([draw(st.integers(1, side)) for side in kernel]),
        "pad_type": "custom",
        "pad": integers([one for one in pads for _ in (0, 1)]),
        "ceil_mode": np.bool_(draw(st.booleans())),
    }


def onnx_pool(operator: str, one: dict[str, Any], **attributes: Any) -> Array:
    found: Array = onnx_run(
        operator,
        one["x"],
        kernel_shape=one["kernel_sizes"].tolist(),
        strides=one["strides"].tolist(),
        pads=onnx_pads(one["pad"]),
        ceil_mode=int(one["ceil_mode"]),
        **attributes,
    )
    return found


@given(one=pools())
@EXAMPLES
def test_max_pool(one: dict[str, Any]) -> None:
    assert_close(compute("max_pool", **one), onnx_pool("MaxPool", one))


@given(one=pools(), exclude=st.booleans())
@EXAMPLES
def test_avg_pool(one: dict[str, Any], exclude: bool) -> None:
    """With ceil_mode and counted padding MIL and ONNX differ: see the next test."""
    if not exclude:
        one["ceil_mode"] = np.bool_(False)
    found = compute("avg_pool", **one, exclude_padding_from_average=np.bool_(exclude))
    assert_close(found, onnx_pool("AveragePool", one, count_include_pad=int(not exclude)))


def test_avg_pool_divides_windows_that_hang_over_like_all_others() -> None:
    """Core ML's rule (coremltools issue 2772): [1, 2, 3] in windows of 2 with ceil_mode.

    The last window holds 3 and nothing: 3 / 2, where PyTorch and ONNX say 3 / 1.
    """
    one: dict[str, Any] = {
        "x": np.float32([[[1, 2, 3]]]),
        "kernel_sizes": integers([2]),
        "strides": integers([2]),
        "pad_type": "valid",
        "ceil_mode": np.bool_(True),
    }
    assert compute("avg_pool", **one).tolist() == [[[1.5, 1.5]]]
    excluded = compute("avg_pool", **one, exclude_padding_from_average=np.bool_(True))
    assert excluded.tolist() == [[[1.5, 3]]]
    assert onnx_pool("AveragePool", {**one, "pad": integers([0, 0])}).tolist() == [[[1.5, 3]]]


def test_a_ceil_mode_window_never_begins_in_the_padding_after_the_end() -> None:
    """MIL: the last place goes if it begins at size + pad; [1, 2, 3] with pads 1, stride 4."""
    one: dict[str, Any] = {
        "x": np.float32([[[1, 2, 3]]]),
        "kernel_sizes": integers([2]),
        "strides": integers([4]),
        "pad_type": "custom",
        "pad": integers([1, 1]),
        "ceil_mode": np.bool_(True),
    }
    assert compute("max_pool", **one).tolist() == [[[1]]]


def test_a_ceil_mode_window_with_nothing_in_it_is_not_defined() -> None:
    """MIL counts that window where there is no padding; nobody says what it holds."""
    with pytest.raises(ValueError, match="MIL does not define a window of ceil_mode"):
        compute(
            "max_pool",
            x=np.float32([[[1, 2]]]),
            kernel_sizes=integers([1]),
            strides=integers([2]),
            pad_type="valid",
            ceil_mode=np.bool_(True),
        )


@pytest.mark.parametrize(
    ("pad_type", "expected"),
    [("same", [1, 3, 4.5]), ("same_lower", [0.5, 2, 4]), ("valid", [1, 3])],
)
def test_pools_pad_by_name(pad_type: str, expected: list[float]) -> None:
    """[0..5] in windows of 3 with stride 2: one more pixel after, or before."""
    found = compute(
        "avg_pool",
        x=np.arange(6, dtype=np.float32).reshape(1, 1, 6),
        kernel_sizes=integers([3]),
        strides=integers([2]),
        pad_type=pad_type,
        exclude_padding_from_average=np.bool_(True),
    )
    assert found.tolist() == [[expected]]


# Normalisations


@given(
    shape=st.sampled_from([(2, 3, 4), (1, 4, 3, 5), (2, 2, 3, 2, 2)]),
    scaled=st.booleans(),
    epsilon=st.sampled_from([1e-5, 1e-3, 0.1]),
)
@EXAMPLES
def test_batch_and_instance_norm(shape: tuple[int, ...], scaled: bool, epsilon: float) -> None:
    x, channels = random(*shape), shape[1]
    mean, variance = random(channels, seed=1), random(channels, seed=2, low=0.1, high=4)
    gamma = random(channels, seed=3) if scaled else np.ones(channels, np.float32)
    beta = random(channels, seed=4) if scaled else np.zeros(channels, np.float32)
    given_scale = {"gamma": gamma, "beta": beta} if scaled else {}
    found = compute(
        "batch_norm", x=x, mean=mean, variance=variance, epsilon=np.float32(epsilon), **given_scale
    )
    expected = onnx_run(
        "BatchNormalization", x, gamma, beta, mean, variance, epsilon=epsilon, opset=15
    )
    assert_close(found, expected)
    found = compute("instance_norm", x=x, epsilon=np.float32(epsilon), **given_scale)
    assert_close(found, onnx_run("InstanceNormalization", x, gamma, beta, epsilon=epsilon))


@given(first=st.integers(0, 3), epsilon=st.sampled_from([1e-6, 1e-5, 0.3]), beta=st.booleans())
@EXAMPLES
def test_layer_norm(first: int, epsilon: float, beta: bool) -> None:
    x = random(2, 3, 4, 5)
    gamma = random(*x.shape[first:], seed=1)
    offset = random(*x.shape[first:], seed=2) if beta else None
    expected = onnx_run("LayerNormalization", x, gamma, offset, axis=first, epsilon=epsilon)
    axes = [axis - 4 if axis == 3 else axis for axis in range(first, 4)]
    found = compute(
        "layer_norm",
        x=x,
        axes=integers(axes),
        gamma=gamma,
        beta=offset,
        epsilon=np.float32(epsilon),
    )
    assert_close(found, expected)
    if first == 0 and not beta:
        plain = onnx_run("LayerNormalization", x, np.ones_like(x), axis=0, epsilon=epsilon)
        assert_close(compute("layer_norm", x=x, epsilon=np.float32(epsilon)), plain)


def test_layer_norm_over_channels() -> None:
    """Any axes, not only the last ones: as over the last axis of the transposed tensor."""
    x, gamma = random(2, 3, 4, 5), random(3, seed=1)
    moved = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    expected = np.moveaxis(onnx_run("LayerNormalization", moved, gamma, axis=-1), -1, 1)
    assert_close(compute("layer_norm", x=x, axes=integers([1]), gamma=gamma), expected)
    with pytest.raises(ValueError, match="gamma or beta"):
        compute("layer_norm", x=x, axes=integers([1]), gamma=random(5))


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_norm(size: int) -> None:
    x = random(2, 6, 3, 3)
    expected = onnx_run("LRN", x, size=size, alpha=0.3, beta=0.6, bias=1.5)
    found = compute(
        "local_response_norm",
        x=x,
        size=np.int32(size),
        alpha=np.float32(0.3),
        beta=np.float32(0.6),
        k=np.float32(1.5),
    )
    assert_close(found, expected)


def test_neighbours_of_an_even_size_are_not_defined() -> None:
    with pytest.raises(ValueError, match="even size"):
        compute("local_response_norm", x=random(1, 4, 2, 2), size=np.int32(4))


def test_l2_norm_takes_the_last_three_axes() -> None:
    x = random(2, 3, 4, 5)
    squares = onnx_run("ReduceSumSquare", x, np.array([1, 2, 3]), keepdims=1)
    found = compute("l2_norm", x=x, epsilon=np.float32(0.5))
    assert_close(found, x / np.sqrt(squares + np.float32(0.5)))


# Matrix products


@given(
    left=st.sampled_from([(), (3,), (2, 1), (2, 3)]),
    right=st.sampled_from([(), (3,), (1, 3)]),
    transposed=st.tuples(st.booleans(), st.booleans()),
)
@EXAMPLES
def test_matmul(
    left: tuple[int, ...], right: tuple[int, ...], transposed: tuple[bool, bool]
) -> None:
    x, y = random(*left, 4, 5), random(*right, 5, 6, seed=1)
    expected = onnx_run("MatMul", x, y)
    given_x = np.swapaxes(x, -1, -2) if transposed[0] else x
    given_y = np.swapaxes(y, -1, -2) if transposed[1] else y
    flags = {name: np.bool_(one) for name, one in zip("xy", transposed, strict=True)}
    found = compute("matmul", x=given_x, y=given_y, transpose_x=flags["x"], transpose_y=flags["y"])
    assert_close(found, expected)


def test_linear() -> None:
    x, weight, bias = random(4, 6), random(3, 6, seed=1), random(3, seed=2)
    expected = onnx_run("Gemm", x, weight, bias, transB=1)
    assert_close(compute("linear", x=x, weight=weight, bias=bias), expected)
    assert_close(compute("linear", x=x, weight=weight), expected - bias)


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("nchw,nwhu->nchu", (2, 3, 4, 5), (2, 5, 4, 6)),
        ("abcd,adce->abce", (2, 3, 4, 5), (2, 5, 4, 6)),
        ("chw,whr->chr", (3, 4, 5), (5, 4, 6)),
    ],
)
def test_einsum(equation: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = random(*left), random(*right, seed=1)
    found = compute("einsum", values=(x, y), equation=equation)
    assert_close(found, onnx_run("Einsum", x, y, equation=equation))


def test_sides_of_one_stretch_in_einsum() -> None:
    x, y = random(2, 3, 1, 5), random(1, 5, 4, 6, seed=1)
    wide_x, wide_y = np.repeat(x, 4, 2), np.repeat(y, 2, 0)
    found = compute("einsum", values=(x, y), equation="nchw,nwhu->nchu")
    assert_close(found, onnx_run("Einsum", wide_x, wide_y, equation="nchw,nwhu->nchu"))


def test_other_equations_are_refused() -> None:
    with pytest.raises(ValueError, match="einsum of 'ij,jk->ik'"):
        compute("einsum", values=(random(2, 3), random(3, 4)), equation="ij,jk->ik")


@pytest.mark.parametrize("mask", ["none", "bool", "float"])
def test_attention(mask: str) -> None:
    """ONNX: Softmax(MatMul(Q, K^T) / sqrt(E) + mask) and MatMul with V."""
    query, key, value = random(2, 3, 4, 8), random(2, 3, 5, 8, seed=1), random(2, 3, 5, 6, seed=2)
    allowed = random(4, 5, seed=3) > -1
    added = {
        "none": np.zeros((4, 5), np.float32),
        "bool": np.where(allowed, np.float32(0), np.float32(-np.inf)),
        "float": random(4, 5, seed=4),
    }[mask]
    scores = onnx_run("MatMul", query, np.swapaxes(key, -1, -2)) / np.sqrt(np.float32(8))
    expected = onnx_run("MatMul", onnx_run("Softmax", scores + added, axis=-1), value)
    given_mask = {"none": None, "bool": allowed, "float": added}[mask]
    found = compute(
        "scaled_dot_product_attention", 8, query=query, key=key, value=value, attn_mask=given_mask
    )
    assert_close(found, expected)


@pytest.mark.parametrize(("lower", "upper"), [(-1, 0), (0, -1), (1, 2), (0, 0), (-1, -1), (2, -1)])
def test_band_part(lower: int, upper: int) -> None:
    x = random(2, 4, 5)
    expected = x
    if lower >= 0:
        expected = onnx_run("Trilu", expected, np.int64(-lower), upper=1)
    if upper >= 0:
        expected = onnx_run("Trilu", expected, np.int64(upper), upper=0)
    found = compute("band_part", x=x, lower=np.int32(lower), upper=np.int32(upper))
    np.testing.assert_array_equal(found, expected)


# Through a file


def test_layers_of_a_saved_program(tmp_path_factory: pytest.TempPathFactory) -> None:
    x, weight, bias = random(1, 4, 7, 6), random(6, 2, 3, 2, seed=1), random(6, seed=2)
    spread = random(4, 3, 2, 2, seed=3)
    gamma, row, other = random(6, seed=4), random(5, 6, seed=5), random(3, 6, seed=6)
    builds: dict[str, Any] = {
        "conv": lambda mb, x: mb.conv(
            x=x,
            weight=weight,
            bias=bias,
            strides=[2, 1],
            pad_type="custom",
            pad=[1, 0, 2, 1],
            groups=2,
        ),
        "conv_transpose": lambda mb, x: mb.conv_transpose(x=x, weight=spread, strides=[2, 2]),
        "max_pool": lambda mb, x: mb.max_pool(
            x=x, kernel_sizes=[3, 2], strides=[2, 2], pad_type="valid", ceil_mode=True
        ),
        "avg_pool": lambda mb, x: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], pad_type="same", exclude_padding_from_average=True
        ),
        "layer_norm": lambda mb, x: mb.layer_norm(x=x, axes=[-1], gamma=gamma, epsilon=1e-3),
        "linear": lambda mb, row: mb.linear(x=row, weight=other),
        "matmul": lambda mb, row: mb.matmul(x=row, y=other, transpose_y=True),
        "band_part": lambda mb, row: mb.band_part(x=row, lower=1, upper=0),
    }
    product = onnx_run("Gemm", row, other, transB=1)
    expected = {
        "conv": onnx_run("Conv", x, weight, bias, strides=[2, 1], pads=[1, 2, 0, 1], group=2),
        "conv_transpose": onnx_run("ConvTranspose", x, spread, strides=[2, 2]),
        "max_pool": onnx_run("MaxPool", x, kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
        "avg_pool": onnx_run("AveragePool", x, kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        "layer_norm": onnx_run("LayerNormalization", x, gamma, axis=-1, epsilon=1e-3),
        "linear": product,
        "matmul": product,
        "band_part": np.tril(row) - np.tril(row, -2),
    }
    found = run_programs(tmp_path_factory.mktemp("layers"), builds, {"x": x, "row": row})
    for name, value in expected.items():
        assert_close(found[name], value)
