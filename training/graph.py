"""What a student writes itself into: an ONNX graph of folded convolutions."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn


class Layer(Protocol):
    """A convolution that may hold more than its own numbers; `pads` as ONNX has them."""

    conv: nn.Conv2d

    @property
    def pads(self) -> tuple[int, int, int, int]: ...

    def folded(self) -> tuple[Tensor, Tensor]: ...


class Graph:
    """Nodes and numbers; every method returns the name of the tensor that it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.numbers: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, **given: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **given))
        return output

    def conv(self, x: str, name: str, layer: Layer) -> str:
        """The weights as float16 with a Cast, the bias as float32."""
        weight, bias = (t.numpy() for t in layer.folded())
        self.numbers.append(numpy_helper.from_array(weight.astype(np.float16), f"{name}.half"))
        self.numbers.append(numpy_helper.from_array(bias, f"{name}.bias"))
        self.add("Cast", [f"{name}.half"], f"{name}.weight", to=TensorProto.FLOAT)
        conv = layer.conv
        return self.add(
            "Conv",
            [x, f"{name}.weight", f"{name}.bias"],
            name,
            kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride),
            pads=list(layer.pads),
            group=conv.groups,
        )

    def relu(self, x: str) -> str:
        return self.add("Relu", [x], f"{x}.relu")

    def relu6(self, x: str) -> str:
        if not any(number.name == "six" for number in self.numbers):
            for name, value in (("zero", 0), ("six", 6)):
                self.numbers.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return self.add("Clip", [x, "zero", "six"], f"{x}.relu6")

    def pooled(self, x: str, name: str) -> str:
        mean = self.add("GlobalAveragePool", [x], f"{name}.mean")
        return self.add("Flatten", [mean], f"{name}.pooled", axis=1)
