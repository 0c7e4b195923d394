"""A detector as one ONNX graph: a backbone's maps, the head, boxes and scores of every cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint.features.graph import OURS
from silverprint.features.maps import MapBackbone

if TYPE_CHECKING:
    import onnx

CONFIDENCE, COORDINATES = "raw_confidence", "raw_coordinates"
"""Outputs: [N, cells, classes], 0 to 1, and [N, cells, 4]: centre x, centre y, width and height of
a box, as shares of the picture."""

_EPSILON = 1e-5  # cpp/detect/batch_norm.h
_LOWEST, _HIGHEST = -4.0, 4.5  # cpp/detect/predictor.h

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DetectionHead:
    """What ``cpp/detect/network.h`` describes, as numbers.

    Attributes:
        parameters, statistics: float32, by the names that the core gives them.
        mean, deviation: float32, of the channels of the maps, finest map first.
        levels: (stride, height, width) of each level of cells.
        classes: how many.
        context, tower: how many layers of each.
    """

    parameters: Mapping[str, Array]
    statistics: Mapping[str, Array]
    mean: Array
    deviation: Array
    levels: tuple[tuple[int, int, int], ...]
    classes: int
    context: int
    tower: int


def compose_detector(backbone: MapBackbone, head: DetectionHead) -> onnx.ModelProto:
    """The graph from ``image`` to `CONFIDENCE` and `COORDINATES`; equal arguments, equal bytes.

    Normalisations are folded into the convolutions before them, in double precision.
    """
    import onnx

    model: onnx.ModelProto = onnx.ModelProto.FromString(backbone.graph)
    _Composer(model.graph, backbone, head).compose()
    model.graph.name = "silverprint_detector"
    model.producer_name, model.producer_version = "silverprint", ""
    return model


class _Composer:
    def __init__(self, graph: onnx.GraphProto, backbone: MapBackbone, head: DetectionHead) -> None:
        self._graph, self._backbone, self._head = graph, backbone, head
        self._strides = list(backbone.maps)

    def compose(self) -> None:
        levels = self._pyramid()
        for number in range(self._head.tower):
            kernel, bias = self._folded(f"tower{number}")
            levels = [
                self._rectified(f"tower{number}.{i}", one, kernel, bias)
                for i, one in enumerate(levels)
            ]
        self._outputs([self._predicted(i, one) for i, one in enumerate(levels)])

    def _pyramid(self) -> list[str]:
        """The maps of all levels, finest first."""
        merged, place = {}, 0
        for stride in self._strides:
            channels = self._backbone.maps[stride][0]
            mean, deviation = (
                one[place : place + channels].astype(np.float64)
                for one in (self._head.mean, self._head.deviation)
            )
            place += channels
            kernel, bias = self._folded(f"lateral{stride}")
            kernel = kernel / deviation[None, :, None, None]
            bias = bias - (kernel * mean[None, :, None, None]).sum((1, 2, 3))
            tensor = self._backbone.tensors[stride]
            merged[stride] = self._rectified(f"lateral{stride}", tensor, kernel, bias)
        top = self._strides[-1]
        for number in range(self._head.context):
            inner = self._rectified(f"context{number}", merged[top])
            merged[top] = self._node("Add", f"context{number}.added", merged[top], inner)
        for coarse, fine in zip(self._strides[:0:-1], self._strides[-2::-1], strict=True):
            wide = self._twice(f"twice{coarse}", merged[coarse])
            merged[fine] = self._node("Add", f"merged{fine}", merged[fine], wide)
        levels = [self._rectified(f"level{stride}", merged[stride]) for stride in self._strides]
        if len(self._head.levels) > len(self._strides):
            levels.append(self._rectified(f"level{2 * top}", merged[top], step=2))
        return levels

    def _predicted(self, level: int, tensor: str) -> str:
        """The numbers of one level, [N, classes + 4, cells]."""
        parameters, classes = self._head.parameters, self._head.classes
        kernel = parameters["predictor.kernel"].T[:, :, None, None]
        bias = parameters["predictor.bias"].astype(np.float64)
        bias[classes:] += parameters["predictor.scale"][level]
        name = f"predictor.{level}"
        raw = self._convolved(name, tensor, kernel, bias)
        shape = self._stored(f"{name}.shape", np.asarray([0, classes + 4, -1], np.int64))
        return self._node("Reshape", f"{name}.cells", raw, shape)

    def _outputs(self, levels: list[str]) -> None:
        from onnx import TensorProto, helper

        classes, count = self._head.classes, self._cells.shape[0]
        raw = self._node("Concat", "raw", *levels, axis=2)
        raw = self._node("Transpose", "rows", raw, perm=[0, 2, 1])
        axis = self._stored("axis", np.asarray([2], np.int64))
        bounds = [
            self._stored(f"cut{number}", np.asarray([number], np.int64))
            for number in (0, classes, classes + 4)
        ]
        logits = self._node("Slice", "logits", raw, bounds[0], bounds[1], axis)
        exponents = self._node("Slice", "exponents", raw, bounds[1], bounds[2], axis)
        self._node("Sigmoid", CONFIDENCE, logits, plain=True)

        low, high = (
            self._stored(name, np.asarray(value, np.float32))
            for name, value in (("lowest", _LOWEST), ("highest", _HIGHEST))
        )
        exponents = self._node("Clip", "bounded", exponents, low, high)
        distances = self._node("Exp", "distances", exponents)
        rule = self._backbone.rule
        sides = np.asarray([rule.width, rule.height] * 2, np.float64)
        scale = self._stored("per_picture", (self._cells[None, :, 2:] / sides).astype(np.float32))
        distances = self._node("Mul", "shares", distances, scale)
        # From left, top, right, bottom to the centre's offset and the sides.
        to_sides = np.asarray(
            [[-0.5, 0, 1, 0], [0, -0.5, 0, 1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32
        )
        boxes = self._node("MatMul", "boxes", distances, self._stored("to_sides", to_sides))
        centres = np.zeros((1, count, 4))
        centres[0, :, :2] = self._cells[:, :2] / sides[:2]
        self._node(
            "Add",
            COORDINATES,
            boxes,
            self._stored("centres", centres.astype(np.float32)),
            plain=True,
        )
        batch = self._graph.input[0].type.tensor_type.shape.dim[0]
        first = batch.dim_value if batch.HasField("dim_value") else batch.dim_param
        del self._graph.output[:]
        for name, width in ((CONFIDENCE, classes), (COORDINATES, 4)):
            shape = [first, count, width]
            self._graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    @property
    def _cells(self) -> Array:
        """Centre x and y in pixels, and four times the stride, of each cell; float64 (cells, 6)."""
        found = []
        for stride, height, width in self._head.levels:
            down, across = np.mgrid[:height, :width]
            one = np.full((height * width, 6), float(stride))
            one[:, 0], one[:, 1] = (across.ravel() + 0.5) * stride, (down.ravel() + 0.5) * stride
            found.append(one)
        return np.concatenate(found)

    def _folded(self, name: str) -> tuple[Array, Array]:
        """Kernel (out, in, height, width) and bias of a layer with its normalisation, float64."""
        parameters, statistics = self._head.parameters, self._head.statistics
        kernel = parameters[f"{name}.kernel"].astype(np.float64)
        kernel = kernel.T[:, :, None, None] if kernel.ndim == 2 else kernel.transpose(3, 2, 0, 1)
        variance = statistics[f"{name}.variance"].astype(np.float64)
        scale = parameters[f"{name}.gamma"] / np.sqrt(variance + _EPSILON)
        bias = parameters[f"{name}.beta"] - statistics[f"{name}.mean"] * scale
        return kernel * scale[:, None, None, None], bias

    def _rectified(
        self,
        name: str,
        tensor: str,
        kernel: Array | None = None,
        bias: Array | None = None,
        step: int = 1,
    ) -> str:
        if kernel is None or bias is None:
            kernel, bias = self._folded(name)
        return self._node("Relu", f"{name}.out", self._convolved(name, tensor, kernel, bias, step))

    def _convolved(self, name: str, tensor: str, kernel: Array, bias: Array, step: int = 1) -> str:
        weights = self._stored(f"{name}.kernel", kernel.astype(np.float32))
        offset = self._stored(f"{name}.bias", bias.astype(np.float32))
        border = kernel.shape[2] // 2
        return self._node(
            "Conv",
            f"{name}.sum",
            tensor,
            weights,
            offset,
            kernel_shape=list(kernel.shape[2:]),
            pads=[border] * 4,
            strides=[step, step],
        )

    def _twice(self, name: str, tensor: str) -> str:
        """Each cell repeated 2 x 2."""
        scales = self._stored(f"{name}.scales", np.asarray([1, 1, 2, 2], np.float32))
        how: dict[str, Any] = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
        return self._node("Resize", name, tensor, "", scales, **how)

    def _stored(self, name: str, values: Array) -> str:
        from onnx import numpy_helper

        full = f"{OURS}{name}"
        if all(one.name != full for one in self._graph.initializer):
            self._graph.initializer.append(
                numpy_helper.from_array(np.ascontiguousarray(values), full)
            )
        return full

    def _node(self, kind: str, name: str, *inputs: str, plain: bool = False, **how: Any) -> str:
        from onnx import helper

        result = name if plain else f"{OURS}{name}"
        self._graph.node.append(
            helper.make_node(kind, list(inputs), [result], f"{OURS}{name}", **how)
        )
        return result
