"""What a model is given and what it answers, as its description declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.protobuf import COLOURS

Array = npt.NDArray[Any]


def given(inputs: Mapping[str, Any], name: str) -> Any:
    """The input called `name`. Raises ExportError where it is missing."""
    if name not in inputs:
        known = ", ".join(inputs) or "none"
        raise ExportError(f"the model needs the input {name!r}; given: {known}")
    return inputs[name]


def picture(feature: Any, value: Any) -> Array:
    """The planes [1, 3, height, width], float32, that the model sees of an RGB picture.

    `feature` is the FeatureDescription of an image input; `value` holds RGB planes of its size.

    Raises ExportError: another shape, a colour layout other than RGB and BGR.
    """
    declared = feature.type.imageType
    if declared.colorSpace not in COLOURS.values():
        raise ExportError(f"the image input {feature.name!r} is neither RGB nor BGR")
    planes = np.asarray(value, np.float32)
    expected = (1, 3, int(declared.height), int(declared.width))
    if planes.shape != expected:
        raise ExportError(
            f"the input {feature.name!r} must be {list(expected)}, not {list(planes.shape)}"
        )
    return planes if declared.colorSpace == COLOURS["RGB"] else planes[:, ::-1]


def tensor(feature: Any, value: Any) -> Array:
    """The float32 array given for a MultiArray input, of the shape that it declares, if any.

    Raises ExportError: another shape.
    """
    array = np.asarray(value, np.float32)
    check_shape(feature, array)
    return array


def check_shape(feature: Any, array: Array) -> None:
    """Raise ExportError unless `array` has the shape that the MultiArray `feature` declares.

    A flexible shape, or none, allows any.
    """
    declared = feature.type.multiArrayType
    fixed = declared.WhichOneof("ShapeFlexibility") is None and len(declared.shape) > 0
    if fixed and array.shape != tuple(declared.shape):
        raise ExportError(
            f"{feature.name!r} is declared as {list(declared.shape)} and is {list(array.shape)}"
        )


def classified(labels: Sequence[Any], probabilities: Array) -> tuple[Any, dict[Any, float]]:
    """The most probable label, the first where several are, and the probability of each.

    Raises ExportError: another number of probabilities, a label that occurs twice.
    """
    flat = probabilities.ravel()
    if flat.size != len(labels) or not labels:
        raise ExportError(f"the model gives {flat.size} probabilities for {len(labels)} labels")
    by_label = dict(zip(labels, (float(one) for one in flat), strict=True))
    if len(by_label) != len(labels):
        twice = next(label for at, label in enumerate(labels) if label in labels[:at])
        raise ExportError(f"the label {twice!r} occurs twice in the model")
    return labels[int(np.argmax(flat))], by_label
