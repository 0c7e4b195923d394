"""Convolutions and pools.

Definitions: coremltools, iOS15 ``conv`` and ``pool``. Their documents disagree on ``same``; what
counts is the shape inference of coremltools, and TensorFlow's place for the odd pixel, which the
names are taken from.
"""

from __future__ import annotations

from collections.abc import Sequence

from silverprint.export.coreml.execute import kernels
from silverprint.export.coreml.execute.mil_table import Array, integers, operator, undefined

Pads = list[tuple[int, int]]


@operator("conv")
def conv(
    *,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array | None = None,
    pad_type: str = "valid",
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
) -> Array:
    """Cross-correlation of x [n, C_in, ...] with weight [C_out, C_in / groups, ...]."""
    rank = x.ndim - 2
    steps, gaps = _each(strides, rank, 1), _each(dilations, rank, 1)
    pads = _pads(pad_type, pad, x.shape[2:], weight.shape[2:], steps, gaps)
    return kernels.conv(
        x, weight, bias, strides=steps, pads=pads, dilations=gaps, groups=int(groups)
    )


@operator("conv_transpose")
def conv_transpose(
    *,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array | None = None,
    pad_type: str = "valid",
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
    output_shape: Array | None = None,
) -> Array:
    """The gradient of ``conv`` by its input; weight is [C_in, C_out / groups, ...].

    `pad` is cut from the result. A given `output_shape` ends the result sooner or later; with
    ``same`` and none given, each side is the input's times its stride.
    """
    rank = x.ndim - 2
    steps, gaps = _each(strides, rank, 1), _each(dilations, rank, 1)
    reach = [(side - 1) * gap + 1 for side, gap in zip(weight.shape[2:], gaps, strict=True)]
    full = [(n - 1) * step + r for n, step, r in zip(x.shape[2:], steps, reach, strict=True)]
    if output_shape is not None:
        sides = integers(output_shape)[2:]
    elif pad_type == "same":
        sides = tuple(size * step for size, step in zip(x.shape[2:], steps, strict=True))
    else:
        sides = ()
    if pad_type == "same":
        cut = [max(0, r - step) for r, step in zip(reach, steps, strict=True)]
        pads = [(one // 2, one - one // 2) for one in cut]
    else:
        pads = _pads(pad_type, pad, x.shape[2:], weight.shape[2:], steps, gaps)
    if sides:
        pads = [
            (before, whole - before - side)
            for (before, _), whole, side in zip(pads, full, sides, strict=True)
        ]
    return kernels.conv_transpose(
        x, weight, bias, strides=steps, pads=pads, dilations=gaps, groups=int(groups)
    )


@operator("max_pool")
def max_pool(
    *,
    x: Array,
    kernel_sizes: Array,
    pad_type: str,
    strides: Array | None = None,
    pad: Array | None = None,
    ceil_mode: Array | bool = False,
) -> Array:
    """The largest value of each window."""
    kernel, steps, pads = _pool(x, kernel_sizes, pad_type, strides, pad, bool(ceil_mode))
    return kernels.max_pool(x, kernel=kernel, strides=steps, pads=pads)


@operator("avg_pool")
def avg_pool(
    *,
    x: Array,
    kernel_sizes: Array,
    pad_type: str,
    strides: Array | None = None,
    pad: Array | None = None,
    exclude_padding_from_average: Array | bool = False,
    ceil_mode: Array | bool = False,
) -> Array:
    """The mean of each window: of the whole of it, or of what is not padding.

    A window that hangs over because of `ceil_mode` is divided like any other, unlike in PyTorch,
    which never counts what hangs over (coremltools issue 2772).
    """
    kernel, steps, pads = _pool(x, kernel_sizes, pad_type, strides, pad, bool(ceil_mode))
    return kernels.avg_pool(
        x,
        kernel=kernel,
        strides=steps,
        pads=pads,
        exclude_padding=bool(exclude_padding_from_average),
    )


def _pool(
    x: Array,
    kernel_sizes: Array,
    pad_type: str,
    strides: Array | None,
    pad: Array | None,
    ceil_mode: bool,
) -> tuple[tuple[int, ...], tuple[int, ...], Pads]:
    """Kernel, strides, and the pads that reach to the end of the last window.

    With `ceil_mode` sizes are rounded up, but with padding no window begins in that after the end.
    """
    rank = x.ndim - 2
    kernel, steps = integers(kernel_sizes), _each(strides, rank, 1)
    pads = _pads(pad_type, pad, x.shape[2:], kernel, steps, (1,) * rank)
    if not ceil_mode:
        return kernel, steps, pads
    if pad_type not in ("valid", "custom") or any(one != other for one, other in pads):
        undefined("ceil_mode with pads that are not alike on both sides")
    longer = []
    for size, side, step, (before, after) in zip(x.shape[2:], kernel, steps, pads, strict=True):
        places = -(-(size + before + after - side) // step) + 1
        if (places - 1) * step >= size + before:
            if before + after == 0:
                undefined("a window of ceil_mode that holds nothing")
            places -= 1
        longer.append((before, max(after, (places - 1) * step + side - size - before)))
    return kernel, steps, longer


def _pads(
    pad_type: str,
    pad: Array | None,
    space: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pads:
    """(before, after) for each spatial axis; `pad` counts for ``custom`` only."""
    if pad_type == "valid":
        return [(0, 0)] * len(space)
    if pad_type in ("same", "same_lower"):
        lower = pad_type == "same_lower"
        return kernels.same_pads(space, kernel, strides, dilations, lower=lower)
    if pad_type != "custom" or pad is None:
        undefined(f"pad_type {pad_type!r}{'' if pad is not None else ' without a pad'}")
    numbers = _each(pad, 2 * len(space), 0)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _each(values: Array | None, count: int, default: int) -> tuple[int, ...]:
    numbers = (default,) * count if values is None else integers(values)
    if len(numbers) != count:
        raise ValueError(f"{count} numbers expected for its spatial axes, not {len(numbers)}")
    return numbers
