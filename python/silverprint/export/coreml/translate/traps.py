"""Operators that would be translated into something else without a word; refused beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.graph.folding import known_shapes

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class _Values:
    """What is known of the values of `model` beforehand."""

    model: onnx.ModelProto

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return known_shapes(self.model)

    @cached_property
    def _weights(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    def constant(self, node: onnx.NodeProto, place: int) -> npt.NDArray[Any] | None:
        """An input of `node` that is known, else None."""
        from onnx import numpy_helper

        if place >= len(node.input) or node.input[place] not in self._weights:
            return None
        return numpy_helper.to_array(self._weights[node.input[place]])


def refuse_traps(model: onnx.ModelProto) -> None:
    """Raise ExportError with every node that onnx2coreml 1.1 would translate wrongly."""
    values = _Values(model)
    found = []
    for node in model.graph.node:
        check = _CHECKS.get(node.op_type)
        reason = check(node, _attributes(node), values) if check else None
        if reason:
            found.append(f"  {node.op_type}, {node.name}: {reason}")
    if found:
        raise ExportError(
            "these nodes of the graph have no Core ML translation:\n"
            + "\n".join(found)
            + "\nexport the backbone without them, or write the model as .onnx"
        )


def _dropout(node: onnx.NodeProto, given: Mapping[str, Any], values: _Values) -> str | None:
    if len(node.input) < 3 or not node.input[2]:
        return None
    training = values.constant(node, 2)
    return None if training is not None and not training.any() else "training_mode: random numbers"


def _mod(node: onnx.NodeProto, given: Mapping[str, Any], values: _Values) -> str | None:
    return "fmod: the sign of the dividend" if given.get("fmod", 0) else None


def _reduce(node: onnx.NodeProto, given: Mapping[str, Any], values: _Values) -> str | None:
    """ONNX Runtime still takes the absolute value, the square or the logarithm of each number."""
    axes = values.constant(node, 1)
    named = given.get("axes") or (axes is not None and axes.size)
    return None if named or not given.get("noop_with_empty_axes", 0) else "noop_with_empty_axes"


def _pool(node: onnx.NodeProto, given: Mapping[str, Any], values: _Values) -> str | None:
    if any(side != 1 for side in given.get("dilations", ())):
        return "dilated windows"
    if len(node.output) > 1 and node.output[1]:
        return "indices of the largest values"
    return None


def _lrn(node: onnx.NodeProto, given: Mapping[str, Any], values: _Values) -> str | None:
    return None if given["size"] % 2 else "an even number of channels"


def _pad(node: onnx.NodeProto, given: Mapping[str, Any], values: _Values) -> str | None:
    pads = values.constant(node, 1)
    if pads is not None and (pads < 0).any():
        return "negative padding"
    axes = values.constant(node, 3)
    if axes is not None and (
        axes.ndim != 1 or (np.diff(axes) != 1).any() or axes[-1] not in (3, -1)
    ):
        return "axes other than the last ones"
    if given.get("mode", b"constant") == b"wrap":
        return "mode 'wrap'"
    return None


def _resize(node: onnx.NodeProto, given: Mapping[str, Any], values: _Values) -> str | None:
    mode = given.get("mode", b"nearest").decode()
    place = given.get("coordinate_transformation_mode", b"half_pixel").decode()
    rounding = given.get("nearest_mode", b"round_prefer_floor").decode()
    scales = values.constant(node, 1 if node.op_type == "Upsample" else 2)
    if given.get("antialias", 0) or given.get("exclude_outside", 0) or given.get("axes"):
        return "antialias, exclude_outside or axes"
    if scales is not None and scales.size and (scales.size != 4 or (scales[:2] != 1).any()):
        return "another size than height and width changes"
    sides = values.shapes.get(node.input[0], ())[2:]
    if scales is not None and scales.size and not _fit(sides, scales[2:], place):
        return "scales that give a part of a pixel"
    if place == "pytorch_half_pixel" and 1 in values.shapes.get(node.output[0], ())[2:]:
        return f"a side of one pixel with coordinates {place!r}"
    if mode == "linear":
        known = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        return None if place in known else f"coordinates {place!r}"
    if mode == "nearest" and node.op_type == "Resize":
        whole = scales is not None and scales.size and (scales == np.rint(scales)).all()
        same = place == "asymmetric" and rounding == "floor"
        centred = place in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
        return None if same or (whole and centred) else f"nearest, {place!r}, {rounding!r}"
    return None if mode == "nearest" else f"mode {mode!r}"


def _fit(sides: tuple[int, ...], scales: npt.NDArray[Any], place: str) -> bool:
    """Whether the result has as many pixels as the scales say: Core ML goes by their number."""
    for side, scale in zip(sides, map(float, scales), strict=False):
        size = math.floor(side * scale)
        exact = math.isclose(size, side * scale, rel_tol=1e-6)
        if size != round(side * scale) or not (exact or place == "align_corners"):
            return False
    return True


_CHECKS = {
    "AveragePool": _pool,
    "Dropout": _dropout,
    "LRN": _lrn,
    "MaxPool": _pool,
    "Mod": _mod,
    "Pad": _pad,
    "ReduceL1": _reduce,
    "ReduceL2": _reduce,
    "ReduceLogSum": _reduce,
    "ReduceSumSquare": _reduce,
    "Resize": _resize,
    "Upsample": _resize,
}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}
