"""Operators that silverprint translates itself, and those it refuses, in both formats.

Expected numbers come from ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from silverprint.errors import ExportError
from silverprint.export.coreml import ExportOptions, available, write_backbone
from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.graph.prepare import prepare
from silverprint.export.coreml.proof import Expected, prove
from silverprint.export.coreml.reader import main_block, read_model

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
both_formats = pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])

HEIGHT, WIDTH = 7, 8
RULE = {"height": HEIGHT, "width": WIDTH, "crop_and_scale": "scale_fill", "version": 1}
PICTURE = np.random.default_rng(4).integers(0, 256, (1, 3, HEIGHT, WIDTH)).astype(np.float32)


def graph(nodes: Sequence[onnx.NodeProto], opset: int = 18, **constants: Any) -> onnx.ModelProto:
    """`nodes` between ``x`` (the picture scaled to -1..1) and the output ``y``."""
    stored = {"half": np.float32(127.5), **constants}
    first = [
        helper.make_node("Sub", ["image", "half"], ["centred"]),
        helper.make_node("Div", ["centred", "half"], ["x"]),
    ]
    body = helper.make_graph(
        [*first, *nodes],
        "operators",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(operator: str, *inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    name = f"{operator} {output}"
    return helper.make_node(operator, inputs or ["x"], [output], name, **attributes)


def run(folder: Path, suffix: str, model: onnx.ModelProto) -> None:
    """Write `model`, prove and execute the file, and hold it against ONNX Runtime."""
    path = folder / f"P{suffix}"
    options = ExportOptions(precision="float32")
    expected = Expected(RULE, outputs=("y",), options=options)
    write_backbone(
        model,
        path,
        picture_rule=RULE,
        metadata={},
        options=options,
        prove=lambda file: prove(file, model, [PICTURE], expected=expected),
    )
    answer = execute(read_model(path), {"image": PICTURE})["y"]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (expected,) = session.run(None, {"image": PICTURE})
    assert answer.shape == expected.shape
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-5)


OPERATORS = {
    "LRN": [node("LRN", size=3, alpha=0.5, beta=0.7, bias=2.0)],
    "LRN with defaults": [node("LRN", size=5)],
    "Mish": [node("Mish")],
    "Selu": [node("Selu")],
    "Selu of other numbers": [node("Selu", alpha=1.2, gamma=0.8)],
    "Sum": [node("Relu", output="r"), node("Sum", "x", "r", "x")],
    "Sum of one": [node("Relu", output="r"), node("Sum", "r")],
    "Mean": [node("Relu", output="r"), node("Mean", "x", "r", "x")],
    "Max of one": [node("Max")],
    "Min of one": [node("Relu", output="r"), node("Min", "r")],
    "Mean of one": [node("Mean")],
    "Max": [node("Relu", output="r"), node("Max", "x", "r", "x")],
    "Reciprocal": [node("Exp", output="e"), node("Reciprocal", "e")],
    "TopK": [helper.make_node("TopK", ["x", "four"], ["y", "places"], "TopK y", axis=2)],
    "TopK, the smallest": [
        helper.make_node("TopK", ["x", "four"], ["y", "places"], "TopK y", largest=0)
    ],
    "MatMul with a vector": [node("MatMul", "x", "row")],
    "MatMul of a vector": [node("MatMul", "column", "x")],
    "one channel": [node("Gather", "x", "one", axis=1)],
    "the last row": [node("Gather", "x", "last", axis=-2)],
    "some columns": [node("Gather", "x", "some", axis=3)],
    "Einsum, attention": [
        node("Relu", output="r"),
        node("Einsum", "x", "r", equation="bchw,bcgw->bchg"),
    ],
    "Einsum, turned": [node("Einsum", "x", "matrix", equation="b c h w , w k -> k h b c")],
    "Einsum, implicit": [node("Einsum", "x", "matrix", equation="bchw,wk")],
    "Einsum, of one": [node("Einsum", "x", equation="bchw->wc")],
    "Einsum, sides of 1 that stretch": [node("Einsum", "x", "thin", equation="bchw,bcwk->bchk")],
    "Einsum, a summed side of 1": [node("Einsum", "x", "low", equation="bchw,bckw->bk")],
    "Einsum, outer": [node("Einsum", "x", "vector", equation="bchw,k->bchwk")],
}


@both_formats
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_that_onnx2coreml_lacks_or_bends(
    tmp_path: Path, suffix: str, name: str
) -> None:
    rng = np.random.default_rng(5)
    constants = {
        "one": np.int64(1),
        "last": np.int64(-1),
        "some": np.array([3, -1, 0], np.int64),
        "matrix": rng.normal(size=(WIDTH, 5)).astype(np.float32),
        "vector": rng.normal(size=2).astype(np.float32),
        "row": rng.normal(size=WIDTH).astype(np.float32),
        "column": rng.normal(size=HEIGHT).astype(np.float32),
        "thin": rng.normal(size=(1, 1, WIDTH, 4)).astype(np.float32),
        "low": rng.normal(size=(1, 3, 4, 1)).astype(np.float32),
        "four": np.array([4], np.int64),
    }
    run(tmp_path, suffix, graph(OPERATORS[name], **constants))


def test_a_reciprocal_keeps_its_bits_in_float16(tmp_path: Path) -> None:
    """MIL's own ``inverse`` adds 1e-4 to what it divides by."""
    model = graph([node("Exp", output="e"), node("Reciprocal", "e")])
    path = tmp_path / "P.mlpackage"
    write_backbone(model, path, picture_rule=RULE, metadata={}, options=ExportOptions())
    proof = prove(path, model, [PICTURE], expected=Expected(RULE, outputs=("y",)))
    assert proof.unproven == ()
    assert "inverse" not in {step.type for step in main_block(read_model(path).spec).operations}


@pytest.mark.parametrize(
    "equation", ["bchw,bchw->b...", "bchw,bchh->bw", "bchw,bchw,bchw->bc", "bchw->", "bchw,bchw->"]
)
def test_other_sums_are_refused(tmp_path: Path, equation: str) -> None:
    inputs = ["x"] * (equation.count(",") + 1)
    with pytest.raises(ExportError, match=r"Einsum, node .* cannot be translated.*Einsum '"):
        run(tmp_path, ".mlpackage", graph([node("Einsum", *inputs, equation=equation)]))


def test_a_product_of_two_vectors_is_refused(tmp_path: Path) -> None:
    mean = node("ReduceMean", "x", "axes", output="row", keepdims=0)
    model = graph([mean, node("MatMul", "row", "row")], axes=np.array([0, 1, 2], np.int64))
    with pytest.raises(ExportError, match=r"MatMul, node 'MatMul y', .*a product of two vectors"):
        run(tmp_path, ".mlpackage", model)


def test_indices_are_stored_as_positive_numbers(tmp_path: Path) -> None:
    """From iOS 17 on they are unsigned."""
    model = graph([node("Gather", "x", "some", axis=3)], some=np.array([-1, 2], np.int64))
    path = tmp_path / "P.mlpackage"
    options = ExportOptions(target="iOS17")
    write_backbone(model, path, picture_rule=RULE, metadata={}, options=options)
    (answer,) = execute(read_model(path), {"image": PICTURE}).values()
    np.testing.assert_allclose(answer, PICTURE[..., [-1, 2]] / 127.5 - 1, atol=1e-3)
    assert not any(
        number < 0
        for step in main_block(read_model(path).spec).operations
        if step.type == "const" and "some" in step.outputs[0].name
        for number in step.attributes["val"].immediateValue.tensor.ints.values
    )


POOLS = st.fixed_dictionaries(
    {
        "operator": st.sampled_from(["AveragePool", "MaxPool"]),
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 3),
        "pad": st.integers(0, 1),
        "ceil_mode": st.integers(0, 1),
        "count_include_pad": st.integers(0, 1),
    }
)


@both_formats
@settings(deadline=None, max_examples=30)
@given(pool=POOLS)
def test_pooling_counts_what_onnx_counts(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, pool: dict[str, Any]
) -> None:
    """Also where the last window hangs over the edge."""
    kernel, operator = pool["kernel"], pool["operator"]
    stride, pad = min(pool["stride"], kernel), min(pool["pad"], kernel // 2)
    attributes: dict[str, Any] = {
        "kernel_shape": [kernel, kernel],
        "strides": [stride, stride],
        "pads": [pad] * 4,
        "ceil_mode": pool["ceil_mode"],
    }
    if operator == "AveragePool":
        attributes["count_include_pad"] = pool["count_include_pad"]
    run(tmp_path_factory.mktemp("pool"), suffix, graph([node(operator, **attributes)], opset=19))


def test_windows_with_gaps_need_no_rounding_up_or_are_refused(tmp_path: Path) -> None:
    """Seven rows, eight columns: at stride 2 a ninth column would be needed for one more window."""
    pool = node("MaxPool", kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1)
    run(tmp_path, ".mlpackage", graph([pool]))
    pool = node("MaxPool", kernel_shape=[2, 2], strides=[2, 3], ceil_mode=1)
    with pytest.raises(ExportError, match="ceil_mode with a window smaller than its stride"):
        run(tmp_path, ".mlpackage", graph([pool]))


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("operator", ["AveragePool", "MaxPool"])
def test_padding_that_keeps_the_size(tmp_path: Path, operator: str, auto_pad: str) -> None:
    pool = node(operator, kernel_shape=[3, 2], strides=[2, 2], auto_pad=auto_pad)
    run(tmp_path, ".mlpackage", graph([pool]))


def test_a_pool_without_spare_columns_needs_no_rounding_up(tmp_path: Path) -> None:
    pool = node("MaxPool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)
    path = tmp_path / "P.mlpackage"
    write_backbone(graph([pool]), path, picture_rule=RULE, metadata={})
    steps = {step.type: step for step in main_block(read_model(path).spec).operations}
    name = steps["max_pool"].inputs["ceil_mode"].arguments[0].name
    (flag,) = [
        step.attributes["val"].immediateValue.tensor.bools.values[0]
        for step in main_block(read_model(path).spec).operations
        if step.outputs[0].name == name
    ]
    assert flag is False


# What would become something else


TRAPS = {
    "an even number of channels": node("LRN", size=2),
    "dilated windows": node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
    "negative padding": node("Pad", "x", "pads"),
    "axes other than the last ones": node("Pad", "x", "two", "", "axes"),
    "mode 'wrap'": node("Pad", "x", "four", mode="wrap"),
    "mode 'cubic'": node("Resize", "x", "", "scales", mode="cubic"),
    "antialias": node("Resize", "x", "", "scales", mode="linear", antialias=1),
    "coordinates 'half_pixel_symmetric'": node(
        "Resize",
        "x",
        "",
        "scales",
        mode="linear",
        coordinate_transformation_mode="half_pixel_symmetric",
    ),
    "nearest, 'half_pixel', 'floor'": node(
        "Resize", "x", "", "scales", mode="nearest", nearest_mode="floor"
    ),
    "another size than height and width": node("Resize", "x", "", "channels", mode="linear"),
    "scales that give a part of a pixel": node("Resize", "x", "", "parts", mode="linear"),
    "a side of one pixel": node(
        "Resize",
        "x",
        "",
        "sevenths",
        mode="linear",
        coordinate_transformation_mode="pytorch_half_pixel",
    ),
    "fmod": node("Mod", "x", "half", fmod=1),
    "training_mode": node("Dropout", "x", "ratio", "true"),
}
KEEPING = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare")


@pytest.mark.parametrize("reason", TRAPS)
def test_what_would_be_translated_wrongly_is_refused(tmp_path: Path, reason: str) -> None:
    model = graph(
        [TRAPS[reason]],
        opset=19,
        pads=np.array([0, 0, -1, 0, 0, 0, 0, 0], np.int64),
        two=np.array([1, 1], np.int64),
        four=np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        axes=np.array([1], np.int64),
        scales=np.array([1, 1, 2, 2], np.float32),
        channels=np.array([1, 2, 1, 1], np.float32),
        parts=np.array([1, 1, 2, 1.7], np.float32),
        sevenths=np.array([1, 1, 1 / 7, 1], np.float32),
        ratio=np.float32(0.5),
        true=np.bool_(True),
    )
    with pytest.raises(ExportError, match=f"{TRAPS[reason].op_type}, .*: {reason}"):
        run(tmp_path, ".mlpackage", model)


@pytest.mark.parametrize("operator", KEEPING)
def test_no_axes_are_refused_where_each_number_is_changed(tmp_path: Path, operator: str) -> None:
    """ONNX Runtime takes the absolute value, the square or the logarithm of each number."""
    for inputs in (["x"], ["x", "none"]):
        reduced = node(operator, *inputs, noop_with_empty_axes=1)
        with pytest.raises(ExportError, match=rf"{operator}, {operator} y: noop_with_empty_axes"):
            run(tmp_path, ".mlpackage", graph([reduced], none=np.zeros(0, np.int64)))
    if operator != "ReduceLogSum":
        along = node(operator, "x", "one", noop_with_empty_axes=1)
        run(tmp_path, ".mlpackage", graph([along], one=np.array([1], np.int64)))


@both_formats
def test_dropout_out_of_training_is_nothing(tmp_path: Path, suffix: str) -> None:
    dropout = node("Dropout", "x", "ratio", "false")
    run(tmp_path, suffix, graph([dropout], ratio=np.float32(0.5), false=np.bool_(False)))


def test_no_layer_of_a_neural_network_repeats_a_part_of_a_pixel(tmp_path: Path) -> None:
    resize = node(
        "Resize",
        "x",
        "",
        "scales",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    model = graph([resize], scales=np.array([1, 1, 2, 0.5], np.float32))
    run(tmp_path, ".mlpackage", model)
    with pytest.raises(ExportError, match="do not exist in a NeuralNetwork:\n  upsample_nearest"):
        run(tmp_path, ".mlmodel", model)


def test_all_such_nodes_are_listed_at_once(tmp_path: Path) -> None:
    model = graph(
        [
            helper.make_node("MaxPool", ["x"], ["a"], "a", kernel_shape=[2, 2], dilations=[2, 2]),
            helper.make_node("Resize", ["a", "", "scales"], ["y"], "b", mode="cubic"),
        ],
        scales=np.array([1, 1, 2, 2], np.float32),
    )
    with pytest.raises(
        ExportError, match=r"MaxPool, a: dilated windows\n  Resize, b: mode 'cubic'"
    ):
        run(tmp_path, ".mlpackage", model)


@both_formats
@pytest.mark.parametrize(
    "attributes",
    [
        {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
        {"mode": "nearest"},
        {"mode": "linear"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
    ],
)
def test_resizing_that_core_ml_knows(
    tmp_path: Path, suffix: str, attributes: dict[str, Any]
) -> None:
    scales = np.array([1, 1, 2, 3], np.float32)
    run(tmp_path, suffix, graph([node("Resize", "x", "", "scales", **attributes)], scales=scales))


@both_formats
def test_six_axes_are_refused_unless_they_are_only_moved(tmp_path: Path, suffix: str) -> None:
    six, back = np.array([1, 3, 7, 1, 2, 4], np.int64), np.array([1, 3, 7, 8], np.int64)
    split = node("Reshape", "x", "six", output="split")
    moved = node("Transpose", "split", output="moved", perm=[0, 1, 3, 5, 4, 2])
    joined = node("Reshape", "moved", "back")
    run(tmp_path, suffix, graph([split, moved, joined], six=six, back=back))
    rectified = node("Relu", "split", output="moved")
    with pytest.raises(ExportError, match="rank <= 5"):
        run(tmp_path, suffix, graph([split, rectified, joined], six=six, back=back))


# What is known beforehand


def prepared(model: onnx.ModelProto) -> list[str]:
    ready = prepare(model, HEIGHT, WIDTH, {"y": "y"})
    return [one.op_type for one in ready.graph.node]


def test_sizes_and_what_follows_from_them_are_constants() -> None:
    """The chain that an exporter writes for ``x.flatten(1)`` of a free batch size."""
    model = graph(
        [
            node("Shape", output="sizes", start=0, end=1),
            node("Concat", "sizes", "rest", output="shape", axis=0),
            node("Reshape", "x", "shape", output="flat"),
            node("Shape", "flat", output="flat_sizes"),
            node("Gather", "flat_sizes", "one", output="count", axis=0),
            node("Cast", "count", output="divisor", to=TensorProto.FLOAT),
            node("Div", "flat", "divisor"),
        ],
        rest=np.array([-1], np.int64),
        one=np.int64(1),
    )
    assert prepared(model) == ["Sub", "Div", "Reshape", "Div"]
    ready = prepare(model, HEIGHT, WIDTH, {"y": "y"})
    weights = {one.name: numpy_helper.to_array(one) for one in ready.graph.initializer}
    assert weights["divisor"] == 3 * HEIGHT * WIDTH
    assert weights["shape"].tolist() == [1, -1]


def test_random_numbers_are_no_constants() -> None:
    model = graph([node("RandomNormal", output="r", shape=[1]), node("Add", "x", "r")])
    model.graph.node[2].ClearField("input")
    assert "RandomNormal" in prepared(model)


def test_older_operators_mean_what_they_meant(tmp_path: Path) -> None:
    """Before opset 13 ``Softmax`` is over all axes from the second on."""
    model = graph([node("Softmax")], opset=11)
    run(tmp_path, ".mlpackage", model)


def test_older_operators_that_cannot_be_brought_up_are_refused_where_it_matters() -> None:
    unknown = node("Whirl", output="whirled")
    model = graph([unknown, node("Softmax", "whirled")], opset=11)
    with pytest.raises(ExportError, match=r"version 11, where Softmax meant something else"):
        prepared(model)
    model = graph([unknown, node("Relu", "whirled")], opset=11)
    assert prepared(model) == ["Sub", "Div", "Whirl", "Relu"]


def test_an_output_must_depend_on_the_picture() -> None:
    model = graph([node("Relu", "half")])
    with pytest.raises(ExportError, match="the output 'y' does not depend on the picture"):
        prepared(model)


def with_output(operator: str, kind: int, **attributes: Any) -> onnx.ModelProto:
    model = graph([node(operator, **attributes)])
    model.graph.output[0].type.tensor_type.elem_type = kind
    return model


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    ("operator", "attributes", "kind"),
    [
        ("ArgMax", {"axis": 1}, "INT64"),
        ("IsNaN", {}, "BOOL"),
        ("Cast", {"to": TensorProto.FLOAT16}, "FLOAT16"),
        ("Cast", {"to": TensorProto.DOUBLE}, "DOUBLE"),
        ("Whirl", {}, "INT32"),
    ],
)
def test_an_output_of_other_numbers_is_refused_beforehand(
    operator: str, attributes: dict[str, Any], kind: str, declared: bool
) -> None:
    """As the graph declares it, or as it follows from the operators where it does not."""
    number = TensorProto.DataType.Value(kind) if declared else TensorProto.UNDEFINED
    model = with_output(operator, number, **attributes)
    if operator == "Whirl" and not declared:
        assert prepared(model)[-1] == "Whirl"
        return
    message = rf"the output 'y' is {kind.lower()}, and .* float32: leave it out \(outputs="
    with pytest.raises(ExportError, match=message):
        prepared(model)


def test_an_output_whose_size_follows_from_the_picture_is_refused(tmp_path: Path) -> None:
    places = node("NonZero", output="places")
    model = graph([places, node("Cast", "places", to=TensorProto.FLOAT)])
    with pytest.raises(ExportError, match="the output 'y' has a size that follows from the pic"):
        run(tmp_path, ".mlpackage", model)


@both_formats
def test_an_output_without_axes_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ExportError, match="the output 'y' is a single number without axes"):
        run(tmp_path, suffix, graph([node("ReduceMean", keepdims=0)]))
    run(tmp_path, suffix, graph([node("ReduceMean")]))
