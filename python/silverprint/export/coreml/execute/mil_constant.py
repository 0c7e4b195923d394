"""Weights that are stored in a compressed form, and the end of a classifier.

Definitions: coremltools, iOS16 ``constexpr_ops``, iOS18 ``compression``, iOS15 ``classify``.
"""

from __future__ import annotations

import math

import numpy as np

from silverprint.export.coreml.execute.features import classified
from silverprint.export.coreml.execute.mil_table import (
    IOS16,
    IOS18,
    Array,
    integers,
    operator,
    undefined,
)


@operator("constexpr_affine_dequantize", since=IOS16, mixes_floats=True)
def constexpr_affine_dequantize(
    *, quantized_data: Array, zero_point: Array, scale: Array, axis: Array
) -> Array:
    """scale * (quantized_data - zero_point), a vector of scales lying along `axis`."""
    shape = [1] * quantized_data.ndim
    shape[int(axis)] = -1
    factor, zero = (
        one.reshape(shape) if one.ndim else one for one in (scale, zero_point.astype(np.float32))
    )
    return factor * (quantized_data.astype(np.float32) - zero)


@operator("constexpr_cast", since=IOS16, mixes_floats=True)
def constexpr_cast(*, source_val: Array, output_dtype: str) -> Array:
    """source_val as float32."""
    if output_dtype != "fp32":
        undefined(f"constexpr_cast to {output_dtype!r}")
    return source_val


@operator("constexpr_lut_to_dense", since=IOS16)
def constexpr_lut_to_dense(*, indices: Array, lut: Array, shape: Array) -> Array:
    """lut[index], the indices packed into bytes from the least significant bit upwards."""
    sides, bits = integers(shape), int(math.log2(lut.size))
    if 1 << bits != lut.size or len(indices) != -(-math.prod(sides) * bits // 8):
        raise ValueError(f"{len(indices)} bytes for {math.prod(sides)} indices of {bits} bits")
    each = np.unpackbits(indices, count=math.prod(sides) * bits, bitorder="little")
    return lut[np.packbits(each.reshape(-1, bits), axis=1, bitorder="little")].reshape(sides)


@operator("constexpr_lut_to_dense", since=IOS18)
def constexpr_lut_to_dense_ios18(
    *, indices: Array, lut: Array, vector_axis: Array | None = None
) -> Array:
    """lut[block..., index]: one table for each block of indices, each index naming a vector.

    The numbers of the vector take the place of the index along `vector_axis`.
    """
    vectors = lut.shape[-1]
    tables = _repeated(lut, indices.shape)
    picked = np.take_along_axis(tables, indices.astype(np.int64)[..., None, None], -2)[..., 0, :]
    if vector_axis is None:
        if vectors != 1:
            undefined("a table of vectors without a vector_axis")
        return picked[..., 0]
    place = int(vector_axis) % indices.ndim
    shape = list(indices.shape)
    shape[place] *= vectors
    return np.moveaxis(picked, -1, place + 1).reshape(shape)


@operator("constexpr_sparse_to_dense", since=IOS16)
def constexpr_sparse_to_dense(*, nonzero_data: Array, mask: Array, shape: Array) -> Array:
    """The numbers where the mask, packed like the indices of a table, has a 1, else 0."""
    sides = integers(shape)
    if len(mask) != -(-math.prod(sides) // 8):
        raise ValueError(f"{len(mask)} bytes for a mask of {math.prod(sides)}")
    bits = np.unpackbits(mask, count=math.prod(sides), bitorder="little")
    return constexpr_sparse_to_dense_ios18(nonzero_data=nonzero_data, mask=bits.reshape(sides))


@operator("constexpr_sparse_to_dense", since=IOS18)
def constexpr_sparse_to_dense_ios18(*, nonzero_data: Array, mask: Array) -> Array:
    """As before, with a mask of the shape of the result."""
    result = np.zeros(mask.shape, nonzero_data.dtype)
    result[mask != 0] = nonzero_data
    return result


@operator("constexpr_blockwise_shift_scale", since=IOS18, mixes_floats=True)
def constexpr_blockwise_shift_scale(
    *, data: Array, scale: Array, offset: Array | None = None
) -> Array:
    """scale * (data - offset), with one scale and offset for each block of data."""
    numbers = data.astype(np.float32)
    if offset is not None:
        numbers = numbers - _repeated(offset.astype(np.float32), data.shape)
    return _repeated(scale, data.shape) * numbers


@operator("constexpr_lut_to_sparse", since=IOS18)
def constexpr_lut_to_sparse(
    *,
    indices_mask: Array,
    indices_nonzero_data: Array,
    lut: Array,
    vector_axis: Array | None = None,
) -> tuple[Array, Array]:
    """The mask and the numbers of a table's sparse indices."""
    indices = constexpr_sparse_to_dense_ios18(nonzero_data=indices_nonzero_data, mask=indices_mask)
    dense = constexpr_lut_to_dense_ios18(indices=indices, lut=lut, vector_axis=vector_axis)
    mask = indices_mask
    if vector_axis is not None:
        mask = np.repeat(mask, lut.shape[-1], int(vector_axis))
    return mask, dense[mask != 0]


@operator("constexpr_sparse_blockwise_shift_scale", since=IOS18, mixes_floats=True)
def constexpr_sparse_blockwise_shift_scale(
    *, data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """The mask and the numbers of sparse data, scaled as if they were dense."""
    data = constexpr_sparse_to_dense_ios18(nonzero_data=nonzero_data, mask=data_mask)
    dense = constexpr_blockwise_shift_scale(data=data, scale=scale, offset=offset)
    return data_mask, dense[data_mask != 0]


def _repeated(values: Array, sides: tuple[int, ...]) -> Array:
    """The first axes of `values` stretched to `sides` by repeating each number."""
    for axis, side in enumerate(sides):
        if side % values.shape[axis]:
            raise ValueError(f"blocks of {list(values.shape)} do not fit {list(sides)}")
        values = np.repeat(values, side // values.shape[axis], axis)
    return values


@operator("classify", mixes_floats=True)
def classify(
    *, probabilities: Array, classes: list[str] | list[int]
) -> tuple[str | int, dict[str | int, float]]:
    """The most probable class and the probability of each."""
    return classified(classes, probabilities)
