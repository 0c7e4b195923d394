"""How a head is fitted: the choice of l2, and answers for pictures that it never saw."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

import silverprint as sp
from silverprint.classifier.fit import Fit
from silverprint.classifier.parameters import L2_GRID, LogisticRegressor
from silverprint.classifier.problem import FOLDS, MOST_FOR_FOLDS, Problem
from silverprint.classifier.search import Search
from silverprint.data.splits import folds, held_out
from support.classifier_sets import draw, draw_set
from support.fitting_problems import (
    CANCEL,
    clusters,
    final_fit,
    fitted,
    scikit_learn_answers,
    searched,
)


@pytest.mark.parametrize("spread", [0.7, 1.2, 3.0])
def test_the_search_chooses_what_scikit_learn_finds_best_on_the_same_folds(spread: float) -> None:
    given = clusters(spread=spread)
    fold = folds(given.digests, given.truth, 5, given.seed)
    losses = {l2: log_loss(given.truth, scikit_learn_answers(given, l2, fold)) for l2 in L2_GRID}
    search = searched(given)
    assert search.l2 == min(losses, key=losses.__getitem__)
    golden = scikit_learn_answers(given, search.l2, fold)
    np.testing.assert_allclose(search.answers, golden, atol=3e-3)
    assert search.metrics_of(search.answers).log_loss == pytest.approx(losses[search.l2], abs=1e-3)


def test_the_answers_kept_are_those_of_the_chosen_l2() -> None:
    search = searched(clusters(spread=3.0))
    alone = searched(clusters(spread=3.0, l2=search.l2))
    assert alone.l2 == search.l2
    np.testing.assert_allclose(alone.answers, search.answers, atol=3e-3)


def test_a_given_l2_is_not_searched_for_but_gives_out_of_fold_answers() -> None:
    search = searched(clusters(l2=0.5))
    assert search.l2 == 0.5
    assert search.total == FOLDS
    assert search.held_out.tolist() == list(range(240))


def test_the_search_ends_after_two_worse_values_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    """Labels without any sense: the strongest penalty is the best and all others are worse."""
    truth = np.random.default_rng(5).integers(0, 4, 200).astype(np.int32)
    given = clusters(200, truth=truth, spread=50.0)
    with caplog.at_level(logging.DEBUG, "silverprint"):
        search = searched(given)
    assert search.l2 == L2_GRID[0]
    assert len(caplog.messages) == 3
    assert search.done == search.total == len(L2_GRID) * FOLDS


def test_progress_of_the_search_only_grows_to_its_total() -> None:
    search = Search(clusters(), np.arange(240))
    seen = [search.done]
    while search.step(CANCEL):
        seen.append(search.done)
    seen.append(search.done)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == search.total


def test_out_of_fold_answers_come_from_heads_that_never_saw_the_picture() -> None:
    """Random labels and more features than pictures: what was seen is known by heart."""
    truth = np.random.default_rng(3).integers(0, 2, 200).astype(np.int32)
    given = clusters(200, 300, 2, truth=truth, spread=1000.0, l2=1e-3)
    rows = np.arange(200)
    own = fitted(final_fit(given, rows, 1e-3)).probabilities(given.features).argmax(axis=1)
    assert (own == truth).mean() == 1.0
    search = searched(given)
    accuracy = (search.answers.argmax(axis=1) == truth).mean()
    assert 0.35 < accuracy < 0.65  # chance, four standard deviations either way


def test_validation_of_random_labels_is_near_chance_end_to_end(tmp_path: Path) -> None:
    """The same pictures under labels at random: training knows them, validation does not."""
    rng = np.random.default_rng(1)
    for i, label in enumerate(rng.permutation(["heads", "tails"] * 60)):
        draw(tmp_path / str(label) / f"{i}.png")
    parameters = sp.ModelParameters(classifier=sp.LogisticRegressor(l2=1e-4))
    model = sp.ImageClassifier(tmp_path, parameters, progress=False)
    assert model.training_metrics is not None
    assert model.validation_metrics is not None
    assert model.training_metrics.accuracy > 0.95
    assert model.validation_metrics.count == 120
    assert 0.3 < model.validation_metrics.accuracy < 0.7


def test_a_label_with_one_picture_is_never_held_out() -> None:
    truth = np.array([0] * 20 + [1] * 20 + [2], np.int32)
    search = searched(clusters(41, k=3, truth=truth))
    assert search.held_out.tolist() == list(range(40))
    assert search.metrics_of(search.answers).precision_recall[2].support == 0


def test_labels_of_one_picture_each_leave_nothing_to_hold_out() -> None:
    truth = np.arange(6, dtype=np.int32)
    search = searched(clusters(6, k=6, truth=truth))
    assert search.held_out.tolist() == []
    assert search.l2 in L2_GRID
    assert search.done == search.total


def test_a_label_absent_from_the_trained_rows_has_probability_0() -> None:
    given = clusters(l2=0.1)
    rows = np.flatnonzero(given.truth != 2)
    probabilities = fitted(Fit(given, rows, 0.1, final=True)).probabilities(given.features)
    assert probabilities.shape == (240, 4)
    assert probabilities.dtype == np.float32
    assert not probabilities[:, 2].any()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_one_label_left_is_certain() -> None:
    given = clusters()
    probabilities = Fit(given, np.flatnonzero(given.truth == 1), 0.1, final=True).probabilities(
        given.features[:5]
    )
    assert probabilities.tolist() == [[0, 1, 0, 0]] * 5


def test_above_the_most_for_folds_one_share_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("silverprint.classifier.problem.MOST_FOR_FOLDS", 239)
    given = clusters()
    search = searched(given)
    golden = np.flatnonzero(held_out(given.digests, given.truth, 1 / 5, given.seed))
    assert search.held_out.tolist() == golden.tolist()
    assert 30 <= len(golden) <= 66
    assert search.total == len(L2_GRID)
    monkeypatch.setattr("silverprint.classifier.problem.MOST_FOR_FOLDS", 240)
    assert len(searched(given).held_out) == 240


def test_5000_pictures_are_the_most_for_folds() -> None:
    assert MOST_FOR_FOLDS == 5000
    assert FOLDS == 5


def test_adding_pictures_leaves_the_folds_of_others() -> None:
    given = clusters(240)
    before = folds(given.digests[:200], given.truth[:200], 5)
    after = folds(given.digests, given.truth, 5)
    assert (after[:200] == before).all()
    assert set(before) == {0, 1, 2, 3, 4}


def test_another_seed_gives_other_folds() -> None:
    one, other = searched(clusters(l2=0.1)), searched(clusters(l2=0.1, seed=1))
    assert (one.answers != other.answers).any()
    again = searched(clusters(l2=0.1))
    assert again.answers.tobytes() == one.answers.tobytes()


def test_max_iterations_bounds_each_fit_and_says_so() -> None:
    given = clusters(max_iterations=2)
    fit = fitted(final_fit(given, np.arange(240), 1e-3))
    assert fit.stopped_early
    assert fit.iterations <= 2
    free = fitted(final_fit(clusters(), np.arange(240), 1e-3))
    assert not free.stopped_early
    assert free.iterations > 2


def test_a_limit_that_is_not_reached_is_no_early_stop() -> None:
    fit = fitted(final_fit(clusters(max_iterations=10_000), np.arange(240), 0.1))
    assert not fit.stopped_early


def test_a_model_stopped_early_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw_set(tmp_path)
    parameters = sp.ModelParameters(classifier=sp.LogisticRegressor(l2=1e-4), max_iterations=1)
    model = sp.ImageClassifier(tmp_path, parameters, progress=False)
    assert model.record.head["converged"] is False
    assert "max_iterations=1" in caplog.text
    assert "before the solver converged" in caplog.text


def test_class_weights_reach_the_objective() -> None:
    """Scikit-learn's class_weight, with the mean taken over the weights."""
    truth = np.array([0] * 150 + [1] * 50, np.int32)
    given = clusters(200, k=2, truth=truth, spread=4.0)
    weighted = replace(given, classifier=LogisticRegressor(class_weights={"label 1": 5.0}))
    rows = np.arange(200)
    found = fitted(final_fit(weighted, rows, 0.01)).probabilities(given.features)
    scaled = StandardScaler().fit_transform(given.features.astype(np.float64))
    total = 150 + 5 * 50
    # Two columns w/2 and -w/2 do the work of scikit-learn's one: |W|² is half of its |w|².
    model = LogisticRegression(C=2 / (0.01 * total), class_weight={1: 5.0}, tol=1e-9, max_iter=9999)
    model.fit(scaled, truth)
    np.testing.assert_allclose(found, model.predict_proba(scaled), atol=2e-3)


@pytest.mark.parametrize("noise", [0.001, 0.1])
def test_labels_that_are_easily_told_apart_take_few_iterations(noise: float) -> None:
    """The loss falls to where float32 gradients are rounding only; a fit must end there too."""
    rng = np.random.default_rng(0)
    truth = (np.arange(16) % 2).astype(np.int32)
    direction = rng.normal(size=800)
    features = np.where(truth[:, None] == 1, direction, -direction)
    easy = Problem(
        (features + noise * rng.normal(size=(16, 800))).astype(np.float32),
        np.arange(16),
        0,
        truth,
        [bytes([i]) for i in range(16)],
        None,
        ("no", "yes"),
        LogisticRegressor(),
        None,
        0,
    )
    fit = final_fit(easy, np.arange(16), L2_GRID[0])
    for l2 in L2_GRID:
        before = fit.iterations
        fit.set_l2(l2)
        while fit.iterations - before < 200 and fit.step(CANCEL):
            pass
        assert fit.iterations - before < 200, f"l2={l2}"
    assert (fit.probabilities(easy.features).argmax(axis=1) == truth).all()
