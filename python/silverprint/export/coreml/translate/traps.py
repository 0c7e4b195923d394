"""Operators that would be translated into something else without a word; refused beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError

if TYPE_CHECKING:
    import onnx

Constants = Mapping[str, "onnx.TensorProto"]


def refuse_traps(body: onnx.GraphProto) -> None:
    """Raise ExportError with every node that onnx2coreml 1.1 would translate wrongly."""
    constants = {tensor.name: tensor for tensor in body.initializer}
    found = []
    for node in body.node:
        check = _CHECKS.get(node.op_type)
        reason = check(node, _attributes(node), constants) if check else None
        if reason:
            found.append(f"  {node.op_type}, {node.name}: {reason}")
    if found:
        raise ExportError(
            "these nodes of the graph have no Core ML translation:\n"
            + "\n".join(found)
            + "\nexport the backbone without them, or write the model as .onnx"
        )


def _pool(node: onnx.NodeProto, given: Mapping[str, Any], constants: Constants) -> str | None:
    if any(side != 1 for side in given.get("dilations", ())):
        return "dilated windows"
    if len(node.output) > 1 and node.output[1]:
        return "indices of the largest values"
    return None


def _lrn(node: onnx.NodeProto, given: Mapping[str, Any], constants: Constants) -> str | None:
    return None if given["size"] % 2 else "an even number of channels"


def _pad(node: onnx.NodeProto, given: Mapping[str, Any], constants: Constants) -> str | None:
    pads = _constant(node, 1, constants)
    if pads is not None and (pads < 0).any():
        return "negative padding"
    axes = _constant(node, 3, constants)
    if axes is not None and (
        axes.ndim != 1 or (np.diff(axes) != 1).any() or axes[-1] not in (3, -1)
    ):
        return "axes other than the last ones"
    if given.get("mode", b"constant") == b"wrap":
        return "mode 'wrap'"
    return None


def _resize(node: onnx.NodeProto, given: Mapping[str, Any], constants: Constants) -> str | None:
    mode = given.get("mode", b"nearest").decode()
    place = given.get("coordinate_transformation_mode", b"half_pixel").decode()
    rounding = given.get("nearest_mode", b"round_prefer_floor").decode()
    scales = _constant(node, 1 if node.op_type == "Upsample" else 2, constants)
    if given.get("antialias", 0) or given.get("exclude_outside", 0) or given.get("axes"):
        return "antialias, exclude_outside or axes"
    if scales is not None and scales.size and (scales.size != 4 or (scales[:2] != 1).any()):
        return "another size than height and width changes"
    if mode == "linear":
        known = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        return None if place in known else f"coordinates {place!r}"
    if mode == "nearest" and node.op_type == "Resize":
        whole = scales is not None and scales.size and (scales == np.rint(scales)).all()
        same = place == "asymmetric" and rounding == "floor"
        centred = place in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
        return None if same or (whole and centred) else f"nearest, {place!r}, {rounding!r}"
    return None if mode == "nearest" else f"mode {mode!r}"


_CHECKS = {
    "AveragePool": _pool,
    "LRN": _lrn,
    "MaxPool": _pool,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _constant(node: onnx.NodeProto, place: int, constants: Constants) -> npt.NDArray[Any] | None:
    from onnx import numpy_helper

    if place >= len(node.input) or node.input[place] not in constants:
        return None
    return numpy_helper.to_array(constants[node.input[place]])
