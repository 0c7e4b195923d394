"""Assignment and loss of detectors: against a plain twin, finite differences and torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from silverprint import _core
from support.detection_twin import Level, Twin, centres

Floats = npt.NDArray[np.float32]

LEVELS: list[Level] = [(8.0, 12, 16), (16.0, 6, 8), (32.0, 3, 4)]
WIDE, HIGH = 128, 96


@dataclass(frozen=True)
class Batch:
    logits: Floats
    distances: Floats
    boxes: list[Floats]
    labels: list[npt.NDArray[np.int32]]

    @property
    def truth(self) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int32]]:
        counts = np.array([len(boxes) for boxes in self.boxes], np.int64)
        return counts, np.vstack(self.boxes), np.concatenate(self.labels)


def random_batch(seed: int, counts: tuple[int, ...] = (5, 0, 12, 1), classes: int = 3) -> Batch:
    """Predictions that are often near a box, as in a head that has learnt something."""
    rng = np.random.default_rng(seed)
    points, strides = centres(LEVELS)
    logits = rng.normal(-2, 2, (len(counts), len(points), classes))
    distances = np.exp(rng.normal(0.7, 0.6, (len(counts), len(points), 4))) * strides[:, None]
    boxes, labels = [], []
    for picture, count in enumerate(counts):
        size = np.exp(rng.uniform(np.log(3), np.log(90), (count, 2)))
        low = rng.uniform(0, 1, (count, 2)) * (np.array([WIDE, HIGH]) - size)
        own = np.hstack([low, low + size]).astype(np.float32)
        for box in own:
            cells = np.flatnonzero((points > box[:2]).all(1) & (points < box[2:]).all(1))
            cells = cells[rng.random(len(cells)) < 0.5]
            exact = np.hstack([points[cells] - box[:2], box[2:] - points[cells]])
            distances[picture, cells] = exact * np.exp(rng.normal(0, 0.2, exact.shape))
        boxes.append(own.reshape(-1, 4))
        labels.append(rng.integers(0, classes, count).astype(np.int32))
    return Batch(logits.astype(np.float32), distances.astype(np.float32), boxes, labels)


def evaluate(
    batch: Batch, threads: int = 0
) -> tuple[float, float, Floats, Floats, npt.NDArray[np.int32], Floats]:
    """Both losses, both derivatives, owners and targets."""
    loss = _core.detect.DetectionLoss(LEVELS, batch.logits.shape[2], threads)
    values = loss.evaluate(batch.logits, batch.distances, *batch.truth)
    return (*values, *loss.assignment())


def single(boxes: list[list[float]], labels: list[int] | None = None, classes: int = 1) -> Batch:
    """One picture whose cells all predict a box of 4 by 4 strides, and the same score."""
    points, strides = centres(LEVELS)
    return Batch(
        np.zeros((1, len(points), classes), np.float32),
        np.repeat(2 * strides[None, :, None], 4, axis=2).astype(np.float32),
        [np.asarray(boxes, np.float32).reshape(-1, 4)],
        [np.asarray(labels or [0] * len(boxes), np.int32)],
    )


def owned_by_level(owners: npt.NDArray[np.int32], box: int = 0) -> list[int]:
    ends = np.cumsum([0] + [width * height for _, height, width in LEVELS])
    return [int((owners[0, a:b] == box).sum()) for a, b in pairwise(ends)]


@pytest.mark.parametrize("seed", range(25))
def test_assignment_is_that_of_the_twin(seed: int) -> None:
    batch, twin = random_batch(seed), Twin(LEVELS, 3)
    *_, owners, targets = evaluate(batch)
    for picture, (boxes, labels) in enumerate(zip(batch.boxes, batch.labels, strict=True)):
        golden = twin.assign(
            batch.logits[picture].astype(float),
            batch.distances[picture].astype(float),
            boxes.astype(float),
            labels,
        )
        np.testing.assert_array_equal(owners[picture], golden[0])
        np.testing.assert_allclose(targets[picture], golden[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_loss_is_that_of_the_twin(seed: int) -> None:
    batch = random_batch(seed)
    classification, box, *_, owners, targets = evaluate(batch)
    golden = Twin(LEVELS, 3).loss(
        batch.logits.astype(float), batch.distances.astype(float), owners.astype(np.int64),
        targets.astype(float), [b.astype(float) for b in batch.boxes], batch.labels,
    )  # fmt: skip
    assert (classification, box) == pytest.approx(golden, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_are_those_of_finite_differences(seed: int) -> None:
    """Of classification + 2 * box for constant targets, at the cells with a box and at others."""
    batch, twin, rng = random_batch(seed), Twin(LEVELS, 3), np.random.default_rng(seed)
    _, _, by_logits, by_distances, owners, targets = evaluate(batch)
    inputs = batch.logits.astype(float), batch.distances.astype(float)
    boxes = [b.astype(float) for b in batch.boxes]

    def total() -> float:
        own = owners.astype(np.int64), targets.astype(float)
        classification, box = twin.loss(*inputs, *own, boxes, batch.labels)
        return classification + 2 * box

    with_box = np.argwhere(owners >= 0)
    assert len(with_box) > 40
    cells = np.vstack([rng.permutation(with_box)[:25], np.argwhere(owners < 0)[::40]])
    for values, found in zip(inputs, (by_logits, by_distances), strict=True):
        for picture, cell in cells:
            for k in range(values.shape[2]):
                place, step = (picture, cell, k), 1e-5
                value = values[place]
                values[place] = value + step
                above = total()
                values[place] = value - step
                slope = (above - total()) / (2 * step)
                values[place] = value
                assert found[place] == pytest.approx(slope, rel=1e-4, abs=1e-7)
    assert not by_distances[owners < 0].any()


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_are_those_of_torch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    batch = random_batch(seed, counts=(9, 3))
    classification, box, by_logits, by_distances, owners, targets = evaluate(batch)
    logits = torch.from_numpy(batch.logits).double().requires_grad_()
    distances = torch.from_numpy(batch.distances).double().requires_grad_()
    points = torch.from_numpy(centres(LEVELS)[0])
    total = max(1.0, float(targets.astype(float).sum()))
    wanted, truth = torch.zeros_like(logits), torch.zeros_like(distances)
    for picture, cell in np.argwhere(owners >= 0):
        own = owners[picture, cell]
        wanted[picture, cell, batch.labels[picture][own]] = float(targets[picture, cell])
        truth[picture, cell] = torch.from_numpy(batch.boxes[picture][own].astype(float))

    weight = torch.where(wanted > 0, wanted, 0.75 * logits.sigmoid() ** 2)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    golden_class = (weight * entropy).sum() / total

    found = torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)
    low, high = torch.maximum(found, truth), torch.minimum(found, truth)
    shared = (high[..., 2:] - low[..., :2]).clamp(min=0).prod(-1)
    union = (found[..., 2:] - found[..., :2]).prod(-1) - shared
    union = union + (truth[..., 2:] - truth[..., :2]).prod(-1)
    hull = (low[..., 2:] - high[..., :2]).prod(-1)
    cost = torch.from_numpy(targets).double() * (1 - shared / union + (hull - union) / hull)
    golden_box = cost[torch.from_numpy(owners >= 0)].sum() / total

    (golden_class + 2 * golden_box).backward()
    assert classification == pytest.approx(golden_class.item(), rel=1e-6)
    assert box == pytest.approx(golden_box.item(), rel=1e-6)
    np.testing.assert_allclose(by_logits, logits.grad.numpy(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(by_distances, distances.grad.numpy(), rtol=1e-5, atol=1e-9)


def test_pictures_without_boxes_are_negatives() -> None:
    """Each score costs -0.75 p^2 log(1 - p), over 1 since there are no targets."""
    *_, by_distances, owners, targets = values = evaluate(single([]))
    cells = owners.size
    assert values[0] == pytest.approx(cells * 0.75 * 0.25 * np.log(2), rel=1e-6)
    assert values[1] == 0
    assert (owners == -1).all()
    assert not targets.any()
    assert not by_distances.any()


def test_ten_cells_at_most_answer_for_a_box() -> None:
    *_, owners, targets = evaluate(single([[10, 10, 110, 90]]))
    assert (owners == 0).sum() == 10
    assert ((targets > 0) == (owners == 0)).all()


def test_a_tiny_box_has_cells_around_it_on_every_level() -> None:
    """No centre of a cell lies in it; those within one cell of its centre are candidates."""
    *_, owners, targets = evaluate(single([[36.5, 37, 39.5, 39]]))
    assert owned_by_level(owners) == [4, 4, 2]
    assert targets.max() < 0.05  # as little as they overlap now


def test_a_thin_box_has_cells_within_it_and_around_its_centre() -> None:
    """Sixteen to one: 112 by 7 pixels."""
    *_, owners, _ = evaluate(single([[8, 40.5, 120, 47.5]]))
    cells = np.flatnonzero(owners[0] == 0)
    assert len(cells) == 10
    points, strides = centres(LEVELS)
    within = (points[cells, 1] > 40.5) & (points[cells, 1] < 47.5)
    around = (np.abs(points[cells] - [64, 44]) <= strides[cells, None]).all(1)
    assert (within | around).all()
    assert within.any()
    assert around.any()


def test_the_best_cell_has_the_best_overlap_as_its_target() -> None:
    batch = random_batch(3, counts=(4,))
    *_, owners, targets = evaluate(batch)
    boxes = Twin(LEVELS, 3).predicted(batch.distances[0].astype(float))
    for box in range(4):
        own = np.flatnonzero(owners[0] == box)
        best = max(
            _core.detect.iou(
                boxes[cell].astype(np.float32).reshape(1, 4), batch.boxes[0][box].reshape(1, 4)
            )
            for cell in own
        )
        assert targets[0, own].max() == pytest.approx(best, rel=1e-5)


def test_a_cell_wanted_twice_goes_to_the_box_it_fits_better() -> None:
    left, right = [40.0, 40.0, 72.0, 72.0], [50.0, 40.0, 82.0, 72.0]
    *_, owners, _ = evaluate(single([left, right]))
    *_, alone, _ = evaluate(single([left]))
    lost = np.flatnonzero((alone[0] == 0) & (owners[0] == 1))
    assert len(lost)
    assert (owners[0] == 0).any()
    boxes = Twin(LEVELS, 1).predicted(single([]).distances[0].astype(float))
    for cell in lost:
        mine, other = (
            _core.detect.iou(boxes[cell : cell + 1].astype(np.float32), np.float32([box]))
            for box in (left, right)
        )
        assert other > mine


def test_a_better_score_counts_for_the_box_too() -> None:
    left, right = [40.0, 40.0, 72.0, 72.0], [50.0, 40.0, 82.0, 72.0]
    batch = single([left, right], labels=[0, 1], classes=2)
    before = (evaluate(batch)[4] == 1).sum()
    batch.logits[..., 1] = 5.0
    assert (evaluate(batch)[4] == 1).sum() > before


def test_of_equal_boxes_the_first_has_the_cells() -> None:
    *_, owners, _ = evaluate(single([[40.0, 40.0, 72.0, 72.0]] * 2))
    assert set(owners[0]) == {-1, 0}


def test_only_the_label_of_the_box_is_wanted() -> None:
    *_, by_logits, _, owners, _ = evaluate(single([[40, 40, 72, 72]], labels=[1], classes=3))
    cells = owners[0] == 0
    assert (by_logits[0, cells][:, [0, 2]] > 0).all()
    assert (by_logits[0, ~cells] > 0).all()
    assert (np.abs(by_logits[0, cells, 1] - by_logits[0, cells, 0]) > 1e-4).all()


def test_boxes_beyond_the_picture_do_no_harm() -> None:
    *_, owners, _ = evaluate(single([[-500, -500, 900, 900], [300, 300, 320, 320]]))
    assert (owners == 0).sum() == 10
    assert not (owners == 1).any()


@pytest.mark.parametrize("x", [-200.0, -90.0, -30.0, -4.0, -1e-6, 0.0, 0.5, 8.0, 17.0, 90.0, 1e6])
def test_scores_of_any_size(x: float) -> None:
    batch = single([])
    batch.logits[...] = x
    classification, _, by_logits, *_ = evaluate(batch)
    wide = np.float64(np.float32(x))
    p, soft = 1 / (1 + np.exp(-max(wide, -700.0))), np.logaddexp(0, wide)
    cells = by_logits.size
    assert classification == pytest.approx(cells * 0.75 * p**2 * soft, rel=1e-6, abs=1e-30)
    slope = 0.75 * p**2 * (2 * (1 - p) * soft + p)
    assert by_logits[0, 0, 0] == pytest.approx(slope, rel=1e-5, abs=1e-30)


def test_a_score_that_is_no_number_shows_in_the_loss() -> None:
    batch = random_batch(0)
    batch.logits[2, 7, 1] = np.nan
    assert np.isnan(evaluate(batch)[0])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_equal_bytes_for_any_number_of_threads(threads: int) -> None:
    batch = random_batch(1, counts=(5, 3, 0, 8, 1, 2, 9))
    one, many = evaluate(batch, 1), evaluate(batch, threads)
    assert one[:2] == many[:2]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one[2:], many[2:], strict=True))


def test_one_loss_serves_batches_of_different_sizes() -> None:
    loss = _core.detect.DetectionLoss(LEVELS, 3)
    for counts in [(5, 2), (1,), (0, 7, 3)]:
        batch = random_batch(4, counts)
        values = loss.evaluate(batch.logits, batch.distances, *batch.truth)
        assert values[:2] == evaluate(batch)[:2]
        assert loss.assignment()[0].shape == (len(counts), loss.cells)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": np.zeros((4, 252, 2), np.float32)}, "logits: expected"),
        ({"logits": np.zeros((4, 251, 3), np.float32)}, "logits: expected"),
        ({"distances": np.zeros((4, 252, 3), np.float32)}, "distances: expected"),
        ({"counts": np.array([5, 0, 12, 2], np.int64)}, "counts: not those"),
        ({"labels": np.full(18, 3, np.int32)}, "a label outside"),
        ({"boxes": np.full((18, 4), np.nan, np.float32)}, "boxes: expected finite"),
    ],
)
def test_what_does_not_fit_is_an_error(change: dict[str, Any], message: str) -> None:
    batch = random_batch(0)
    counts, boxes, labels = batch.truth
    good = {"logits": batch.logits, "distances": batch.distances, "counts": counts,
            "boxes": boxes, "labels": labels}  # fmt: skip
    loss = _core.detect.DetectionLoss(LEVELS, 3)
    loss.evaluate(**good)
    with pytest.raises(ValueError, match=message):
        loss.evaluate(**{**good, **change})


@pytest.mark.parametrize(
    "levels", [[], [(8.0, 0, 3)], [(8.0, 3, 0)], [(0.0, 3, 3)], [(np.nan, 3, 3)]]
)
def test_levels_that_make_no_sense_are_errors(levels: list[Level]) -> None:
    with pytest.raises(ValueError, match="level"):
        _core.detect.DetectionLoss(levels, 3)
