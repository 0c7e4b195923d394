"""How good a classifier is, in numbers: checked against scipy and scikit-learn."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from scipy.stats import binomtest

from silverprint.errors import InvalidParameterError
from silverprint.model.metrics import ClassifierMetrics

LABELS = ("cat", "dog", "eel")


def measure(
    rows: list[list[float]], truth: list[int], paths: tuple[str, ...] = ()
) -> ClassifierMetrics:
    return ClassifierMetrics.measure(LABELS, np.asarray(truth), np.asarray(rows, np.float32), paths)


def random_case(
    seed: int, n: int = 400, k: int = 6
) -> tuple[tuple[str, ...], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Labels of which the last is never true and the one before it never answered."""
    rng = np.random.default_rng(seed)
    labels = tuple(f"label {i}" for i in range(k))
    truth = rng.integers(0, k - 1, n)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), truth] += 1.0
    scores[:, k - 2] = -9.0
    wide = np.exp(scores)
    return labels, truth, (wide / wide.sum(axis=1, keepdims=True)).astype(np.float32)


def test_accuracy_is_the_share_of_right_answers() -> None:
    metrics = measure([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3], [0.2, 0.2, 0.6]],
                      [0, 1, 1, 2])  # fmt: skip
    assert metrics.count == 4
    assert metrics.accuracy == 0.75
    assert metrics.classification_error == 0.25


@pytest.mark.parametrize(("right", "count"), [(0, 5), (1, 1), (7, 10), (81, 263), (500, 500)])
def test_the_interval_is_wilsons(right: int, count: int) -> None:
    rows = [[0.9, 0.1, 0.0]] * count
    metrics = measure(rows, [0] * right + [1] * (count - right))
    golden = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert metrics.accuracy_interval == pytest.approx((golden.low, golden.high), abs=1e-12)


def test_the_interval_of_a_published_example() -> None:
    """81 of 263: 0.255 to 0.366, Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    metrics = measure([[0.9, 0.1, 0.0]] * 263, [0] * 81 + [1] * 182)
    assert [round(bound, 4) for bound in metrics.accuracy_interval] == [0.2553, 0.3662]


def test_log_loss_is_scikit_learns() -> None:
    labels, truth, probabilities = random_case(0)
    truth[0] = 5  # scikit-learn takes the labels from what occurs
    metrics = ClassifierMetrics.measure(labels, truth, probabilities)
    wide = probabilities.astype(np.float64)
    golden = sklearn.metrics.log_loss(truth, wide / wide.sum(axis=1, keepdims=True))
    assert metrics.log_loss == pytest.approx(golden, rel=1e-6)


def test_an_impossible_label_costs_much_but_not_infinitely_much() -> None:
    metrics = measure([[1.0, 0.0, 0.0]], [1])
    assert metrics.log_loss == pytest.approx(-math.log(np.finfo(np.float32).eps))


def test_calibration_error_is_of_the_answers_given() -> None:
    """The most probable label's probability counts: 0.9, 0.9 and 0.5, of which 0.9 is wrong once.
    Parts of a fifteenth: two answers off by 0.9 - 0.5, one by 1 - 0.5."""
    rows = [[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.2, 0.3, 0.5]]
    metrics = measure(rows, [0, 0, 2])
    assert metrics.calibration_error == pytest.approx((2 * 0.4 + 0.5) / 3, abs=1e-6)
    assert metrics.confidence.threshold(0.5).count == 3


@pytest.mark.parametrize("seed", range(3))
def test_precision_recall_and_f1_are_scikit_learns(seed: int) -> None:
    labels, truth, probabilities = random_case(seed)
    metrics = ClassifierMetrics.measure(labels, truth, probabilities)
    golden = sklearn.metrics.precision_recall_fscore_support(
        truth, probabilities.argmax(axis=1), labels=range(6), zero_division=np.nan
    )
    found = [(row.precision, row.recall, row.f1, row.support) for row in metrics.precision_recall]
    np.testing.assert_allclose(np.transpose(found), golden, rtol=1e-12)
    assert [row.label for row in metrics.precision_recall] == list(labels)
    assert math.isnan(metrics.precision_recall[-2].precision)  # never answered
    assert math.isnan(metrics.precision_recall[-1].recall)  # never true


def test_a_label_neither_true_nor_answered_has_no_f1() -> None:
    eel = measure([[0.9, 0.1, 0.0]], [1]).precision_recall[2]
    assert all(map(math.isnan, (eel.precision, eel.recall, eel.f1)))
    assert eel.support == 0


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_top_k_is_scikit_learns(k: int) -> None:
    labels, truth, probabilities = random_case(7)
    metrics = ClassifierMetrics.measure(labels, truth, probabilities)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    assert metrics.top_k(k) == np.mean([t in row for t, row in zip(truth, order, strict=True)])
    if 1 < k < 6:
        golden = sklearn.metrics.top_k_accuracy_score(truth, probabilities, k=k, labels=range(6))
        assert metrics.top_k(k) == golden


def test_of_equal_probabilities_the_first_label_is_answered() -> None:
    equal = [[1 / 3, 1 / 3, 1 / 3]]
    ranks = [[measure(equal, [truth]).top_k(k) for k in (1, 2, 3)] for truth in (0, 1, 2)]
    assert ranks == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
    for truth in (0, 1, 2):
        metrics = measure(equal * 2 + [[0.2, 0.4, 0.4]], [truth, truth, truth])
        assert metrics.top_k(1) == metrics.accuracy


@pytest.mark.parametrize("k", [0, 4, True, 1.0, None])
def test_top_k_takes_a_number_of_labels(k: object) -> None:
    with pytest.raises(InvalidParameterError, match=r"k=.*whole number from 1 to 3"):
        measure([[0.9, 0.1, 0.0]], [1]).top_k(k)  # type: ignore[arg-type]


def test_confusion_lists_the_most_frequent_mistakes_first() -> None:
    cat, dog, eel = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]
    metrics = measure([cat, cat, dog, dog, dog, eel, cat], [0, 0, 0, 0, 1, 2, 2])
    assert metrics.confusion_matrix == ((2, 2, 0), (0, 1, 0), (1, 0, 1))
    rows = [(row.true_label, row.predicted, row.count) for row in metrics.confusion]
    assert rows == [
        ("cat", "dog", 2),
        ("eel", "cat", 1),
        ("cat", "cat", 2),
        ("dog", "dog", 1),
        ("eel", "eel", 1),
    ]


def test_mistakes_are_listed_surest_first_and_then_by_path() -> None:
    rows = [[0.6, 0.3, 0.1], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.6, 0.2, 0.2]]
    metrics = measure(rows, [1, 1, 1, 2], ("z.jpg", "b.jpg", "c.jpg", "a.jpg"))
    found = [(m.path, m.truth, m.answer, round(m.probability, 3)) for m in metrics.mistakes]
    assert found == [
        ("b.jpg", "dog", "cat", 0.9),
        ("a.jpg", "eel", "cat", 0.6),
        ("z.jpg", "dog", "cat", 0.6),
    ]
    assert measure(rows, [1, 1, 1, 2]).mistakes == ()


def test_paths_of_mistakes_are_text() -> None:
    metrics = ClassifierMetrics.measure(
        LABELS, np.array([1]), np.array([[1, 0, 0]], np.float32), [Path("a") / "b.jpg"]
    )
    assert metrics.mistakes[0].path == str(Path("a") / "b.jpg")


def test_tables_become_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    metrics = measure([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1]], [1, 1], ("a.jpg", "b.jpg"))
    table = metrics.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == ["label", "precision", "recall", "f1", "support"]
    assert table.set_index("label").loc["dog", "recall"] == 0.5
    assert list(metrics.confusion.to_pandas().columns) == ["true_label", "predicted", "count"]
    mistakes = metrics.mistakes.to_pandas()
    assert mistakes.to_dict("records") == [
        {"path": "a.jpg", "truth": "dog", "answer": "cat", "probability": pytest.approx(0.9)}
    ]


def test_they_return_from_json_without_their_paths() -> None:
    labels, truth, probabilities = random_case(3)
    metrics = ClassifierMetrics.measure(labels, truth, probabilities, map(str, range(400)))
    record = json.loads(json.dumps(metrics.to_json()))
    again = ClassifierMetrics.from_json(labels, record)
    assert again == metrics
    assert repr(again) == repr(metrics)
    assert again.mistakes == ()
    assert len(metrics.mistakes) == round(metrics.count * metrics.classification_error)


def test_the_repr_names_the_weakest_labels() -> None:
    rows = [[0.6, 0.3, 0.1], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.6, 0.2, 0.2]]
    assert repr(measure(rows, [0, 0, 1, 1])) == (
        "accuracy 0.750 (95 % interval 0.301 to 0.954) on 4 pictures, log loss 0.583, "
        "calibration error 0.100\n"
        "label  precision  recall  pictures\n"
        "dog      1.000   0.500         2\n"
        "cat      0.667   1.000         2\n"
        "eel        nan     nan         0"
    )


def test_the_repr_of_many_labels_stays_short() -> None:
    labels = [f"label {i}" for i in range(30)]
    probabilities = np.eye(30, dtype=np.float32)
    text = repr(ClassifierMetrics.measure(labels, np.arange(30), probabilities))
    assert len(text.splitlines()) == 13
    assert text.endswith("... and 20 labels with higher recall")
