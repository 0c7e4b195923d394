"""What a fit learns from: views beside each picture, and never a part of a held-out group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from silverprint.classifier.fit import Fit
from silverprint.classifier.parameters import LogisticRegressor, MultilayerPerceptron
from silverprint.classifier.problem import FOLDS, Problem, Rows
from silverprint.classifier.search import Search
from silverprint.data.splits import folds
from support.fitting_problems import (
    CANCEL,
    clusters,
    final_fit,
    fitted,
    scikit_learn_answers,
    searched,
    with_views,
)

PERCEPTRON = MultilayerPerceptron([32], l2=1e-3)
BY_HEART = LogisticRegressor(l2=1e-3)


def accuracy(answers: npt.NDArray[np.float32], given: Problem) -> float:
    return float((answers.argmax(axis=1) == given.truth).mean())


def without_sense(classifier: LogisticRegressor | MultilayerPerceptron) -> Problem:
    """200 pictures under two labels at random, with more features than pictures: what was seen is
    known by heart, and nothing else can be told."""
    truth = np.random.default_rng(3).integers(0, 2, 200).astype(np.int32)
    return clusters(200, 300, 2, truth=truth, spread=1000.0, classifier=classifier)


@pytest.mark.parametrize("most_for_folds", [5000, 199])
@pytest.mark.parametrize("classifier", [BY_HEART, PERCEPTRON])
def test_views_of_a_held_out_picture_train_no_head_that_answers_for_it(
    classifier: LogisticRegressor | MultilayerPerceptron,
    most_for_folds: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its views are the picture itself: a head that saw one would know the answer."""
    monkeypatch.setattr("silverprint.classifier.problem.MOST_FOR_FOLDS", most_for_folds)
    plain = without_sense(classifier)
    given = with_views(plain, np.repeat(plain.features[:, None], 3, axis=1))
    every = np.arange(200)
    assert accuracy(fitted(final_fit(given, every, 1e-3)).probabilities(plain.features), plain) == 1
    search = searched(given)
    right = search.answers.argmax(axis=1) == given.truth
    # Chance, four standard deviations either way.
    assert abs(right[search.held_out].mean() - 0.5) < 2 / np.sqrt(len(search.held_out))


def test_out_of_fold_answers_with_views_are_scikit_learns() -> None:
    """Two views count half a picture each, and the answer is for the picture as it is."""
    rng = np.random.default_rng(0)
    plain = clusters(spread=1.5, l2=0.03)
    moved = plain.features[:, None] + rng.normal(1, 2, (240, 2, 12)).astype(np.float32)
    given = with_views(plain, moved)
    fold = folds(given.digests, given.truth, 5, given.seed)
    search = searched(given)
    golden = scikit_learn_answers(given, 0.03, fold)
    np.testing.assert_allclose(search.answers, golden, atol=3e-3)
    assert np.abs(searched(plain).answers - golden).max() > 0.05, "the views made no difference"


@pytest.mark.parametrize("classifier", [LogisticRegressor(), PERCEPTRON])
def test_a_fit_with_one_view_each_is_one_to_twice_as_many_pictures(
    classifier: LogisticRegressor | MultilayerPerceptron,
) -> None:
    rng = np.random.default_rng(1)
    plain = clusters(60, classifier=classifier)
    given = with_views(plain, rng.normal(size=(60, 1, 12)).astype(np.float32))
    repeated = replace(
        given,
        positions=np.arange(120),
        views=0,
        truth=np.repeat(given.truth, 2),
        digests=[bytes([i]) for i in range(120)],
    )
    pictures = np.flatnonzero(np.arange(60) % 3 > 0)
    rows = np.flatnonzero(np.repeat(np.arange(60) % 3 > 0, 2))
    one = fitted(Fit(given, pictures, 0.1, final=True))
    other = fitted(Fit(repeated, rows, 0.1, final=True))
    assert one.iterations == other.iterations
    for x in (plain.features, given.features):
        np.testing.assert_array_equal(one.probabilities(x), other.probabilities(x))


def test_own_features_are_those_of_the_pictures_as_they_are() -> None:
    plain = clusters(30)
    given = with_views(plain, np.full((30, 5, 12), 99, np.float32))
    chosen = np.array([7, 0, 29])
    np.testing.assert_array_equal(given.own_features(chosen), plain.features[chosen])


def test_balanced_weights_count_pictures_with_their_views_once() -> None:
    """A view has its picture's weight, so views of all pictures change no balance."""
    truth = np.array([0] * 150 + [1] * 50, np.int32)
    balanced = LogisticRegressor(class_weights="balanced")
    plain = clusters(200, k=2, truth=truth, spread=4.0, classifier=balanced)
    copied = with_views(plain, np.repeat(plain.features[:, None], 2, axis=1))
    every = np.arange(200)
    one, other = (
        fitted(final_fit(given, every, 0.01)).probabilities(plain.features)
        for given in (plain, copied)
    )
    np.testing.assert_allclose(other, one, atol=2e-3)


@pytest.mark.parametrize("most_for_folds", [5000, 199])
def test_a_group_is_never_divided_between_training_and_held_out(
    most_for_folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of a group are nearly alike and have one label, drawn at random: a head that saw
    some of a group knows the others."""
    monkeypatch.setattr("silverprint.classifier.problem.MOST_FOR_FOLDS", most_for_folds)
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(50), 4)
    truth = rng.integers(0, 2, 50).astype(np.int32)[group]
    ungrouped = clusters(200, 300, 2, truth=truth, classifier=BY_HEART)
    alike = rng.normal(size=(50, 300))[group] + 0.01 * rng.normal(size=(200, 300))
    ungrouped = replace(ungrouped, features=alike.astype(np.float32))
    grouped = replace(ungrouped, groups=[f"group {i}" for i in group])

    divided = searched(ungrouped)
    seen = divided.held_out
    assert (divided.answers.argmax(axis=1) == truth)[seen].mean() > 0.9

    whole = searched(grouped)
    counts = np.bincount(group[whole.held_out], minlength=50)
    assert set(counts) <= {0, 4}
    assert len(whole.held_out) >= 20
    right = (whole.answers.argmax(axis=1) == truth)[whole.held_out]
    # Chance, four standard deviations of as many independent answers as there are groups.
    assert abs(right.mean() - 0.5) < 2 / np.sqrt((counts > 0).sum())


def test_groups_of_the_rows_that_take_part_are_the_ones_that_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A search over some of the pictures, as with `Split`, keeps their own groups together."""
    trained: list[npt.NDArray[np.int64]] = []

    def seen(problem: Problem, pictures: Rows, l2: float, *, final: bool) -> Fit:
        trained.append(pictures)
        return Fit(problem, pictures, l2, final=final)

    monkeypatch.setattr("silverprint.classifier.search.Fit", seen)
    group = np.random.default_rng(2).permutation(np.repeat(np.arange(30), 8))
    given = clusters(groups=[f"group {i}" for i in group], l2=0.1)
    rows = np.flatnonzero(group % 3 > 0)
    search = Search(given, rows)
    while search.step(CANCEL):
        pass
    assert len(trained) == FOLDS
    for pictures in trained:
        held = np.setdiff1d(rows, pictures)
        assert set(pictures) < set(rows)
        assert set(group[pictures]).isdisjoint(group[held])
    assert search.held_out.tolist() == rows.tolist()
