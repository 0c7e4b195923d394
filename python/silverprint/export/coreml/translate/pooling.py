"""Pooling, where Core ML and ONNX count the edges differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_SAME = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}


class _Window(NamedTuple):
    """Sizes along the axes of the picture; `pads` are (before, after) pairs."""

    kernel: list[int]
    strides: list[int]
    pads: list[tuple[int, int]]
    pad_type: str
    ceil: bool


def max_pool(x: Any, attributes: Mapping[str, Any], name: str) -> Any:
    """The MIL value called `name` of an ONNX ``MaxPool``."""
    from coremltools.converters.mil.mil import Builder

    return Builder.max_pool(x=x, name=name, **_arguments(_window(x, attributes)))


def average_pool(x: Any, attributes: Mapping[str, Any], name: str) -> Any:
    """The MIL value called `name` of an ONNX ``AveragePool``.

    Where the last window hangs over the padded picture (``ceil_mode``), ONNX counts what lies
    inside; Core ML counts the whole window, unless it leaves out all padding. So padding that
    counts is laid around the picture first, and the rest is left out.
    """
    from coremltools.converters.mil.mil import Builder

    window = _window(x, attributes)
    counted = bool(attributes.get("count_include_pad", 0))
    if window.ceil and counted:
        if any(side for pair in window.pads for side in pair):
            sides = [0] * 4 + [side for pair in window.pads for side in pair]
            x = Builder.pad(x=x, pad=sides, mode="constant", constant_val=0.0)
            window = window._replace(pads=[(0, 0)] * len(window.pads), pad_type="valid")
        counted = False
    return Builder.avg_pool(
        x=x, exclude_padding_from_average=not counted, name=name, **_arguments(window)
    )


def _window(x: Any, attributes: Mapping[str, Any]) -> _Window:
    kernel = list(attributes["kernel_shape"])
    count = len(kernel)
    strides = list(attributes.get("strides") or [1] * count)
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto in _SAME:
        return _Window(kernel, strides, [(0, 0)] * count, _SAME[auto], ceil=False)
    given = list(attributes.get("pads") or [0] * 2 * count) if auto == "NOTSET" else [0] * 2 * count
    pads = list(zip(given[:count], given[count:], strict=True))
    ceil = bool(attributes.get("ceil_mode", 0)) and any(
        _hangs_over(size, pair, side, stride)
        for size, pair, side, stride in zip(x.shape[2:], pads, kernel, strides, strict=True)
    )
    if ceil and any(side < stride for side, stride in zip(kernel, strides, strict=True)):
        raise ValueError("ceil_mode with a window smaller than its stride")
    return _Window(kernel, strides, pads, "custom" if any(given) else "valid", ceil)


def _hangs_over(size: int, pads: tuple[int, int], kernel: int, stride: int) -> bool:
    """Whether ``ceil_mode`` adds a window; none begins behind the picture and its first padding."""
    last = -(-(size + sum(pads) - kernel) // stride) * stride
    return last + kernel > size + sum(pads) and last < size + pads[0]


def _arguments(window: _Window) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "kernel_sizes": window.kernel,
        "strides": window.strides,
        "pad_type": window.pad_type,
        "ceil_mode": window.ceil,
    }
    if window.pad_type == "custom":
        arguments["pad"] = [side for pair in window.pads for side in pair]
    return arguments
