"""Non-maximum suppression: what the executor of exported Core ML files does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from silverprint import _core
from silverprint.export.coreml.execute.suppression import suppress as core_ml

Floats = npt.NDArray[np.float32]

A, NEAR_A, B = [0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 40]


def suppress(
    boxes: npt.ArrayLike, scores: npt.ArrayLike, score: float = 0.25, iou: float = 0.45, **more: int
) -> tuple[list[int], list[int], list[float]]:
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    values = np.asarray(scores, np.float32)
    index, label, best = _core.detect.suppress(corners, values, score, iou, **more)
    return index.tolist(), label.tolist(), best.tolist()


def random_boxes(seed: int, n: int, k: int) -> tuple[Floats, Floats]:
    """Edges in 256ths, so that centre and size of a box are exact; scores of few values."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 64, (n, 2)) / 64
    halves = rng.integers(0, 40, (n, 2)) / 256
    scores = rng.integers(0, 12, (n, k)) / 16 if seed % 2 else rng.random((n, k))
    boxes = np.hstack([centres - halves, centres + halves])
    return boxes.astype(np.float32), scores.astype(np.float32)


def test_the_weaker_of_two_overlapping_boxes_goes() -> None:
    found = suppress([NEAR_A, A, B], [[0.5], [0.75], [0.25]])
    assert found == ([1, 2], [0, 0], [0.75, 0.25])


def test_boxes_of_different_labels_do_not_suppress_each_other() -> None:
    assert suppress([NEAR_A, A], [[0.5, 0.25], [0.25, 0.75]]) == ([1, 0], [1, 0], [0.75, 0.5])


def test_a_box_has_the_first_of_its_best_labels() -> None:
    assert suppress([A], [[0.25, 0.5, 0.5]]) == ([0], [1], [0.5])


def test_the_least_score_itself_is_enough() -> None:
    assert suppress([A, B], [[0.25], [0.125]])[0] == [0]
    assert suppress([A, B], [[0.25], [0.125]], score=0.0)[0] == [0, 1]
    assert suppress([A], [[0.7]], score=0.7)[0] == []  # float32 has no 0.7: this is a little less


def test_boxes_that_overlap_by_the_threshold_stay() -> None:
    assert suppress([A, [0, 0, 10, 5]], [[0.5], [0.5]], iou=0.5)[0] == [0, 1]
    assert suppress([A, [0, 0, 10, 5]], [[0.5], [0.5]], iou=0.4999)[0] == [0]
    assert suppress([A, A], [[0.5], [0.5]], iou=1.0)[0] == [0, 1]


def test_a_suppressed_box_suppresses_nothing() -> None:
    chain = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
    assert suppress(chain, [[0.9], [0.8], [0.7]], iou=0.4)[0] == [0, 2]


def test_of_equal_scores_the_first_box_counts_first() -> None:
    assert suppress([A, NEAR_A, B], [[0.5], [0.5], [0.5]])[0] == [0, 2]
    assert suppress([NEAR_A, A, B], [[0.5], [0.5], [0.5]])[0] == [0, 2]


def test_only_the_best_are_considered_and_few_are_kept() -> None:
    boxes, scores = [A, NEAR_A, B, [50, 50, 60, 60]], [[0.9], [0.8], [0.7], [0.6]]
    assert suppress(boxes, scores, top=2)[0] == [0]
    assert suppress(boxes, scores, limit=2)[0] == [0, 2]
    assert suppress(boxes, scores, limit=0)[0] == []


def test_nothing_in_nothing_out() -> None:
    assert suppress(np.zeros((0, 4)), np.zeros((0, 3))) == ([], [], [])


def test_scores_that_are_no_numbers_do_not_count() -> None:
    nan = float("nan")
    assert suppress([A, B], [[nan, 0.5], [nan, nan]]) == ([0], [1], [0.5])


@pytest.mark.parametrize("seed", range(30))
def test_random_boxes_are_suppressed_as_by_core_ml(seed: int) -> None:
    boxes, scores = random_boxes(seed, n=400, k=3)
    centred = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
    for score, iou in [(0.25, 0.45), (0.0, 0.0), (0.5, 0.6), (0.01, 1.0)]:
        golden = core_ml(
            scores, centred, iou_threshold=iou, confidence_threshold=score, per_class=True
        )
        index, label, best = suppress(boxes, scores, score, iou, top=400, limit=400)
        assert index == golden.tolist()
        assert label == scores[golden].argmax(axis=1).tolist()
        assert best == scores[golden].max(axis=1).tolist()


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 1)), r"boxes \(n, 4\)"),
        (np.zeros((2, 4)), np.zeros((3, 1)), "scores: expected"),
        (np.zeros((2, 4)), np.zeros(2), "scores: expected"),
        (np.full((1, 4), np.nan), np.zeros((1, 1)), "finite boxes"),
    ],
)
def test_what_does_not_fit_is_an_error(boxes: Floats, scores: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.detect.suppress(boxes.astype(np.float32), scores.astype(np.float32), 0.25, 0.45)
