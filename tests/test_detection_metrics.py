"""How good a detector is: COCO's average precision, curves, each picture's result."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from silverprint.errors import InvalidParameterError
from silverprint.model.detection_metrics import AveragePrecision, ObjectDetectorMetrics
from silverprint.model.detection_results import FoundBoxes, ResultBox, TrueBoxes
from support.coco import Case, coco_numbers, random_case

LABELS = ("cat", "dog", "eel")
A, B, FAR = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 30.0, 40.0), (60.0, 60.0, 70.0, 70.0)

Found = tuple[int, float, tuple[float, ...]]
"""Label, score, box."""


def true(*boxes: tuple[int, tuple[float, ...]], crowd: bool = False) -> TrueBoxes:
    labels = np.array([label for label, _ in boxes], np.int64)
    corners = np.array([box for _, box in boxes], np.float32).reshape(-1, 4)
    return TrueBoxes(corners, labels, np.ones(len(boxes), np.bool_) if crowd else None)


def found(*boxes: Found) -> FoundBoxes:
    return FoundBoxes(
        np.array([box for _, _, box in boxes], np.float32).reshape(-1, 4),
        np.array([label for label, _, _ in boxes], np.int32),
        np.array([score for _, score, _ in boxes], np.float32),
    )


def sample(paths: Sequence[str] = ()) -> ObjectDetectorMetrics:
    """Two cats, of which one is found after a stranger; a dog that nobody finds; no eel."""
    truth = [true((0, A), (0, B)), true((1, A)), true()]
    given = [found((0, 0.5, FAR), (0, 0.75, A)), found(), found((0, 0.25, B), (1, 0.125, A))]
    return ObjectDetectorMetrics.measure(LABELS, truth, given, paths)


def from_case(case: Case) -> ObjectDetectorMetrics:
    truth, given = [], []
    for picture in case.pictures:
        t, f = (np.array(rows).reshape(-1, 6) for rows in (picture.truth, picture.found))
        truth.append(TrueBoxes(t[:, 2:], t[:, 0].astype(int), t[:, 1].astype(bool)))
        given.append(FoundBoxes(f[:, 2:], f[:, 0].astype(int), f[:, 1]))
    return ObjectDetectorMetrics.measure([str(i) for i in range(case.classes)], truth, given)


def test_average_precision_by_hand() -> None:
    """Of the two cats the surest box is one, so precision is 1 for 51 of 101 recalls."""
    metrics = sample()
    assert metrics.average_precision["cat"].iou50 == pytest.approx(51 / 101)
    assert metrics.average_precision["cat"].varied_iou == pytest.approx(51 / 101)
    assert metrics.average_precision["dog"] == AveragePrecision(0.0, 0.0)
    assert metrics.picture_count == 3
    assert metrics.box_counts == (2, 1, 0)


def test_labels_without_true_boxes_have_none_and_do_not_count_for_the_mean() -> None:
    metrics = sample()
    assert math.isnan(metrics.average_precision["eel"].iou50)
    assert metrics.mean_average_precision.iou50 == pytest.approx(51 / 101 / 2)
    nothing = ObjectDetectorMetrics.measure(LABELS, [true()], [found((0, 0.5, A))])
    assert math.isnan(nothing.mean_average_precision.iou50)
    assert math.isnan(nothing.mean_average_precision.varied_iou)


def test_looser_boxes_count_at_lower_overlaps_alone() -> None:
    """IoU 0.725 is enough for 0.50 to 0.70, five of ten."""
    loose = (0.0, 0.0, 10.0, 7.25)
    metrics = ObjectDetectorMetrics.measure(["cat"], [true((0, A))], [found((0, 0.5, loose))])
    average = metrics.average_precision["cat"]
    assert (average.iou50, average.varied_iou) == pytest.approx((1.0, 0.5))


@pytest.mark.parametrize("seed", range(8))
def test_numbers_are_pycocotools(seed: int) -> None:
    pytest.importorskip("pycocotools")
    case = random_case(seed)
    metrics, golden = from_case(case), coco_numbers(case)
    mean = metrics.mean_average_precision
    assert [mean.iou50, mean.varied_iou] == pytest.approx(golden["mean"], abs=1e-12)
    for label in range(case.classes):
        curve = metrics.precision_recall(str(label))
        points = len(curve)
        assert [p.precision for p in curve] == pytest.approx(golden["precision"][label][:points])
        assert [p.confidence for p in curve] == golden["scores"][label][:points]
        assert curve[-1].recall == math.floor(golden["recall"][label][0] * 100 + 1e-9) / 100


def test_the_curve_tells_which_confidence_gives_which_recall() -> None:
    metrics = ObjectDetectorMetrics.measure(
        ["cat"],
        [true((0, A), (0, B))],
        [found((0, 0.75, A), (0, 0.5, FAR), (0, 0.25, B))],
    )
    curve = metrics.precision_recall("cat")
    assert [point.recall for point in curve] == [i / 100 for i in range(101)]
    assert [point.confidence for point in curve] == [0.75] * 51 + [0.25] * 50
    assert [point.precision for point in curve] == pytest.approx([1.0] * 51 + [2 / 3] * 50)


def test_the_curve_ends_with_the_recall_reached() -> None:
    metrics = sample()
    assert metrics.precision_recall("cat")[-1].recall == 0.5
    assert metrics.precision_recall("eel") == ()
    with pytest.raises(InvalidParameterError, match=r"label='cow'.*one of cat, dog, eel"):
        metrics.precision_recall("cow")


def test_a_label_of_which_nothing_was_found_has_no_curve() -> None:
    metrics = ObjectDetectorMetrics.measure(["cat"], [true((0, A))], [found()])
    assert metrics.precision_recall("cat") == ()
    assert metrics.average_precision["cat"] == AveragePrecision(0.0, 0.0)


def test_results_of_each_picture_name_right_missed_and_wrong_boxes() -> None:
    first, second, third = sample(["a.jpg", "b.jpg", "c.jpg"]).per_picture
    assert first.path == "a.jpg"
    assert first.matched == (ResultBox("cat", A, 0.75),)
    assert first.missed == (ResultBox("cat", B, None),)
    assert first.false == (ResultBox("cat", FAR, 0.5),)
    assert (second.matched, second.missed, second.false) == ((), (ResultBox("dog", A, None),), ())
    assert third.false == (ResultBox("cat", B, 0.25),)  # the dog is below the threshold
    assert sample().per_picture == ()


def test_a_true_box_is_missed_if_only_unsure_boxes_find_it() -> None:
    args = ["cat"], [true((0, A))], [found((0, 0.2, A))], ["a.jpg"]
    (picture,) = ObjectDetectorMetrics.measure(*args).per_picture
    assert (len(picture.matched), len(picture.missed)) == (0, 1)
    (picture,) = ObjectDetectorMetrics.measure(*args, confidence_threshold=0.1).per_picture
    assert (len(picture.matched), len(picture.missed)) == (1, 0)


def test_crowds_are_neither_missed_nor_wrong() -> None:
    (picture,) = ObjectDetectorMetrics.measure(
        ["cat"], [true((0, B), crowd=True)], [found((0, 0.5, B), (0, 0.5, A))], ["a.jpg"]
    ).per_picture
    assert (picture.matched, picture.missed) == ((), ())
    assert picture.false == (ResultBox("cat", A, 0.5),)


def test_tables_become_data_frames() -> None:
    pytest.importorskip("pandas")
    table = sample().to_pandas()
    assert list(table.columns) == ["label", "iou50", "varied_iou", "boxes"]
    assert table.set_index("label").loc["cat", "boxes"] == 2
    assert len(sample().precision_recall("cat").to_pandas()) == 51


def test_they_return_from_json_without_their_pictures() -> None:
    for metrics in (sample(["a", "b", "c"]), from_case(random_case(3))):
        record = json.loads(json.dumps(metrics.to_json(), allow_nan=False))
        again = ObjectDetectorMetrics.from_json(metrics.labels, record)
        assert again == metrics
        assert repr(again) == repr(metrics)
        assert again.per_picture == ()


@pytest.mark.parametrize("damage", ["labels", "boxes", "precision", "average"])
def test_json_that_does_not_fit_is_damaged(damage: str) -> None:
    record = sample().to_json()
    if damage == "labels":
        record["classes"].pop()
    elif damage == "boxes":
        record["classes"][2]["boxes"] = 3
    elif damage == "precision":
        record["classes"][0]["precision"].pop()
    else:
        record["classes"][0]["average_precision"] = None
    with pytest.raises(ValueError, match="damaged"):
        ObjectDetectorMetrics.from_json(LABELS, record)


def test_the_repr_names_the_weakest_labels() -> None:
    assert repr(sample()) == (
        "mean average precision 0.252 at IoU 0.50, 0.252 at 0.50 to 0.95, "
        "on 3 pictures with 3 boxes\n"
        "label   iou50  varied_iou    boxes\n"
        "dog     0.000       0.000        1\n"
        "cat     0.505       0.505        2\n"
        "eel       nan         nan        0"
    )


def test_the_repr_of_many_labels_stays_short() -> None:
    labels = [f"label {i}" for i in range(30)]
    text = repr(ObjectDetectorMetrics.measure(labels, [true()], [found()]))
    assert len(text.splitlines()) == 13
    assert text.endswith("... and 20 labels with higher iou50")


def test_boxes_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ValueError, match="as many pictures"):
        ObjectDetectorMetrics.measure(LABELS, [true()], [])
    with pytest.raises(ValueError, match="a label outside"):
        ObjectDetectorMetrics.measure(LABELS, [true((3, A))], [found()])
    with pytest.raises(ValueError, match="finite boxes"):
        ObjectDetectorMetrics.measure(LABELS, [true((0, (math.nan, 0, 1, 1)))], [found()])
