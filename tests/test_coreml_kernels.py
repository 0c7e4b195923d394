"""The numpy arithmetic under both executors, on more axes and sizes than networks of layers show.

Expected values come from ONNX Runtime and ``math.erf``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from silverprint.export.coreml.execute import kernels
from support.coreml_layers import onnx, random, same


def flat(pads: list[tuple[int, int]]) -> list[int]:
    """In ONNX's order: all that come before, then all that come after."""
    return [before for before, _ in pads] + [after for _, after in pads]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_of_any_rank(rank: int, groups: int) -> None:
    x, b = random(2, 4, *range(7, 7 + rank)), random(6, seed=2)
    w = random(6, 4 // groups, *[3, 2, 3][:rank], seed=1)
    given: dict[str, Any] = {
        "strides": [2, 1, 3][:rank],
        "pads": [(1, 0), (2, 1), (0, 3)][:rank],
        "dilations": [1, 2, 1][:rank],
    }
    expected = onnx("Conv", x, w, b, group=groups, **{**given, "pads": flat(given["pads"])})
    same(kernels.conv(x, w, b, groups=groups, **given), expected)
    back = random(6, 4 // groups, *[3, 2, 3][:rank], seed=1)
    y = random(2, 6, *range(4, 4 + rank), seed=3)
    attributes = {**given, "pads": flat(given["pads"])}
    expected = onnx("ConvTranspose", y, back, group=groups, **attributes)
    same(kernels.conv_transpose(y, back, None, groups=groups, **given), expected)


def test_output_padding_is_a_negative_pad() -> None:
    x, w = random(1, 2, 4, 5), random(2, 3, 3, 3, seed=1)
    expected = onnx("ConvTranspose", x, w, strides=[2, 2], pads=[1, 0, 1, 0], output_padding=[1, 0])
    found = kernels.conv_transpose(
        x, w, None, strides=[2, 2], pads=[(1, 0), (0, 0)], dilations=[1, 1]
    )
    same(found, expected)
    longer = kernels.conv_transpose(
        x, w, None, strides=[2, 2], pads=[(0, -1), (0, 0)], dilations=[1, 1]
    )
    same(longer[:, :, :-1], onnx("ConvTranspose", x, w, strides=[2, 2]))
    assert not longer[:, :, -1].any()


def test_a_large_convolution_is_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = random(1, 3, 20, 20), random(4, 3, 3, 3, seed=1)
    given: dict[str, Any] = {"strides": [1, 1], "pads": [(1, 1), (1, 1)], "dilations": [1, 1]}
    whole = kernels.conv(x, w, None, **given)
    monkeypatch.setattr(kernels, "_LARGEST_MATRIX", 3 * 9 * 20 * 7)
    same(kernels.conv(x, w, None, **given), whole)
    monkeypatch.setattr(kernels, "_LARGEST_MATRIX", 1)
    same(kernels.conv(x, w, None, **given), whole)


@pytest.mark.parametrize("rank", [1, 3])
def test_pools_of_any_rank(rank: int) -> None:
    x = random(2, 3, *range(6, 6 + rank))
    pads = [(1, 0), (0, 1), (1, 1)][:rank]
    given: dict[str, Any] = {"strides": [2, 1, 1][:rank], "pads": pads}
    shape = [3, 2, 2][:rank]
    attributes: dict[str, Any] = {**given, "pads": flat(pads), "kernel_shape": shape}
    same(kernels.max_pool(x, kernel=shape, **given), onnx("MaxPool", x, **attributes))
    for exclude in (True, False):
        found = kernels.avg_pool(x, kernel=shape, exclude_padding=exclude, **given)
        same(found, onnx("AveragePool", x, count_include_pad=int(not exclude), **attributes))


def test_erf_is_that_of_the_standard_library() -> None:
    x = np.concatenate([np.linspace(-7, 7, 4001), [0.0, -0.0, 1e-30, np.inf, -np.inf]])
    x = x.astype(np.float32)
    expected = np.array([math.erf(one) for one in x.tolist()]).astype(np.float32)
    np.testing.assert_allclose(kernels.erf(x), expected, rtol=2e-7, atol=0)
    assert np.isnan(kernels.erf(np.array([np.nan], np.float32)))


def test_softmax_bears_large_numbers() -> None:
    x = np.array([[1e4, 1e4 - 1, -1e4]], np.float32)
    same(kernels.softmax(x, 1), onnx("Softmax", x, axis=1))


def test_no_tensor_beyond_all_reason() -> None:
    x, w = random(1, 1, 2, 2), random(1, 1, 1, 1)
    for pads in ([(1 << 40, 0), (0, 0)], [(1 << 20, 0), (1 << 20, 0)]):
        with pytest.raises(ValueError, match="a tensor of the shape"):
            kernels.conv(x, w, None, strides=[1, 1], pads=pads, dilations=[1, 1])
    with pytest.raises(ValueError, match=r"windows of \[3, 1\] do not fit into \[2, 2\]"):
        kernels.max_pool(x, kernel=[3, 1], strides=[1, 1], pads=[(0, 0), (0, 0)])
