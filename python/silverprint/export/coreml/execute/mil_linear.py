"""Matrix products. Definitions: coremltools, iOS15 ``linear``, iOS18 ``transformers``."""

from __future__ import annotations

import math

import numpy as np

from silverprint.export.coreml.execute import kernels
from silverprint.export.coreml.execute.mil_table import Array, operator, undefined

_EQUATIONS = {"abcd,adce->abce", "abc,cbd->abd"}
"""``nchw,nwhu->nchu`` and ``chw,whr->chr`` with other letters."""


@operator("linear")
def linear(*, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x * weight.T + bias, with weight [D_out, D_in]."""
    product: Array = np.matmul(x, weight.T)
    return product if bias is None else product + bias


@operator("matmul")
def matmul(
    *, x: Array, y: Array, transpose_x: Array | bool = False, transpose_y: Array | bool = False
) -> Array:
    """numpy's matmul, with the last two axes swapped where asked for."""
    if bool(transpose_x) and x.ndim > 1:
        x = np.swapaxes(x, -1, -2)
    if bool(transpose_y) and y.ndim > 1:
        y = np.swapaxes(y, -1, -2)
    product: Array = np.matmul(x, y)
    return product


@operator("einsum")
def einsum(*, values: tuple[Array, ...], equation: str) -> Array:
    """The sum of products over the shared letter; two equations are known, sides of 1 stretch."""
    letters = dict.fromkeys(one for one in equation if one.isalpha())
    renamed = equation.translate({ord(old): 97 + place for place, old in enumerate(letters)})
    if renamed not in _EQUATIONS or len(values) != 2:
        undefined(f"einsum of {equation!r}")
    first, second = values
    # [..., C, H, W1] and [..., W1, H, W2]: one matrix product for each H.
    product = np.matmul(np.moveaxis(first, -2, -3), np.moveaxis(second, -2, -3))
    return np.moveaxis(product, -3, -2)


@operator("scaled_dot_product_attention")
def scaled_dot_product_attention(
    *, query: Array, key: Array, value: Array, attn_mask: Array | None = None
) -> Array:
    """softmax(Q K^T / sqrt(E) + mask) V, iOS18; where a bool mask is false, -inf is added."""
    scores = np.matmul(query, np.swapaxes(key, -1, -2)) / np.float32(math.sqrt(query.shape[-1]))
    if attn_mask is not None and attn_mask.dtype.kind == "b":
        scores = np.where(attn_mask, scores, np.float32(-np.inf))
    elif attn_mask is not None:
        scores = scores + attn_mask
    attended: Array = np.matmul(kernels.softmax(scores, scores.ndim - 1), value)
    return attended


@operator("band_part")
def band_part(*, x: Array, lower: Array | int = -1, upper: Array | int = -1) -> Array:
    """x[m, n] where (lower < 0 or m - n <= lower) and (upper < 0 or n - m <= upper), else 0."""
    below = np.subtract.outer(np.arange(x.shape[-2]), np.arange(x.shape[-1]))
    inside = np.ones(below.shape, bool)
    if int(lower) >= 0:
        inside &= below <= int(lower)
    if int(upper) >= 0:
        inside &= -below <= int(upper)
    return np.where(inside, x, np.zeros((), x.dtype))
