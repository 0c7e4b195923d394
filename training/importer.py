"""From an ONNX graph of a convolutional network to a torch module.

Operators: Conv, Relu, Sigmoid, Clip, Mul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool,
Flatten, Identity; Cast and Mul on stored numbers (8- and 16-bit weights) are done once, here.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, fx, nn
from torch.nn import functional


@dataclass(frozen=True)
class Geometry:
    """Cell i of a map is centred on pixel index `stride * i + offset` of the input."""

    stride: int = 1
    offset: float = 0.0

    def through(self, kernel: int, stride: int, pad: int) -> Geometry:
        """After a convolution or pooling (square in stride; `pad` before the first cell)."""
        return Geometry(self.stride * stride, self.offset + self.stride * ((kernel - 1) / 2 - pad))


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _average(x: Tensor, kernel: list[int], stride: list[int], pad: list[int]) -> Tensor:
    return functional.avg_pool2d(x, kernel, stride, pad, count_include_pad=False)


class _Import:
    """One pass over the nodes, which ONNX keeps in an order that can be run."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.numbers = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.root = nn.Module()
        self.graph = fx.Graph()
        name = model.graph.input[0].name
        self.values: dict[str, fx.Node] = {name: self.graph.placeholder("image")}
        self.geometry = {name: Geometry()}
        self.sigmoids: dict[str, str] = {}

    def run(self, outputs: list[str]) -> nn.Module:
        for node in self.model.graph.node:
            self._node(node)
        missing = [name for name in outputs if name not in self.values]
        if missing:
            have = ", ".join(o.name for o in self.model.graph.output)
            raise ValueError(f"no tensor {missing[0]!r} in the graph; its outputs are: {have}")
        self.graph.output(tuple(self.values[name] for name in outputs))
        module = fx.GraphModule(self.root, self.graph)
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
        return module

    def _node(self, node: onnx.NodeProto) -> None:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        out = node.output[0]
        if all(name in self.numbers for name in node.input):
            self.numbers[out] = self._stored(node, given)
            return
        self.geometry[out] = self.geometry.get(node.input[0], Geometry())
        kind = node.op_type
        if kind == "Conv":
            self.values[out] = self._conv(node, given)
        elif kind in ("MaxPool", "AveragePool"):
            self.values[out] = self._pool(node, given)
        else:
            self.values[out] = self._simple(node, given)

    def _stored(self, node: onnx.NodeProto, given: dict[str, Any]) -> np.ndarray:
        args = [self.numbers[name] for name in node.input]
        if node.op_type == "Cast" and given["to"] == onnx.TensorProto.FLOAT:
            return args[0].astype(np.float32)
        if node.op_type == "Mul":
            return np.asarray(args[0] * args[1])
        raise ValueError(f"{node.op_type} on stored numbers ({node.output[0]}) is not supported")

    def _call(self, function: Any, *args: Any) -> fx.Node:
        return self.graph.call_function(function, args)

    def _conv(self, node: onnx.NodeProto, given: dict[str, Any]) -> fx.Node:
        weight = torch.from_numpy(np.array(self.numbers[node.input[1]], np.float32))
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        strides = given.get("strides", [1, 1])
        if given.get("dilations", [1, 1]) != [1, 1]:
            raise ValueError(f"{node.output[0]}: a dilated convolution is not supported")
        x = self.values[node.input[0]]
        even = top == bottom and left == right
        if not even:
            x = self._call(functional.pad, x, [left, right, top, bottom])
        groups = given.get("group", 1)
        conv = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            (weight.shape[2], weight.shape[3]),
            tuple(strides),
            (top, left) if even else 0,
            groups=groups,
            bias=len(node.input) > 2,
        )
        conv.weight = nn.Parameter(weight, requires_grad=False)
        if len(node.input) > 2:
            bias = np.array(self.numbers[node.input[2]], np.float32)
            conv.bias = nn.Parameter(torch.from_numpy(bias), requires_grad=False)
        name = f"conv{len(self.values)}"
        self.root.add_module(name, conv)
        self._move(node, weight.shape[2], strides[0], top)
        return self.graph.call_module(name, (x,))

    def _pool(self, node: onnx.NodeProto, given: dict[str, Any]) -> fx.Node:
        kernel, strides = given["kernel_shape"], given.get("strides", [1, 1])
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        if (top, left) != (bottom, right) or given.get("ceil_mode", 0):
            raise ValueError(f"{node.output[0]}: uneven padding or ceil_mode is not supported")
        self._move(node, kernel[0], strides[0], top)
        x = self.values[node.input[0]]
        if node.op_type == "MaxPool":
            return self._call(functional.max_pool2d, x, kernel, strides, [top, left])
        if given.get("count_include_pad", 0) and (top or left):
            raise ValueError(f"{node.output[0]}: count_include_pad is not supported")
        return self._call(_average, x, kernel, strides, [top, left])

    def _move(self, node: onnx.NodeProto, kernel: int, stride: int, pad: int) -> None:
        source = self.geometry[node.input[0]]
        self.geometry[node.output[0]] = source.through(kernel, stride, pad)

    def _simple(self, node: onnx.NodeProto, given: dict[str, Any]) -> fx.Node:
        kind, names = node.op_type, list(node.input)
        if kind == "Clip":
            low, high = (float(self.numbers[name]) for name in names[1:3])
            return self._call(functional.hardtanh, self.values[names[0]], low, high)
        args = [self.values[name] for name in names]
        if kind == "Sigmoid":
            self.sigmoids[node.output[0]] = names[0]
            return self._call(torch.sigmoid, *args)
        if kind == "Mul":
            for gate, other in (names, reversed(names)):
                if self.sigmoids.get(gate) == other:
                    return self._call(functional.silu, self.values[other])
            return self._call(operator.mul, *args)
        if kind == "Concat" and given["axis"] == 1:
            return self._call(torch.cat, args, 1)
        if kind == "Flatten" and given.get("axis", 1) == 1:
            return self._call(torch.flatten, args[0], 1)
        plain = {"Relu": functional.relu, "Add": operator.add, "GlobalAveragePool": _mean}
        if kind in plain:
            return self._call(plain[kind], *args)
        if kind == "Identity":
            return args[0]
        raise ValueError(f"operator {kind} ({node.output[0]}) is not supported by the importer")


@dataclass(frozen=True)
class Imported:
    """`module(image)` returns the tensors asked for, in that order."""

    module: nn.Module
    geometry: dict[str, Geometry]
    metadata: dict[str, str]


def short_floats(device: torch.device) -> torch.dtype:
    """16-bit numbers that `device` multiplies faster, or float32."""
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def channels_last(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """`module`, moved, in the layout that convolutions like best."""
    module.to(device, dtype)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def import_onnx(path: Path, outputs: list[str]) -> Imported:
    """Read `path`; raises ValueError naming the node for what the importer does not know."""
    model = onnx.load(str(path))
    work = _Import(model)
    module = work.run(outputs).eval().requires_grad_(False)
    metadata = {p.key: p.value for p in model.metadata_props}
    return Imported(module, {name: work.geometry[name] for name in outputs}, metadata)
