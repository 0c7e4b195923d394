"""Executing a saved Core ML model from its file alone: inputs, outputs, what is refused.

The numbers of whole models are ONNX Runtime's for the graph that they were made from; files are
written by silverprint's exporter and by coremltools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.errors import ExportError, InvalidParameterError
from silverprint.export.coreml import (
    ExportOptions,
    adopt_backbone,
    available,
    write_backbone,
    write_classifier,
)
from silverprint.export.coreml.execute import execute, prepare
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.reader import SavedModel, main_block, read_model
from support import graphs
from support.mil import Array, save_program

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

LABELS = ["hund", "🐈 Katze", "Ärger"]
RULE = {"height": 8, "width": 6, "crop_and_scale": "center_crop", "version": 1}
PICTURE = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 6)).astype(np.float32)
MEAN, STD = (123.0, 110.0, 90.0), (60.0, 50.0, 40.0)


def classifier() -> onnx.ModelProto:
    """A softmax over the means of three channels, each of another mix of the colours."""
    from onnx import helper, numpy_helper

    kernel = np.random.default_rng(1).normal(size=(3, 3, 2, 2)).astype(np.float32) / 100
    body = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "kernel"], ["mixed"]),
            helper.make_node("GlobalAveragePool", ["mixed"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["targetProbability"], axis=1),
        ],
        "classifier",
        [helper.make_tensor_value_info("image", 1, ["n", 3, 8, 6])],
        [helper.make_tensor_value_info("targetProbability", 1, ["n", 3])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def stock(graph: onnx.ModelProto, picture: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": picture}), strict=True))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    path = tmp_path_factory.mktemp("written") / "Classifier.mlpackage"
    write_classifier(
        classifier(),
        path,
        labels=LABELS,
        picture_rule=RULE,
        metadata={},
        options=ExportOptions(precision="float32"),
    )
    return read_model(path)


def altered(saved: SavedModel, alter: Callable[[Any], None]) -> SavedModel:
    spec = type(saved.spec)()
    spec.CopyFrom(saved.spec)
    alter(spec)
    return replace(saved, spec=spec)


def operation(spec: Any, kind: str) -> Any:
    return next(one for one in main_block(spec).operations if one.type == kind)


# A classifier


def test_a_classifier_gives_its_label_and_every_probability(written: SavedModel) -> None:
    outputs = execute(written, {"image": PICTURE})
    expected = stock(classifier(), PICTURE)["targetProbability"][0]
    assert list(outputs) == ["target", "targetProbability"]
    assert outputs["target"] == LABELS[int(np.argmax(expected))]
    assert list(outputs["targetProbability"]) == LABELS
    found = list(outputs["targetProbability"].values())
    assert {type(one) for one in found} == {float}
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_levels_may_be_bytes(written: SavedModel) -> None:
    assert execute(written, {"image": PICTURE.astype(np.uint8)}) == execute(
        written, {"image": PICTURE}
    )


def test_a_prepared_model_runs_many_times(written: SavedModel) -> None:
    run = prepare(written)
    first = run({"image": PICTURE})
    assert run({"image": 255 - PICTURE}) != first
    assert run({"image": PICTURE}) == first == execute(written, {"image": PICTURE})


def test_a_file_that_takes_bgr_is_given_the_same_rgb_planes(written: SavedModel) -> None:
    """The executor hands them over in the order that the file asks for."""

    def ask_for_bgr(spec: Any) -> None:
        spec.description.input[0].type.imageType.colorSpace = 30

    outputs = execute(altered(written, ask_for_bgr), {"image": PICTURE[:, ::-1]})
    assert outputs == execute(written, {"image": PICTURE})


def test_weights_of_another_width_need_ios_17(tmp_path: Path) -> None:
    """Operators of iOS 15 take float16 weights for float16 inputs alone."""
    x, weight = np.float32([[1, 2]]), np.float16([[3, 0.1]])
    saved = save_program(
        tmp_path / "linear.mlpackage",
        lambda mb, x: mb.linear(x=x, weight=weight, bias=np.float16([0])),
        {"x": x},
        target="iOS17",
    )
    (found,) = execute(saved, {"x": x}).values()
    assert found.tolist() == (x @ weight.T.astype(np.float32)).tolist()

    def become_old(spec: Any) -> None:
        main, block = spec.mlProgram.functions["main"], main_block(spec)
        main.block_specializations["CoreML5"].CopyFrom(block)
        del main.block_specializations[main.opset]
        main.opset = "CoreML5"

    with pytest.raises(ExportError, match=r"linear '.*' mixes float16 and float32"):
        execute(altered(saved, become_old), {"x": x})


def test_classes_may_be_numbers(tmp_path: Path) -> None:
    with quiet():
        import coremltools as ct
        from coremltools.converters.mil.mil import Builder

        @Builder.program(input_specs=[Builder.TensorSpec((1, 4))], opset_version=ct.target.iOS15)
        def program(x: Any) -> Any:
            return Builder.softmax(x=x)

        config = ct.ClassifierConfig([10, 20, 30, 40])
        model = ct.convert(program, classifier_config=config, skip_model_load=True)
        model.save(str(tmp_path / "numbers.mlpackage"))
    outputs = execute(read_model(tmp_path / "numbers.mlpackage"), {"x": np.float32([[0, 1, 5, 2]])})
    assert outputs["classLabel"] == 30
    assert list(outputs["classLabel_probs"]) == [10, 20, 30, 40]


# Watching and rounding


def test_watch_sees_what_each_operation_computes(written: SavedModel) -> None:
    seen: dict[str, Array] = {}
    execute(written, {"image": PICTURE}, watch=seen.__setitem__)
    computed = [
        one.outputs[0].name
        for one in main_block(written.spec).operations
        if one.type not in ("const", "classify")
    ]
    assert list(seen) == computed
    assert {value.dtype for value in seen.values()} == {np.dtype(np.float32)}
    mixed = seen[operation(written.spec, "conv").outputs[0].name]
    assert mixed.shape == (1, 3, 7, 5)


def half(tmp_path: Path) -> SavedModel:
    """(x + 0.1) * 3 in float16, from and to float32."""

    def build(mb: Any, x: Any) -> Any:
        low = mb.cast(x=x, dtype="fp16")
        low = mb.mul(x=mb.add(x=low, y=np.float16(0.1)), y=np.float16(3))
        return mb.cast(x=low, dtype="fp32")

    return save_program(tmp_path / "half.mlpackage", build, {"x": np.float32([0])})


def test_rounding_follows_the_declared_types(tmp_path: Path) -> None:
    saved, x = half(tmp_path), np.float32([1.2345])
    (exact,) = execute(saved, {"x": x}).values()
    assert exact.tolist() == [(x[0] + np.float32(np.float16(0.1))) * np.float32(3)]
    (rounded,) = execute(saved, {"x": x}, rounding="float16").values()
    low = x.astype(np.float16)
    assert rounded.dtype == np.float32
    assert rounded.tolist() == ((low + np.float16(0.1)) * np.float16(3)).tolist()
    assert rounded != exact


def test_numbers_beyond_float16_are_seen_and_overflow_when_rounded(tmp_path: Path) -> None:
    saved, largest = half(tmp_path), []
    (exact,) = execute(
        saved,
        {"x": np.float32([30_000])},
        watch=lambda _, value: largest.append(float(np.abs(value).max())),
    ).values()
    assert max(largest) > 65504
    assert np.isfinite(exact).all()
    (rounded,) = execute(saved, {"x": np.float32([30_000])}, rounding="float16").values()
    assert np.isinf(rounded).all()


def test_another_rounding_is_refused(written: SavedModel) -> None:
    with pytest.raises(InvalidParameterError, match="expected none or float16"):
        execute(written, {"image": PICTURE}, rounding="bfloat16")  # type: ignore[arg-type]


# What is refused


def test_inputs_must_be_those_of_the_description(written: SavedModel) -> None:
    with pytest.raises(ExportError, match="needs the input 'image'; given: none"):
        execute(written, {})
    with pytest.raises(ExportError, match=r"no input 'images'; did you mean 'image'\?"):
        execute(written, {"image": PICTURE, "images": PICTURE})
    with pytest.raises(ExportError, match=r"'image' must be \[1, 3, 8, 6\], not \[1, 3, 6, 8\]"):
        execute(written, {"image": PICTURE.swapaxes(2, 3)})


def test_integers_must_be_integers(tmp_path: Path) -> None:
    saved = save_program(
        tmp_path / "add.mlpackage",
        lambda mb, x: mb.add(x=x, y=np.int32(1)),
        {"x": np.int32([1, 2])},
    )
    (found,) = execute(saved, {"x": np.array([3, 4])}).values()
    assert found.dtype == np.int32
    assert found.tolist() == [4, 5]
    with pytest.raises(ExportError, match="'x' is declared as int32 and is float32"):
        execute(saved, {"x": np.float32([0.5, 1])})


def test_shapes_are_those_of_the_description(tmp_path: Path) -> None:
    """Of an ML Program coremltools describes inputs and outputs apart from what computes them."""
    x = np.float32([[1, 2, 3]])
    saved = save_program(tmp_path / "relu.mlpackage", lambda mb, x: mb.relu(x=x), {"x": x})

    def describe_input(spec: Any) -> None:
        spec.description.input[0].type.multiArrayType.shape[:] = [3, 1]

    def describe_output(spec: Any) -> None:
        spec.description.output[0].type.multiArrayType.shape[:] = [3]

    for spoil, message in (
        (describe_input, r"'x' is declared as \[3, 1\] and is \[1, 3\]"),
        (describe_output, r"is declared as \[3\] and is \[1, 3\]"),
    ):
        with pytest.raises(ExportError, match=message):
            execute(altered(saved, spoil), {"x": x})


def test_one_error_names_all_unknown_operators(written: SavedModel) -> None:
    def rename(spec: Any) -> None:
        operation(spec, "conv").type = "convolve"
        operation(spec, "softmax").type = "sharpmax"

    with pytest.raises(ExportError) as raised:
        execute(altered(written, rename), {"image": PICTURE})
    convolved = operation(written.spec, "conv").outputs[0].name
    sharpened = operation(written.spec, "softmax").outputs[0].name
    assert f"  convolve: {convolved!r}\n  sharpmax: {sharpened!r}" in str(raised.value)


def swap_sides(spec: Any) -> None:
    sides = operation(spec, "conv").outputs[0].type.tensorType.dimensions
    sides[2].constant.size, sides[3].constant.size = 5, 7


def declare_half(spec: Any) -> None:
    operation(spec, "conv").outputs[0].type.tensorType.dataType = 10


def declare_integers(spec: Any) -> None:
    for one in (operation(spec, "softmax"), operation(spec, "conv")):
        one.outputs[0].type.tensorType.dataType = 23


def lose_weight(spec: Any) -> None:
    del operation(spec, "conv").inputs["weight"]


def add_parameter(spec: Any) -> None:
    conv = operation(spec, "conv")
    conv.inputs["sharpness"].CopyFrom(conv.inputs["weight"])


def give_two_weights(spec: Any) -> None:
    arguments = operation(spec, "conv").inputs["weight"].arguments
    arguments.add().CopyFrom(arguments[0])


def need_unknown(spec: Any) -> None:
    operation(spec, "conv").inputs["x"].arguments[0].name = "nowhere"


def need_itself(spec: Any) -> None:
    conv = operation(spec, "conv")
    conv.inputs["x"].arguments[0].name = conv.outputs[0].name


def name_twice(spec: Any) -> None:
    operation(spec, "softmax").outputs[0].name = operation(spec, "conv").outputs[0].name


def describe_other_output(spec: Any) -> None:
    spec.description.output[0].name = "label"


def describe_no_input(spec: Any) -> None:
    del spec.description.input[:]


def describe_other_input(spec: Any) -> None:
    spec.description.input[0].name = "picture"


def give_unknown(spec: Any) -> None:
    main_block(spec).outputs[0] = spec.description.output[0].name = "label"


def describe_a_tensor(spec: Any) -> None:
    spec.description.output[0].type.multiArrayType.shape.append(3)


def use_grey(spec: Any) -> None:
    spec.description.input[0].type.imageType.colorSpace = 10


def swap_picture(spec: Any) -> None:
    image = spec.description.input[0].type.imageType
    image.height, image.width = image.width, image.height


def move_weight(spec: Any) -> None:
    for one in main_block(spec).operations:
        if one.type == "const" and one.attributes["val"].HasField("blobFileValue"):
            one.attributes["val"].blobFileValue.offset += 64


def lose_label(spec: Any) -> None:
    listed = operation(spec, "classify").inputs["classes"].arguments[0].value
    del listed.immediateValue.list.values[-1]


def declare_another_constant(spec: Any) -> None:
    operation(spec, "const").outputs[0].type.tensorType.dataType = 24


def take_other_operators(spec: Any) -> None:
    main = spec.mlProgram.functions["main"]
    main.block_specializations["Swift5"].CopyFrom(main.block_specializations[main.opset])
    del main.block_specializations[main.opset]
    main.opset = "Swift5"


def lose_output(spec: Any) -> None:
    del operation(spec, "classify").outputs[1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (swap_sides, r"conv '.*' is declared as \[1, 3, 5, 7\] and is \[1, 3, 7, 5\]"),
        (declare_half, "conv '.*' mixes float16 and float32"),
        (declare_integers, "conv '.*' is declared as int32 and is float32"),
        (lose_weight, "conv '.*' lacks weight"),
        (add_parameter, "conv '.*' has the unknown .*sharpness"),
        (give_two_weights, "conv '.*' has 2 values for weight"),
        (need_unknown, "conv '.*' needs 'nowhere', which is computed by nothing"),
        (need_itself, "conv '.*' needs '.*', which is computed by nothing"),
        (name_twice, "two values of the program are called"),
        (describe_other_output, r"names the outputs \['label'\], which the program does not have"),
        (describe_no_input, r"the program needs \['image'\], not all are described"),
        (describe_other_input, r"names the inputs \['picture'\]"),
        (give_unknown, "the output 'label' of the program is computed by nothing"),
        (describe_a_tensor, "'target' is described as multiArrayType and is str"),
        (use_grey, "neither RGB nor BGR"),
        (swap_picture, r"must be \[1, 3, 6, 8\]"),
        (move_weight, "no weight of a known type"),
        (lose_label, "classify '.*': .*3 probabilities for 2 labels"),
        (declare_another_constant, "a value of another type than declared"),
        (take_other_operators, "the unknown operator set 'Swift5'"),
        (lose_output, "the output 'targetProbability' of the program is computed by nothing"),
    ],
)
def test_files_that_contradict_themselves(
    written: SavedModel, spoil: Callable[[Any], None], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        execute(altered(written, spoil), {"image": PICTURE})


def messages(message: Any) -> Iterator[Any]:
    """The protobuf message and every one inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = (
                value.values() if field.message_type.fields_by_name["value"].message_type else ()
            )
        else:
            inner = value if hasattr(value, "add") else [value]
        for one in inner:
            if hasattr(one, "ListFields"):
                yield from messages(one)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(data=st.data())
def test_a_damaged_program_is_an_export_error_or_harmless(
    written: SavedModel, data: st.DataObject
) -> None:
    """One message anywhere in the program loses a field."""

    def damage(spec: Any) -> None:
        found = list(messages(spec.mlProgram))
        one = found[data.draw(st.integers(0, len(found) - 1))]
        fields = [field.name for field, _ in one.ListFields()]
        if fields:
            one.ClearField(data.draw(st.sampled_from(fields)))

    with suppress(ExportError):
        execute(altered(written, damage), {"image": PICTURE})


def test_other_kinds_of_models_are_refused(written: SavedModel) -> None:
    def become_a_tree(spec: Any) -> None:
        spec.treeEnsembleClassifier.SetInParent()

    with pytest.raises(ExportError, match="of the kind treeEnsembleClassifier cannot be executed"):
        execute(altered(written, become_a_tree), {"image": PICTURE})


# Whole models


def relative(found: Array, expected: Array) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", ["silverprint_preview", "mobilenetv2_float"])
def test_backbones_give_what_onnx_runtime_gives(
    tmp_path: Path, shared_data: Path, name: str, precision: Any
) -> None:
    """Features and maps alike; in float16 the tolerances are those measured for MobileNetV2."""
    adopted = adopt_backbone(shared_data / "weights" / f"{name}.onnx", size=(224, 224))
    rule = {**RULE, "height": 224, "width": 224}
    path = tmp_path / "Backbone.mlpackage"
    write_backbone(
        adopted.graph, path, picture_rule=rule, metadata={}, options=ExportOptions(precision)
    )
    picture = np.random.default_rng(1).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    expected = stock(adopted.graph, picture)
    assert len(expected) >= 4
    saved = read_model(path)
    for rounding in ("none", "float16"):
        found = execute(saved, {"image": picture}, rounding=rounding)
        assert found.keys() == expected.keys()
        worst = max(relative(found[key], value) for key, value in expected.items())
        assert worst <= (2e-5 if precision == "float32" else 2e-2)
        assert precision == "float32" or worst > 2e-5


def test_a_small_backbone_with_normalisation(tmp_path: Path) -> None:
    source = graphs.saved(graphs.backbone(shape=("N", 3, 8, 6)), tmp_path / "backbone.onnx")
    adopted = adopt_backbone(source, mean=MEAN, std=STD)
    path = tmp_path / "Backbone.mlpackage"
    write_backbone(
        adopted.graph, path, picture_rule=RULE, metadata={}, options=ExportOptions("float32")
    )
    found = execute(read_model(path), {"image": PICTURE})
    (expected,) = stock(adopted.graph, PICTURE).values()
    assert relative(found["flat"], expected) <= 2e-6
