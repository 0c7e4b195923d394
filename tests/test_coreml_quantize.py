"""Weights as 8-bit integers: the bits, and what they cost.

The expected integers are computed here by the rule that the module states.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from silverprint.export.coreml import ExportOptions, available, write_classifier
from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.reader import main_block, read_model
from silverprint.export.coreml.translate.quantize import quantize
from support.coreml_graphs import (
    METADATA,
    RULE,
    compose,
    constant,
    initialiser,
    insert,
    wide_backbone,
)

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))

PICTURE = np.random.default_rng(9).integers(0, 256, (1, 3, 32, 24)).astype(np.float32)
LABELS = [str(number) for number in range(30)]


def expected(weight: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """One output channel after the other, in double precision."""
    integers, scales = [], []
    for channel in weight:
        largest = np.abs(channel.astype(np.float64)).max()
        scale = (largest / 127).astype(weight.dtype)
        if largest == 0:
            scale = weight.dtype.type(1)
        elif scale == 0:
            scale = np.finfo(weight.dtype).smallest_subnormal
        integers.append(np.clip(np.rint(channel.astype(np.float64) / float(scale)), -127, 127))
        scales.append(scale)
    return np.array(integers, np.int8), np.array(scales, weight.dtype)


def saved(path: Path, graph: onnx.ModelProto, **options: Any) -> Any:
    write_classifier(
        graph,
        path,
        labels=LABELS,
        picture_rule=RULE,
        metadata=METADATA,
        options=ExportOptions(**options),
    )
    return read_model(path)


@settings(deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float16]),
        st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3)),
        elements=st.floats(-1000, 1000, width=16)
        | st.sampled_from([0.0, 2.0**-24, -(2.0**-23), 127.0]),
    ),
    st.integers(0, 2),
)
def test_each_channel_is_scaled_by_its_largest_number(
    weight: np.ndarray[Any, Any], axis: int
) -> None:
    q, scale = quantize(weight, axis)
    integers, scales = expected(np.moveaxis(weight, axis, 0))
    assert (q.dtype, q.shape, scale.dtype) == (np.int8, weight.shape, weight.dtype)
    np.testing.assert_array_equal(np.moveaxis(q, axis, 0), integers)
    np.testing.assert_array_equal(scale, scales)


def test_half_way_goes_to_the_even_integer() -> None:
    q, scale = quantize(np.array([[127.0, 0.5, 1.5, -2.5, 0.0]], np.float32), 0)
    assert (q.tolist(), scale.tolist()) == ([[127, 0, 2, -2, 0]], [1.0])


@needs_coreml
@pytest.mark.parametrize("target", ["iOS16", "iOS17", "iOS18", "iOS26"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_package_holds_integers_and_scales(tmp_path: Path, target: Any, precision: Any) -> None:
    """``constexpr_affine_dequantize`` up to iOS 17, then ``constexpr_blockwise_shift_scale``."""
    graph = compose(wide_backbone(), classes=30)
    package = saved(tmp_path / "P.mlpackage", graph, weights=8, target=target, precision=precision)
    found = {
        step.outputs[0].name: step
        for step in main_block(package.spec).operations
        if step.type.startswith("constexpr_")
    }
    kind = "affine_dequantize" if target in ("iOS16", "iOS17") else "blockwise_shift_scale"
    assert [step.type for step in found.values()] == [f"constexpr_{kind}"] * 2
    for source in ("wide", "head_weight"):
        weight = initialiser(graph, source).astype(precision)
        ((name, step),) = [(name, step) for name, step in found.items() if source in name]
        blob = raw_blobs(package, step)
        integers, scales = expected(weight)
        key = "quantized_data" if target in ("iOS16", "iOS17") else "data"
        assert blob[key] == integers.tobytes(), name
        assert blob["scale"] == scales.tobytes(), name


def raw_blobs(package: Any, step: Any) -> dict[str, bytes]:
    """What lies in weight.bin for `step`, by the layout of StorageFormat.hpp."""
    values = dict(step.attributes.items())
    values |= {key: one.arguments[0].value for key, one in step.inputs.items()}
    found = {}
    for key, value in values.items():
        if value.HasField("blobFileValue"):
            place = value.blobFileValue.offset
            size = int.from_bytes(package.weights[place + 8 : place + 16], "little")
            start = int.from_bytes(package.weights[place + 16 : place + 24], "little")
            found[key] = package.weights[start : start + size]
    return found


@needs_coreml
def test_a_mlmodel_holds_bytes_scales_and_biases(tmp_path: Path) -> None:
    graph = compose(wide_backbone(), classes=30)
    layers = saved(tmp_path / "P.mlmodel", graph, weights=8).spec.neuralNetworkClassifier.layers
    (convolution,) = [one.convolution for one in layers if one.convolution.outputChannels == 96]
    head = layers[-2].innerProduct
    for params, source in ((convolution.weights, "wide"), (head.weights, "head_weight")):
        integers, scales = expected(initialiser(graph, source))
        stored = np.frombuffer(params.rawValue, np.uint8).astype(int) - 128
        np.testing.assert_array_equal(stored, integers.ravel())
        linear = params.quantization.linearQuantization
        assert params.quantization.numberOfBits == 8
        assert list(linear.scale) == scales.tolist()
        assert list(linear.bias) == (-128 * scales).tolist()
        assert not params.floatValue
    assert len(convolution.bias.floatValue) == 96


@needs_coreml
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_the_answer_stays_near(tmp_path: Path, suffix: str) -> None:
    graph = compose(wide_backbone(), classes=30, head_scale=0.01)
    model = saved(tmp_path / f"P{suffix}", graph, weights=8, precision="float32")
    answer = list(execute(model, {"image": PICTURE})["targetProbability"].values())
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (probabilities,) = session.run(["targetProbability"], {"image": PICTURE})
    np.testing.assert_allclose(answer, probabilities[0], atol=5e-3)
    assert np.abs(np.array(answer) - probabilities[0]).max() > 1e-6, "these are other weights"


@needs_coreml
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_a_head_with_large_numbers_keeps_them(tmp_path: Path, suffix: str) -> None:
    graph = compose(wide_backbone(), classes=30, head_scale=2e3)
    model = saved(tmp_path / f"P{suffix}", graph, weights=8)
    if suffix == ".mlmodel":
        head = model.spec.neuralNetworkClassifier.layers[-2].innerProduct
        assert head.weights.floatValue
    else:
        names = [step.outputs[0].name for step in main_block(model.spec).operations]
        assert any("wide" in name and "quantized" in name for name in names)
        assert not any("head" in name and "quantized" in name for name in names)


@needs_coreml
@pytest.mark.parametrize("turned", [False, True])
def test_a_matrix_of_a_product_has_a_scale_for_each_output(tmp_path: Path, turned: bool) -> None:
    """Without bias it stays a ``matmul`` with the weight on the right, [in, out] or [out, in]."""
    graph = compose(wide_backbone(), classes=30)
    matrix = np.random.default_rng(2).normal(size=(96, 96)).astype(np.float32) * 0.1
    graph.graph.initializer.append(constant("matrix", matrix))
    operator, attributes = ("Gemm", {"transB": 1}) if turned else ("MatMul", {})
    insert(graph, "features", operator, "matrix", name="product", **attributes)
    package = saved(tmp_path / "P.mlpackage", graph, weights=8, precision="float32")
    steps = {one.outputs[0].name: one for one in main_block(package.spec).operations}
    assert steps["product_out"].type == "matmul"
    blob = raw_blobs(package, steps["matrix_quantized"])
    integers, scales = expected(matrix if turned else matrix.T)
    stored = np.frombuffer(blob["quantized_data"], np.int8).reshape(96, 96)
    np.testing.assert_array_equal(stored if turned else stored.T, integers)
    assert blob["scale"] == scales.tobytes()


@needs_coreml
def test_small_weights_stay_as_they_are(tmp_path: Path) -> None:
    package = saved(tmp_path / "P.mlpackage", compose(wide_backbone(), classes=30), weights=8)
    kinds = [step.type for step in main_block(package.spec).operations]
    assert kinds.count("conv") == 2
    assert kinds.count("constexpr_affine_dequantize") == 2, "of one conv and of the head"
