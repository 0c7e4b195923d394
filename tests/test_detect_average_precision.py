"""Average precision: number for number what pycocotools computes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from silverprint import _core
from support.coco import GOLDEN, Case, Picture, adversarial_cases, coco_numbers, random_case

Floats = npt.NDArray[np.float64]

A = [0.0, 0.0, 10.0, 10.0]
B = [20.0, 20.0, 30.0, 40.0]


def measure(case: Case, threads: int = 0) -> dict[str, Any]:
    found = np.array([row for p in case.pictures for row in p.found]).reshape(-1, 6)
    truth = np.array([row for p in case.pictures for row in p.truth]).reshape(-1, 6)
    return _core.detect.average_precision(
        np.array([len(p.found) for p in case.pictures], np.int64),
        found[:, 2:].copy(),
        found[:, 0].astype(np.int32),
        found[:, 1].copy(),
        np.array([len(p.truth) for p in case.pictures], np.int64),
        truth[:, 2:].copy(),
        truth[:, 0].astype(np.int32),
        truth[:, 1].astype(np.uint8),
        case.classes,
        threads,
    )


def compare(case: Case, golden: dict[str, Any]) -> None:
    ours = measure(case)
    absent = ours["counts"] == 0
    for key in ("average", "recall", "precision", "scores"):
        if key in golden:
            values = ours[key]
            assert np.isnan(values[absent]).all(), f"{case.name}: {key} of absent classes"
            values = np.where(absent[:, None], -1.0, np.nan_to_num(values))
            np.testing.assert_allclose(
                values, golden[key], rtol=0, atol=1e-12, err_msg=f"{case.name}: {key}"
            )
    average = ours["average"][~absent]
    mean = [average[:, 0].mean(), average.mean()] if len(average) else [-1.0, -1.0]
    assert mean == pytest.approx(golden["mean"], abs=1e-12)


@pytest.mark.parametrize("case", adversarial_cases(), ids=lambda case: case.name)
def test_adversarial_cases_are_as_pycocotools_had_them(case: Case) -> None:
    """The numbers were written by support/coco.py with pycocotools 2.0.11."""
    compare(case, json.loads(GOLDEN.read_text(encoding="utf-8"))[case.name])


@pytest.mark.parametrize("case", adversarial_cases(), ids=lambda case: case.name)
def test_adversarial_cases_are_as_pycocotools_has_them(case: Case) -> None:
    pytest.importorskip("pycocotools")
    compare(case, coco_numbers(case))


@pytest.mark.parametrize("seed", range(40))
def test_random_cases_are_as_pycocotools_has_them(seed: int) -> None:
    """Odd seeds have scores of eight values, so that most are equal to others."""
    pytest.importorskip("pycocotools")
    case = random_case(seed)
    compare(case, coco_numbers(case))


@pytest.mark.parametrize("seed", [1, 2])
def test_so_are_crowded_pictures_with_over_a_hundred_boxes_of_a_class(seed: int) -> None:
    pytest.importorskip("pycocotools")
    case = random_case(seed, classes=1, pictures=6, most=120)
    assert max(len(picture.found) for picture in case.pictures) > 100
    compare(case, coco_numbers(case))


def test_by_hand() -> None:
    """Three boxes found, right, wrong, right, of two true ones: precision 1 up to recall 0.5 (51 of
    101 recalls), 2/3 beyond."""
    far = [50.0, 50.0, 60.0, 60.0]
    case = Case("hand", 1, [Picture([[0, 0.9, *A], [0, 0.8, *far], [0, 0.7, *B]],
                                    [[0, 0, *A], [0, 0, *B]])])  # fmt: skip
    ours = measure(case)
    assert ours["average"][0] == pytest.approx([(51 + 50 * 2 / 3) / 101] * 10, abs=1e-12)
    assert ours["precision"][0] == pytest.approx([1.0] * 51 + [2 / 3] * 50, abs=1e-12)
    assert ours["scores"][0].tolist() == [0.9] * 51 + [0.7] * 50
    assert ours["recall"][0].tolist() == [1.0] * 10
    assert ours["matches"].tolist() == [0, -1, 1]


def test_matches_name_the_true_box_of_each_found_one() -> None:
    pictures = [
        Picture([[0, 0.5, *B], [0, 0.9, *A], [1, 0.9, *A]], [[0, 0, *A]]),
        Picture([[0, 0.9, *A], [0, 0.8, *A], [0, 0.7, *B]], [[0, 1, *B], [0, 0, *A]]),
        Picture([[0, 0.5, *A]] * 101, [[0, 0, *A]]),
    ]
    matches = measure(Case("matches", 2, pictures))["matches"].tolist()
    assert matches[:3] == [-1, 0, -1]
    assert matches[3:6] == [2, -1, -2]  # a double is wrong, what lies in a crowd does not count
    assert matches[6:] == [3] + [-1] * 99 + [-2]  # nor does the 101st


def test_a_class_without_true_boxes_has_no_average() -> None:
    ours = measure(Case("absent", 2, [Picture([[0, 0.5, *A], [1, 0.5, *A]], [[0, 0, *A]])]))
    assert ours["average"][0].tolist() == pytest.approx([1.0] * 10)
    assert all(map(math.isnan, ours["average"][1]))
    assert ours["counts"].tolist() == [1, 0]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_equal_bytes_for_any_number_of_threads(threads: int) -> None:
    case = random_case(5, classes=9, pictures=30)
    one, many = measure(case, 1), measure(case, threads)
    for key, values in one.items():
        assert values.tobytes() == many[key].tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"found_counts": np.array([2], np.int64)}, "counts: not those of the boxes"),
        ({"found_counts": np.array([-1], np.int64)}, "counts: not those of the boxes"),
        ({"truth_counts": np.array([1, 0], np.int64)}, "as many pictures"),
        ({"found_scores": np.array([np.nan])}, "found_scores: not a number"),
        ({"found_scores": np.array([0.5, 0.5])}, "one score per found box"),
        ({"found_labels": np.array([1], np.int32)}, "a label outside"),
        ({"truth_labels": np.array([-1], np.int32)}, "a label outside"),
        ({"truth_labels": np.array([0, 0], np.int32)}, "one label per box"),
        ({"truth_crowd": np.zeros(0, np.uint8)}, "one crowd flag"),
        ({"found_boxes": np.array([[2.0, 0, 1, 1]])}, "found_boxes: expected finite boxes"),
        ({"truth_boxes": np.array([[0.0, 0, np.inf, 1]])}, "truth_boxes: expected finite boxes"),
        ({"truth_boxes": np.zeros((1, 5))}, r"truth_boxes: expected boxes \(n, 4\)"),
        ({"threads": -1}, "threads"),
    ],
)
def test_what_does_not_fit_is_an_error(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "found_counts": np.array([1], np.int64),
        "found_boxes": np.array([A]),
        "found_labels": np.zeros(1, np.int32),
        "found_scores": np.array([0.5]),
        "truth_counts": np.array([1], np.int64),
        "truth_boxes": np.array([A]),
        "truth_labels": np.zeros(1, np.int32),
        "truth_crowd": np.zeros(1, np.uint8),
        "classes": 1,
    }
    _core.detect.average_precision(**good)
    with pytest.raises(ValueError, match=message):
        _core.detect.average_precision(**{**good, **change})
