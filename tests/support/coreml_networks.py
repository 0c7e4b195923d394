"""Small networks of every kind for the proof of Core ML files, all numbers random.

Biases, norms and statistics are random, too: a bias of zero would be deleted by the converter, and
no test could see whether it is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("Katze", "hund", "a/b", "Ärger", "🐟")
HEIGHT, WIDTH = 24, 32
RULE = {"height": HEIGHT, "width": WIDTH, "crop_and_scale": "center_crop", "version": 1}
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
BOXES = (HEIGHT // 8) * (WIDTH // 8)

Array = np.ndarray[Any, Any]


class Sketch:
    """An ONNX graph in the making; every method returns the name of a value."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, name: str, values: Any, dtype: type = np.float32) -> str:
        self._weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def normal(self, name: str, *shape: int, scale: float | None = None) -> str:
        """Random weights that keep the size of what passes through them."""
        scale = scale or 1 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        return self.weight(name, self.random.normal(size=shape) * scale)

    def positive(self, name: str, *shape: int) -> str:
        return self.weight(name, self.random.uniform(0.5, 1.5, shape))

    def add(self, operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def several(
        self, operator: str, names: list[str], *inputs: str, **attributes: Any
    ) -> list[str]:
        self._nodes.append(helper.make_node(operator, list(inputs), names, names[0], **attributes))
        return names

    def normalised(self) -> str:
        mean = self.weight("mean", np.reshape(MEAN, (1, 3, 1, 1)))
        std = self.weight("std", np.reshape(STD, (1, 3, 1, 1)))
        return self.add("Div", "normalised", self.add("Sub", "centred", "image", mean), std)

    def conv(self, name: str, x: str, outputs: int, inputs: int, size: int, **rest: Any) -> str:
        group = rest.get("group", 1)
        weight = self.normal(f"{name}.weight", outputs, inputs // group, size, size)
        bias = self.normal(f"{name}.bias", outputs, scale=0.3)
        return self.add("Conv", name, x, weight, bias, **rest)

    def dense(self, name: str, x: str, outputs: int, inputs: int) -> str:
        weight = self.normal(f"{name}.weight", inputs, outputs, scale=1 / np.sqrt(inputs))
        bias = self.normal(f"{name}.bias", outputs, scale=0.3)
        return self.add("Add", name, self.add("MatMul", f"{name}.product", x, weight), bias)

    def batch_norm(self, name: str, x: str, channels: int) -> str:
        parameters = [
            self.positive(f"{name}.gamma", channels),
            self.normal(f"{name}.beta", channels, scale=0.3),
            self.normal(f"{name}.mean", channels, scale=0.3),
            self.positive(f"{name}.variance", channels),
        ]
        return self.add("BatchNormalization", name, x, *parameters, epsilon=1e-5)

    def layer_norm(self, name: str, x: str, width: int) -> str:
        gamma = self.positive(f"{name}.gamma", width)
        beta = self.normal(f"{name}.beta", width, scale=0.3)
        return self.add("LayerNormalization", name, x, gamma, beta, axis=-1, epsilon=1e-6)

    def head(self, x: str, inputs: int) -> str:
        weight = self.normal("head.weight", len(LABELS), inputs, scale=1 / np.sqrt(inputs))
        bias = self.normal("head.bias", len(LABELS), scale=0.3)
        scores = self.add("Gemm", "scores", x, weight, bias, transB=1)
        return self.add("Softmax", "targetProbability", scores, axis=1)

    def model(self, *outputs: str) -> onnx.ModelProto:
        image = helper.make_tensor_value_info(
            "image", TensorProto.FLOAT, ["batch", 3, HEIGHT, WIDTH]
        )
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, "network", [image], results, self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def extractor() -> onnx.ModelProto:
    """One convolution and its mean, without a head."""
    s = Sketch(4)
    x = s.add("Relu", "stem.act", s.conv("stem", s.normalised(), 8, 3, 3, strides=[2, 2]))
    return s.model(s.add("Flatten", "features", s.add("GlobalAveragePool", "pooled", x), axis=1))


def convolutional() -> onnx.ModelProto:
    """Stem, a branch with a norm alone, depthwise and grouped convolutions, two kinds of pools."""
    s = Sketch(1)
    six = [s.weight("zero", 0), s.weight("six", 6)]
    x = s.conv("stem", s.normalised(), 8, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    x = s.add("Clip", "stem.act", x, *six)
    branch = s.batch_norm("branch", x, 8)
    x = s.conv("depthwise", x, 8, 8, 3, pads=[1, 1, 1, 1], group=8)
    x = s.add("Add", "joined", s.add("Clip", "depthwise.act", x, *six), branch)
    for name in ("block1", "block2"):
        inner = s.add("Relu", f"{name}.act", s.conv(name, x, 8, 8, 3, pads=[1, 1, 1, 1]))
        x = s.add("Add", f"{name}.sum", x, inner)
    x = s.conv("grouped", x, 16, 8, 3, pads=[1, 1, 1, 1], group=2)
    x = s.add("AveragePool", "average", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = s.add("MaxPool", "largest", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = s.add("Mul", "swish", x, s.add("Sigmoid", "gate", x))
    x = s.add("Flatten", "features", s.add("GlobalAveragePool", "pooled", x), axis=1)
    square = s.normal("square", 16, 16)
    return s.model(s.head(s.add("MatMul", "mixed", x, square), 16))


def transformer() -> onnx.ModelProto:
    """Patches, a class token, two blocks of attention and perceptron with GELU."""
    s, width, heads, size = Sketch(2), 16, 2, 8
    places = (HEIGHT // size) * (WIDTH // size)
    x = s.conv("patches", s.normalised(), width, 3, size, strides=[size, size])
    x = s.add("Reshape", "tokens", x, s.weight("tokens.shape", [1, width, places], np.int64))
    x = s.add("Transpose", "tokens.turned", x, perm=[0, 2, 1])
    x = s.add("Concat", "with_class", s.normal("class_token", 1, 1, width, scale=1), x, axis=1)
    x = s.add("Add", "positions.sum", x, s.normal("positions", 1, places + 1, width, scale=0.5))
    for block in ("block1", "block2"):
        x = s.add("Add", f"{block}.sum", x, _attention(s, block, x, places + 1, width, heads))
        y = s.dense(f"{block}.wide", s.layer_norm(f"{block}.norm2", x, width), 2 * width, width)
        y = s.dense(f"{block}.narrow", _gelu(s, f"{block}.gelu", y), width, 2 * width)
        x = s.add("Add", f"{block}.end", x, y)
    x = s.layer_norm("last_norm", x, width)
    x = s.add("Gather", "features", x, s.weight("first", 0, np.int64), axis=1)
    return s.model(s.head(x, width))


def _attention(s: Sketch, block: str, x: str, places: int, width: int, heads: int) -> str:
    def named(part: str) -> str:
        return f"{block}.{part}"

    each = width // heads
    x = s.dense(named("qkv"), s.layer_norm(named("norm1"), x, width), 3 * width, width)
    shape = s.weight(named("shape"), [1, places, 3, heads, each], np.int64)
    x = s.add(
        "Transpose",
        named("apart"),
        s.add("Reshape", named("parts"), x, shape),
        perm=[2, 0, 3, 1, 4],
    )
    parts = s.several("Split", [named(f"{one}.5d") for one in "qkv"], x, axis=0)
    zero = s.weight(named("zero"), [0], np.int64)
    q, k, v = (
        s.add("Squeeze", named(one), part, zero) for one, part in zip("qkv", parts, strict=True)
    )
    q = s.add("Mul", named("scaled"), q, s.weight(named("scale"), each**-0.5))
    scores = s.add(
        "MatMul", named("scores"), q, s.add("Transpose", named("kt"), k, perm=[0, 1, 3, 2])
    )
    mixed = s.add("MatMul", named("mixed"), s.add("Softmax", named("softmax"), scores, axis=-1), v)
    mixed = s.add("Transpose", named("together"), mixed, perm=[0, 2, 1, 3])
    back = s.weight(named("back"), [1, places, width], np.int64)
    return s.dense(named("out"), s.add("Reshape", named("flat"), mixed, back), width, width)


def _gelu(s: Sketch, name: str, x: str) -> str:
    """As PyTorch writes it before opset 20."""
    root = s.add("Div", f"{name}.root", x, s.weight(f"{name}.sqrt2", np.sqrt(2)))
    share = s.add(
        "Add", f"{name}.share", s.add("Erf", f"{name}.erf", root), s.weight(f"{name}.one", 1)
    )
    return s.add(
        "Mul", name, s.add("Mul", f"{name}.whole", x, share), s.weight(f"{name}.half", 0.5)
    )


def detector(*, corners: bool = False, wrong_side: bool = False) -> onnx.ModelProto:
    """Boxes and confidences for a grid of cells of 8 x 8 pixels on a picture that is not square.

    The faults: boxes by their corner instead of the centre, or divided by the other side.
    """
    s, cells = Sketch(3), (HEIGHT // 8, WIDTH // 8)
    x = s.conv("stem", s.normalised(), 16, 3, 4, strides=[4, 4])
    x = s.conv("cells", s.add("Relu", "stem.act", x), 4 + len(LABELS), 16, 2, strides=[2, 2])
    x = s.add("Reshape", "flat", x, s.weight("flat.shape", [4 + len(LABELS), BOXES], np.int64))
    x = s.add("Sigmoid", "shares", s.add("Transpose", "rows", x, perm=[1, 0]))
    bounds = [s.weight(f"cut{number}", [number], np.int64) for number in (0, 2, 4, 9)]
    axis = s.weight("cut.axis", [1], np.int64)
    centre, sides, confidence = (
        s.add("Slice", name, x, bounds[number], bounds[number + 1], axis)
        for number, name in enumerate(("centre.cell", "sides", "raw_confidence"))
    )
    down, across = np.mgrid[: cells[0], : cells[1]]
    corner = np.stack([across.ravel(), down.ravel()], axis=1)
    count = cells if wrong_side else cells[::-1]
    centre = s.add("Add", "centre.grid", centre, s.weight("grid", corner))
    centre = s.add("Mul", "centre", centre, s.weight("per_picture", [1 / np.array(count)]))
    if corners:
        half = s.add("Mul", "half", sides, s.weight("one_half", 0.5))
        centre = s.add("Sub", "corner", centre, half)
    s.add("Concat", "raw_coordinates", centre, sides, axis=1)
    assert confidence == "raw_confidence"
    return s.model("raw_confidence", "raw_coordinates")


def pictures(count: int = 3) -> list[Array]:
    """Tensors as the proof takes them: float32 [1, 3, height, width], whole levels."""
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (1, 3, HEIGHT, WIDTH)).astype(np.float32) for _ in range(count)]
