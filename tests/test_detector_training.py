"""The training of a detection head, on maps that show where boxes are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from silverprint import _core
from silverprint.data.annotations.resolve import ResolvedBoxes
from silverprint.detector.boxes import centres_of, found_boxes
from silverprint.detector.head_training import DetectionProblem, HeadTraining, channel_statistics
from silverprint.detector.recipe import Recipe, recipe_for
from silverprint.model.detection_metrics import ObjectDetectorMetrics
from silverprint.model.detection_results import TrueBoxes

SIZE, CHANNELS = 256, 8
RECIPE = Recipe((8, 16, 32), False, 16, context=3, tower=1, rate=5e-3, steps=500, batch=8)
MAPS = {stride: (CHANNELS, SIZE // stride, SIZE // stride) for stride in RECIPE.strides}
TOKEN = _core.runtime.CancelToken()


def boxes(random: np.random.Generator, ratio: float) -> ResolvedBoxes:
    """One or two boxes of label 0, lying, and 1, standing; `ratio` is length to thickness."""
    count = int(random.integers(1, 3))
    labels = random.integers(0, 2, count).astype(np.int32)
    length = random.uniform(0.5, 0.8, count)
    thick = length / ratio
    sides = np.where(
        labels[:, None] == 0, np.stack([length, thick], 1), np.stack([thick, length], 1)
    )
    start = random.uniform(0, 1, (count, 2)) * (1 - sides)
    return ResolvedBoxes(
        np.concatenate([start, start + sides], 1).astype(np.float32), labels, 0, ()
    )


def row(found: ResolvedBoxes, random: np.random.Generator) -> np.ndarray[Any, Any]:
    """Maps with the share of each cell that each label covers, and noise."""
    parts = []
    for stride, (channels, height, width) in MAPS.items():
        values = 0.1 * random.standard_normal((channels, height, width))
        low = np.arange(width) * stride / SIZE
        high = low + stride / SIZE
        for (x0, y0, x1, y1), label in zip(found.edges, found.labels, strict=True):
            across = np.clip(np.minimum(high, x1) - np.maximum(low, x0), 0, None) * SIZE / stride
            down = np.clip(np.minimum(high, y1) - np.maximum(low, y0), 0, None) * SIZE / stride
            values[label] += np.outer(down, across)
            values[2] += np.outer(down, across) * x0
            values[3] += np.outer(down, across) * y0
        parts.append(values.ravel())
    return np.concatenate(parts).astype(np.float16)


def problem(count: int, ratio: float = 2.0, seed: int = 0) -> DetectionProblem:
    random = np.random.default_rng(seed)
    truth = [boxes(random, ratio) for _ in range(count)]
    rows = np.stack([row(one, random) for one in truth])[:, None]
    geometry = np.tile(np.asarray([0, 0, 1, 1, 0], np.float32), (count, 1, 1))
    return DetectionProblem(MAPS, rows, geometry, np.arange(count), truth, 2, (SIZE, SIZE))


def trained(made: DetectionProblem, steps: int | None = None, threads: int = 2) -> HeadTraining:
    training = HeadTraining(made, RECIPE, seed=3, threads=threads)
    while training.step(TOKEN) and training.iteration != steps:
        pass
    return training


def precision(training: HeadTraining, made: DetectionProblem) -> float:
    truth = [TrueBoxes(one.edges, one.labels) for one in made.boxes]
    found = list(training.found(made.rows[:, 0]))
    return ObjectDetectorMetrics.measure(
        ("lying", "standing"), truth, found
    ).mean_average_precision.iou50


@pytest.mark.parametrize(("ratio", "least"), [(2.0, 0.9), (16.0, 0.5)])
def test_boxes_are_learned_thin_ones_too(ratio: float, least: float) -> None:
    """The thin ones are 8 to 13 pixels of 256 thick: half as much off is an IoU below 0.5."""
    training = trained(problem(256, ratio))
    assert training.iteration == RECIPE.steps
    assert precision(training, problem(48, ratio, seed=1)) > least


def test_a_restored_training_goes_on_bit_for_bit() -> None:
    made = problem(24)
    whole = trained(made, 30)
    half = trained(made, 12)
    again = HeadTraining(made, RECIPE, seed=3)
    again.restore(half.state())
    while again.step(TOKEN) and again.iteration != 30:
        pass
    expected = whole.state()
    for name, values in again.state().arrays.items():
        np.testing.assert_array_equal(values, expected.arrays[name], err_msg=name)
    assert again.state().values == expected.values


def test_the_number_of_threads_changes_nothing() -> None:
    made = problem(24)
    states = [trained(made, 10, threads).state() for threads in (1, 2)]
    for name, values in states[0].arrays.items():
        np.testing.assert_array_equal(values, states[1].arrays[name], err_msg=name)


def test_pictures_without_boxes_are_kept_and_only_chosen_ones_are_read() -> None:
    made = problem(24)
    made.boxes[0] = ResolvedBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), 0, ())  # type: ignore[index]
    made.rows[7] = np.float16("nan")
    chosen = np.asarray([i for i in range(24) if i != 7])
    one = DetectionProblem(MAPS, made.rows, made.geometry, chosen, made.boxes, 2, (SIZE, SIZE))
    training = trained(one, 10)
    assert np.isfinite(training.loss)


def test_views_change_the_boxes_as_the_picture() -> None:
    box = np.asarray([0.2, 0.2, 0.6, 0.4], np.float32)
    mirrored = np.asarray([0, 0, 1, 1, 1], np.float32)
    np.testing.assert_allclose(
        _core.detect.seen_in_view(box, mirrored), [0.4, 0.2, 0.8, 0.4], atol=1e-6
    )
    cut = np.asarray([0.4, 0, 1.4, 1, 0], np.float32)  # half of the box is left of it
    seen = _core.detect.seen_in_view(box, cut)
    np.testing.assert_allclose(seen, [0, 0.2, 0.2, 0.4], atol=1e-6)
    more = np.asarray([0.45, 0, 1.45, 1, 0], np.float32)  # less than 0.4 of it is left
    assert _core.detect.seen_in_view(box, more) is None


def test_a_cancelled_step_changes_nothing() -> None:
    from silverprint.errors import TrainingCancelled

    training = trained(problem(8), 2)
    before = training.state()
    cancelled = _core.runtime.CancelToken()
    cancelled.cancel()
    with pytest.raises(TrainingCancelled):
        training.step(cancelled)
    after = training.state()
    assert after.values == before.values
    np.testing.assert_array_equal(after.arrays["parameters"], before.arrays["parameters"])


def test_the_recipe_follows_the_sizes_of_the_boxes() -> None:
    large = recipe_for(np.full((50, 2), 250.0))
    assert (large.strides, large.coarser) == ((16, 32), True)
    small = recipe_for(np.full((50, 2), 40.0))
    assert (small.strides, small.coarser) == ((8, 16, 32), False)
    both = recipe_for(np.concatenate([np.full((25, 2), 40.0), np.full((25, 2), 300.0)]))
    assert (both.strides, both.coarser) == ((8, 16, 32), True)


def test_channels_that_never_change_are_not_enlarged() -> None:
    rows = np.zeros((5, 1, 2 * 4), np.float16)
    rows[:, 0, :4] = np.random.default_rng(0).normal(3, 2, (5, 4))
    rows[:, 0, 4:] = 7
    mean, deviation = channel_statistics(rows, [(8, 2, 2, 2)])
    wide = rows[:, 0, :4].astype(np.float64)
    np.testing.assert_allclose(mean, [wide.mean(), 7], rtol=1e-3)
    assert deviation[0] == pytest.approx(wide.std(), rel=1e-3)
    assert deviation[1] >= 1e-6


def test_cells_and_boxes() -> None:
    centres = centres_of([(8, 2, 3), (16, 1, 2)])
    assert centres.tolist() == [
        [4, 4],
        [12, 4],
        [20, 4],
        [4, 12],
        [12, 12],
        [20, 12],
        [8, 8],
        [24, 8],
    ]
    corners = np.asarray([[-0.1, 0, 0.5, 0.5], [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    scores = np.asarray([[0.9, 0.1], [0.8, 0.1], [0.1, 0.2]])
    found = found_boxes(corners, scores, 0.15, 0.5)
    assert found.labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes, [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
