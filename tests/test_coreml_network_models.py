"""The executor of NeuralNetwork files on whole models, read back from ``.mlmodel`` files.

Expected values come from ONNX Runtime on the ONNX model that the file was converted from;
quantised weights are compared with what coremltools itself unpacks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import silverprint
from silverprint.errors import ExportError
from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.execute.network import run_network
from silverprint.export.coreml.library import available, quiet, require
from silverprint.export.coreml.reader import SavedModel, read_model
from support.coreml_layers import Array, random, to_network

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

LABELS = ["🐈 Katze", "hund", "a/b", "Ärger"]


class Graph:
    """An ONNX graph written line by line; every weight is random, none of them zero."""

    def __init__(self, *shape: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.shape = shape
        self.rng = np.random.default_rng(3)

    def weight(self, *shape: int, scale: float = 0.3) -> str:
        return self.constant(self.rng.normal(size=shape).astype(np.float32) * scale)

    def constant(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"v{len(self.nodes)}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, names[0], **attributes))
        return names if outputs > 1 else names[0]

    def norm(self, x: str, width: int) -> str:
        gamma, beta = self.weight(width), self.weight(width)
        found: str = self.add("LayerNormalization", x, gamma, beta, epsilon=1e-6)
        return found

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        product = self.add("MatMul", x, self.weight(inputs, outputs))
        found: str = self.add("Add", product, self.weight(outputs))
        return found

    def gelu(self, x: str) -> str:
        root = self.constant(np.float32(np.sqrt(2)))
        one, half = self.constant(np.float32(1)), self.constant(np.float32(0.5))
        shifted = self.add("Add", self.add("Erf", self.add("Div", x, root)), one)
        found: str = self.add("Mul", self.add("Mul", x, shifted), half)
        return found

    def reshape(self, x: str, *shape: int) -> str:
        found: str = self.add("Reshape", x, self.constant(np.array(shape, np.int64)))
        return found

    def model(self, **outputs: str) -> onnx.ModelProto:
        for name, value in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name], name))
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def classifier(height: int = 24, width: int = 16) -> onnx.ModelProto:
    """Two convolutions, squeeze and excitation, a pool, a head."""
    graph = Graph(1, 3, height, width)
    scale = graph.constant(np.float32(1 / 64))
    x = graph.add("Mul", "image", scale)
    x = graph.add("Conv", x, graph.weight(8, 3, 3, 3), graph.weight(8), strides=[2, 2])
    x = graph.add("HardSwish", graph.add("Relu", x))
    gate = graph.add("GlobalAveragePool", x)
    gate = graph.add("Conv", gate, graph.weight(8, 8, 1, 1), graph.weight(8))
    x = graph.add("Mul", x, graph.add("Sigmoid", gate))
    x = graph.add("Conv", x, graph.weight(8, 1, 3, 3), graph.weight(8), group=8, pads=[0, 0, 1, 1])
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    x = graph.add("Gemm", x, graph.weight(4, 8), graph.weight(4), transB=1)
    return graph.model(targetProbability=graph.add("Softmax", x, axis=1))


def transformer() -> onnx.ModelProto:
    """Patches, a class token, attention, a perceptron; the token and all tokens as outputs."""
    graph = Graph(1, 3, 32, 24)
    width, tokens, heads = 12, 12, 3
    x = graph.add("Conv", "image", graph.weight(width, 3, 8, 8, scale=0.05), strides=[8, 8])
    x = graph.add("Transpose", graph.reshape(x, 1, width, tokens), perm=[0, 2, 1])
    x = graph.add("Concat", graph.weight(1, 1, width), x, axis=1)
    x = graph.add("Add", x, graph.weight(1, tokens + 1, width))
    inner = graph.dense(graph.norm(x, width), width, 3 * width)
    inner = graph.reshape(inner, 1, tokens + 1, 3, heads, width // heads)
    inner = graph.add("Transpose", inner, perm=[2, 0, 3, 1, 4])
    parts = graph.add("Split", inner, graph.constant(np.array([1, 1, 1])), outputs=3, axis=0)
    query, key, value = (
        graph.add("Squeeze", part, graph.constant(np.array([0]))) for part in parts
    )
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
    scores = graph.add("Mul", scores, graph.constant(np.float32(0.5)))
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    mixed = graph.reshape(graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), 1, tokens + 1, width)
    x = graph.add("Add", x, graph.dense(mixed, width, width))
    inner = graph.gelu(graph.dense(graph.norm(x, width), width, 4 * width))
    x = graph.add("Add", x, graph.dense(inner, 4 * width, width))
    x = graph.norm(x, width)
    token = graph.add("Gather", x, graph.constant(np.array([0])), axis=1)
    return graph.model(features=graph.reshape(token, 1, width), tokens=x)


def windows() -> onnx.ModelProto:
    """Shifted windows as in Swin, and a ConvNeXt block behind a patch merge."""
    graph = Graph(1, 3, 8, 8)

    def sliced(x: str, start: int, end: int, axis: int, step: int = 1) -> str:
        places = [graph.constant(np.array([one])) for one in (start, end, axis, step)]
        found: str = graph.add("Slice", x, *places)
        return found

    x = graph.add("Transpose", "image", perm=[0, 2, 3, 1])
    for axis in (1, 2):
        x = graph.add("Concat", sliced(x, 2, 8, axis), sliced(x, 0, 2, axis), axis=axis)
    x = graph.add("Transpose", graph.reshape(x, 1, 2, 4, 2, 4, 3), perm=[0, 1, 3, 2, 4, 5])
    x = graph.norm(graph.reshape(x, 4, 16, 3), 3)
    mask = graph.weight(4, 16, 16)
    scores = graph.add("MatMul", x, graph.add("Transpose", x, perm=[0, 2, 1]))
    scores = graph.add("Add", scores, mask)
    x = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), x)
    x = graph.add("Transpose", graph.reshape(x, 1, 2, 2, 4, 4, 3), perm=[0, 1, 3, 2, 4, 5])
    x = graph.reshape(x, 1, 8, 8, 3)
    quarters = [
        sliced(sliced(x, row, 8, 1, 2), column, 8, 2, 2) for column in (0, 1) for row in (0, 1)
    ]
    x = graph.add("Concat", *quarters, axis=-1)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    depthwise = graph.weight(12, 1, 7, 7)
    inner = graph.add("Conv", x, depthwise, graph.weight(12), group=12, pads=[3] * 4)
    inner = graph.norm(graph.add("Transpose", inner, perm=[0, 2, 3, 1]), 12)
    inner = graph.gelu(graph.dense(inner, 12, 24))
    inner = graph.add("Mul", graph.dense(inner, 24, 12), graph.weight(12))
    x = graph.add("Add", x, graph.add("Transpose", inner, perm=[0, 3, 1, 2]))
    axes = {"axes": [2, 3], "keepdims": 0}
    return graph.model(features=graph.add("ReduceMean", x, **axes), map=x)


def reference(model: onnx.ModelProto, image: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": image}), strict=True))


def saved(spec: Any, folder: Path) -> SavedModel:
    """`spec` as it comes back from an ``.mlmodel`` file."""
    path = folder / "Model.mlmodel"
    path.write_bytes(spec.SerializeToString(deterministic=True))
    return read_model(path)


def relative(found: Array, expected: Array) -> float:
    assert found.size == expected.size
    return float(np.abs(found.ravel() - expected.ravel()).max() / np.abs(expected).max())


def levels(*shape: int) -> Array:
    return np.random.default_rng(7).integers(0, 256, shape).astype(np.float32)


@pytest.mark.parametrize("make", [transformer, windows])
def test_attention_windows_and_merges(make: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    model = make()
    image = random(*(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim))
    found = run_network(saved(to_network(model), tmp_path), {"image": image})
    for name, expected in reference(model, image).items():
        assert relative(found[name], expected) <= 2e-5, name


@pytest.mark.parametrize("layout", ["RGB", "BGR"])
def test_an_image_classifier(layout: str, tmp_path: Path) -> None:
    """Scale and biases of the file's own preprocessing stand before the graph."""
    ct = require()
    spec = to_network(
        classifier(),
        inputs=[
            ct.ImageType(
                "image",
                (1, 3, 24, 16),
                scale=0.5,
                bias=[1.0, 2.0, 3.0],
                color_layout=getattr(ct.colorlayout, layout),
            )
        ],
        classifier_config=ct.ClassifierConfig(LABELS, predicted_feature_name="target"),
    )
    image = levels(1, 3, 24, 16)
    seen = image if layout == "RGB" else image[:, ::-1]
    biases = np.array([1, 2, 3], np.float32).reshape(3, 1, 1)
    expected = reference(classifier(), seen * np.float32(0.5) + biases)["targetProbability"][0]

    found = run_network(saved(spec, tmp_path), {"image": image.astype(np.uint8)})
    assert list(found) == ["target", "targetProbability"]
    assert list(found["targetProbability"]) == LABELS
    np.testing.assert_allclose(list(found["targetProbability"].values()), expected, atol=1e-6)
    assert found["target"] == LABELS[int(expected.argmax())]


def test_every_value_on_the_way_can_be_watched(tmp_path: Path) -> None:
    spec, image, seen = to_network(classifier()), levels(1, 3, 24, 16), {}
    found = run_network(saved(spec, tmp_path), {"image": image}, watch=seen.__setitem__)
    assert list(seen) == [layer.output[0] for layer in spec.neuralNetwork.layers]
    np.testing.assert_array_equal(seen["targetProbability"], found["targetProbability"])


@pytest.mark.parametrize(
    ("bits", "mode"),
    [
        *((16, "linear"), (8, "linear"), (8, "linear_symmetric"), (8, "linear_lut")),
        *((4, "linear"), (3, "linear_lut"), (1, "linear")),
    ],
)
def test_quantised_weights_are_those_that_coremltools_unpacks(bits: int, mode: str) -> None:
    ct = require()
    image = levels(1, 3, 24, 16)
    with quiet(), redirect_stdout(StringIO()):
        from coremltools.models.neural_network import quantization_utils as quantization

        model = ct.models.MLModel(to_network(classifier()), skip_model_load=True)
        small = quantization.quantize_weights(model, bits, mode)
        spec = small if not hasattr(small, "get_spec") else small.get_spec()
        found = run_network(SavedModel(Path("q"), spec), {"image": image})
        weights = spec.neuralNetwork.layers[1].convolution.weights
        assert not weights.floatValue
        plain = type(spec).FromString(spec.SerializeToString())
        if bits == 16:
            for layer in plain.neuralNetwork.layers:
                params = getattr(layer, layer.WhichOneof("layer"))
                for stored in (getattr(params, field, None) for field in ("weights", "bias")):
                    if stored is not None:
                        half = np.frombuffer(stored.float16Value, "<f2")
                        stored.float16Value = b""
                        stored.floatValue.extend(half.astype(np.float32).tolist())
        else:
            quantization._dequantize_nn_spec(plain.neuralNetwork)
        expected = run_network(SavedModel(Path("p"), plain), {"image": image})
    full = run_network(SavedModel(Path("f"), model.get_spec()), {"image": image})
    name = "targetProbability"
    np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)
    assert np.abs(found[name] - full[name]).max() > 0


@pytest.mark.parametrize("name", ["mobilenetv2_float", "squeezenet11"])
def test_backbones_of_the_shared_data(name: str, shared_data: Path, tmp_path: Path) -> None:
    check_backbone(shared_data / "weights" / f"{name}.onnx", tmp_path)


def test_the_built_in_print(tmp_path: Path) -> None:
    folder = Path(silverprint.__file__).parent / "prints"
    check_backbone(folder / "scene_print_0.onnx", tmp_path)


def check_backbone(path: Path, folder: Path) -> None:
    model = onnx.load(path)
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for side, size in zip(sides, (1, 3, 224, 224), strict=True):
        side.dim_value = size
    image = np.random.default_rng(0).random((1, 3, 224, 224), dtype=np.float32)
    found = run_network(saved(to_network(model), folder), {"image": image})
    for name, expected in reference(model, image).items():
        assert relative(found[name], expected) <= 2e-5, name


# What cannot be executed


def network(spec: Any) -> Any:
    return getattr(spec, spec.WhichOneof("Type"))


def unknown_layers(spec: Any) -> None:
    network(spec).layers[0].ClearField("layer")
    network(spec).layers[1].gru.inputVectorSize = 3
    network(spec).layers[2].gru.inputVectorSize = 3


def old_mapping(spec: Any) -> None:
    network(spec).arrayInputShapeMapping = 0


def lost_layer(spec: Any) -> None:
    del network(spec).layers[3]


def second_name(spec: Any) -> None:
    network(spec).layers[3].output[0] = network(spec).layers[2].output[0]


def lost_weight(spec: Any) -> None:
    del network(spec).layers[1].convolution.weights.floatValue[-1]


def no_weights(spec: Any) -> None:
    network(spec).layers[1].convolution.weights.Clear()


def two_forms(spec: Any) -> None:
    network(spec).layers[1].convolution.weights.float16Value = b"12"


def odd_bytes(spec: Any) -> None:
    network(spec).layers[1].convolution.weights.Clear()
    network(spec).layers[1].convolution.weights.float16Value = b"123"


def declared_shape(spec: Any) -> None:
    network(spec).layers[1].outputTensor.add(rank=4, dimValue=[1, 8, 11, 8])


def declared_output(spec: Any) -> None:
    spec.description.output[0].type.multiArrayType.shape.extend([1, 5])


def lost_output(spec: Any) -> None:
    spec.description.output[0].name = "probabilities"


def large_padding(spec: Any) -> None:
    edges = network(spec).layers[1].convolution.valid.paddingAmounts.borderAmounts
    edges[0].startEdgeSize = 1 << 40


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unknown_layers, r"(?s)cannot be executed here:.*gru: .*, .*without a type: "),
        (old_mapping, "'image' is mapped to rank 5"),
        (lost_layer, "no layer gives '.*' before it is needed"),
        (second_name, "two layers give '"),
        (lost_weight, r"\(convolution\): it has 215 weights for the shape \[8, 3, 3, 3\]"),
        (no_weights, r"\(convolution\): its weights stand in no field"),
        (two_forms, "stand in floatValue and float16Value"),
        (odd_bytes, "its weights take 3 bytes, 2 for a number"),
        (declared_shape, r"is declared as \[1, 8, 11, 8\] and is \[1, 8, 11, 7\]"),
        (declared_output, r"'targetProbability' is declared as \[1, 5\] and is \[1, 4\]"),
        (lost_output, "no layer gives 'probabilities'"),
        (large_padding, r"\(convolution\) cannot be computed: a tensor of the shape"),
    ],
)
def test_damage_is_named(spoil: Callable[[Any], None], message: str) -> None:
    spec = to_network(classifier())
    spoil(spec)
    with pytest.raises(ExportError, match=message):
        run_network(SavedModel(Path("damaged"), spec), {"image": levels(1, 3, 24, 16)})


def other_labels(spec: Any) -> None:
    spec.neuralNetworkClassifier.stringClassLabels.vector.append("more")


def label_twice(spec: Any) -> None:
    spec.neuralNetworkClassifier.stringClassLabels.vector[3] = "hund"


def gray(spec: Any) -> None:
    spec.description.input[0].type.imageType.colorSpace = 10


def no_scale(spec: Any) -> None:
    spec.neuralNetworkClassifier.preprocessing[0].scaler.channelScale = 0


def other_picture(spec: Any) -> None:
    spec.neuralNetworkClassifier.preprocessing[0].featureName = "picture"


@pytest.fixture(scope="module")
def image_classifier() -> Any:
    ct = require()
    return to_network(
        classifier(),
        inputs=[ct.ImageType("image", (1, 3, 24, 16))],
        classifier_config=ct.ClassifierConfig(LABELS, predicted_feature_name="target"),
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_labels, "gives 4 probabilities for 5 labels"),
        (label_twice, "the label 'hund' occurs twice"),
        (gray, "'image' is neither RGB nor BGR"),
        (no_scale, "'image' is multiplied by a channelScale of 0"),
        (other_picture, "preprocesses picture, which is no image"),
    ],
)
def test_damaged_classifiers_are_named(
    image_classifier: Any, spoil: Callable[[Any], None], message: str
) -> None:
    spec = type(image_classifier).FromString(image_classifier.SerializeToString())
    spoil(spec)
    with pytest.raises(ExportError, match=message):
        run_network(SavedModel(Path("damaged"), spec), {"image": levels(1, 3, 24, 16)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "needs the input 'image'; given: none"),
        ({"picture": levels(1, 3, 24, 16)}, "needs the input 'image'; given: picture"),
        ({"image": levels(1, 3, 16, 24)}, r"must be \[1, 3, 24, 16\], not \[1, 3, 16, 24\]"),
    ],
)
def test_inputs_are_checked(image_classifier: Any, inputs: Any, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        run_network(SavedModel(Path("m"), image_classifier), inputs)


@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.integers(0), byte=st.integers(0, 255))
def test_a_damaged_file_is_an_export_error_or_harmless(
    image_classifier: Any, tmp_path: Path, place: int, byte: int
) -> None:
    content = bytearray(image_classifier.SerializeToString())
    content[place % len(content)] = byte
    path = tmp_path / "Damaged.mlmodel"
    path.write_bytes(content)
    with suppress(ExportError):
        execute(read_model(path), {"image": levels(1, 3, 24, 16)})
