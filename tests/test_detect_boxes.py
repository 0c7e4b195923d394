"""IoU and generalised IoU of boxes (Rezatofighi et al., CVPR 2019), and its derivatives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint import _core

detect = _core.detect

Floats = npt.NDArray[np.float64]

A = [0.0, 0.0, 10.0, 10.0]


def as_box(edges: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(edges, np.float32).reshape(1, 4)


def golden_giou(a: Floats, b: Floats) -> float:
    """By the definition: the hull is the smallest box around both."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared
    hull = (np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])).prod()
    return float(shared / union - (hull - union) / hull)


@pytest.mark.parametrize(
    ("box", "iou", "giou"),
    [
        (A, 1.0, 1.0),
        ([0, 0, 10, 5], 0.5, 0.5),
        ([5, 5, 15, 15], 25 / 175, 25 / 175 - 50 / 225),
        ([10, 0, 20, 10], 0.0, 0.0),  # side by side: the hull has no gap
        ([20, 0, 30, 10], 0.0, -1 / 3),
        ([2, 2, 8, 8], 0.36, 0.36),
        ([3, 3, 3, 9], 0.0, 0.0),  # an empty box inside
    ],
)
def test_overlap_by_hand(box: list[float], iou: float, giou: float) -> None:
    assert detect.iou(as_box(box), as_box(A)) == pytest.approx(iou)
    assert detect.iou(as_box(A), as_box(box)) == pytest.approx(iou)
    assert detect.giou(as_box(box), as_box(A))[0] == pytest.approx(giou)


def test_empty_boxes_do_not_overlap() -> None:
    point, other = as_box([1, 1, 1, 1]), as_box([2, 1, 2, 1])
    assert detect.iou(point, point) == 0
    assert detect.giou(point, point)[0] == 0
    assert detect.giou(point, other)[0] == 0
    assert detect.giou(point, as_box([2, 3, 2, 3]))[0] == -1
    assert not detect.giou(point, other)[1].any()


# On a grid of halves, so that a step of 1e-3 moves no edge over another one.
edges = st.integers(-40, 40).map(lambda i: i / 2)
sizes = st.integers(1, 80).map(lambda i: i / 2)


@settings(max_examples=200, deadline=None)
@given(a=st.tuples(edges, edges, sizes, sizes), b=st.tuples(edges, edges, sizes, sizes))
def test_derivatives_are_those_of_finite_differences(
    a: tuple[float, ...], b: tuple[float, ...]
) -> None:
    """Away from coinciding edges: the second box is moved by a quarter."""
    box = np.array([a[0], a[1], a[0] + a[2], a[1] + a[3]])
    other = np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]]) + 0.25
    value, by = detect.giou(as_box(box), as_box(other))
    assert value == pytest.approx(golden_giou(box, other), abs=1e-12)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-4
        slope = (golden_giou(box + step, other) - golden_giou(box - step, other)) / 2e-4
        assert by[i] == pytest.approx(slope, abs=1e-6)


def test_boxes_apart_are_drawn_together() -> None:
    """IoU is 0 there and has no slope; GIoU has one."""
    _, by = detect.giou(as_box([0, 0, 10, 10]), as_box([30, 0, 40, 10]))
    assert by[2] > 0
    assert by[0] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        [[3, 0, 1, 1]],
        [[0, 0, np.nan, 1]],
        [[0, 0, np.inf, 1]],
        [[0, 0, 1]],
        [[0, 0, 1, 1], [0, 0, 1, 1]],
    ],
)
def test_what_is_no_box_is_an_error(wrong: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"x0 <= x1|\(n, 4\)|one box"):
        detect.iou(np.array(wrong, np.float32), as_box(A))
