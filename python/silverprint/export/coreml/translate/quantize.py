"""Weights as 8-bit integers, or as float16 in a NeuralNetwork.

Eight bits are linear, symmetric, and with one scale for each output channel. With `w` the weight
as the file would hold it without this (float32, or float16 in a float16 ML Program), everything
computed in float64:

    scale = max |w| of the channel / 127, rounded to the type of `w`, but at least its smallest
            positive number; 1 for a channel of zeros
    q     = w / scale rounded half to even, cut to -127..127

The device computes with q * scale. An ML Program holds `q` as int8 and `scale` in the type of
`w`. A NeuralNetwork holds q + 128 as unsigned bytes, `scale` and the bias -128 * scale in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.export.coreml.options import ExportOptions, Precision

SMALL = 2048
"""Weights of fewer numbers stay as they are."""

_LARGEST = 127
_OFFSET = 128


def quantize(
    weight: npt.NDArray[np.floating[Any]], axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.floating[Any]]]:
    """(q, scale) of `weight`, whose output channels lie along `axis`; scale is of its dtype."""
    wide = np.moveaxis(weight.astype(np.float64), axis, 0)
    largest = np.abs(wide.reshape(len(wide), -1)).max(axis=1)
    least = np.finfo(weight.dtype).smallest_subnormal
    scale = np.maximum((largest / _LARGEST).astype(weight.dtype), least)
    scale[largest == 0] = 1
    wide_scale = scale.astype(np.float64).reshape(-1, *(1,) * (wide.ndim - 1))
    q = np.clip(np.rint(wide / wide_scale), -_LARGEST, _LARGEST).astype(np.int8)
    return np.ascontiguousarray(np.moveaxis(q, 0, axis)), scale


def quantize_program(program: Any, precision: Precision) -> None:
    """Replace the large weights of convolutions and matrix products of a MIL program, in place.

    What stays float32 in a float16 program (a head with large numbers) keeps its weights.
    """
    main = program.functions["main"]
    for operation in list(main.operations):
        if operation.op_type == "const":
            axis = _output_axis(operation)
            if axis is not None and _is_large(operation.outputs[0].val, precision):
                _replace(main, operation, axis)


def _output_axis(constant: Any) -> int | None:
    """The axis of the output channels; None where `constant` is not just a weight."""
    value = constant.outputs[0]
    axes = set()
    for user in value.child_ops:
        if user.op_type in ("conv", "linear") and user.inputs["weight"] is value:
            axes.add(0)
        elif user.op_type == "matmul" and user.inputs["y"] is value and value.rank == 2:
            axes.add(0 if user.transpose_y is not None and user.transpose_y.val else 1)
        else:
            return None
    return axes.pop() if len(axes) == 1 else None


def _is_large(value: Any, precision: Precision) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.dtype == np.dtype(precision)
        and value.size >= SMALL
        and bool(np.isfinite(value).all())
    )


def _replace(block: Any, constant: Any, axis: int) -> None:
    from coremltools.converters.mil.mil import Builder

    old = constant.outputs[0]
    q, scale = quantize(old.val, axis)
    name = f"{constant.name}_quantized"
    with block:
        if block.opset_version.name in ("iOS16", "iOS17"):
            new = Builder.constexpr_affine_dequantize(
                quantized_data=q,
                zero_point=np.int8(0),
                scale=scale,
                axis=axis,
                before_op=constant,
                name=name,
            )
        else:
            sides = [1] * q.ndim
            sides[axis] = len(scale)
            new = Builder.constexpr_blockwise_shift_scale(
                data=q, scale=scale.reshape(sides), before_op=constant, name=name
            )
    block.replace_uses_of_var_after_op(
        anchor_op=constant, old_var=old, new_var=new, no_check_var_types=True
    )
    block.remove_ops([constant])


def quantize_network(layers: Sequence[Any], options: ExportOptions) -> None:
    """Store the large weights of layers of a NeuralNetwork in 8 or 16 bits, in place."""
    for layer in layers:
        parameters = list(_weights(layer))
        if max((len(one.floatValue) for one in parameters), default=0) < SMALL:
            continue
        kind = layer.WhichOneof("layer")
        content = getattr(layer, kind)
        if options.weights == 8 and _channels(kind, content):
            _store_bytes(content.weights, _channels(kind, content))
        elif options.precision == "float16":
            # Weights and bias of a layer must be of one type.
            for one in parameters:
                half = np.asarray(one.floatValue, np.float32).astype("<f2")
                one.float16Value = half.tobytes()
                one.ClearField("floatValue")


def _channels(kind: str, content: Any) -> int:
    """Output channels, where they are the first axis of the weights; else 0."""
    if kind == "innerProduct" or (kind == "convolution" and not content.isDeconvolution):
        return int(content.outputChannels)
    return int(content.weightMatrixSecondDimension) if kind == "batchedMatmul" else 0


def _store_bytes(weights: Any, channels: int) -> None:
    values = np.asarray(weights.floatValue, np.float32).reshape(channels, -1)
    q, scale = quantize(values, 0)
    weights.ClearField("floatValue")
    weights.rawValue = (q.astype(np.int16) + _OFFSET).astype(np.uint8).tobytes()
    weights.quantization.numberOfBits = 8
    linear = weights.quantization.linearQuantization
    linear.scale.extend(scale.tolist())
    linear.bias.extend((-_OFFSET * scale).tolist())


def _weights(message: Any) -> Iterator[Any]:
    """Every WeightParams inside a layer."""
    for field, value in message.ListFields():
        if not hasattr(value, "ListFields"):
            continue
        if field.message_type.name == "WeightParams":
            yield value
        else:
            yield from _weights(value)
