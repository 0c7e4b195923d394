"""A multilayer perceptron in the search for l2 and in the final fit, and when fits end."""

from __future__ import annotations

import numpy as np
import pytest

from silverprint.classifier.parameters import (
    L2_GRID,
    MOST_PERCEPTRON_ITERATIONS,
    PERCEPTRON_L2_GRID,
    LogisticRegressor,
    MultilayerPerceptron,
)
from silverprint.classifier.problem import FOLDS
from support.fitting_problems import CANCEL, clusters, final_fit, fitted, searched

EVERY = np.arange(240)
SMALL = MultilayerPerceptron([8])
BOTH = pytest.mark.parametrize("classifier", [LogisticRegressor(l2=1e-3), SMALL])


@pytest.mark.parametrize("spread", [0.7, 3.0])
def test_auto_takes_the_l2_whose_own_search_has_the_least_log_loss(spread: float) -> None:
    """Fits of a perceptron start anew with each penalty, so the answers are the very same."""
    alone = {}
    for l2 in PERCEPTRON_L2_GRID:
        alone[l2] = searched(clusters(spread=spread, classifier=MultilayerPerceptron([8], l2)))
    losses = {l2: search.metrics_of(search.answers).log_loss for l2, search in alone.items()}
    search = searched(clusters(spread=spread, classifier=MultilayerPerceptron([8], "auto")))
    assert search.l2 == min(losses, key=losses.__getitem__)
    assert search.answers.tobytes() == alone[search.l2].answers.tobytes()
    assert search.total == len(PERCEPTRON_L2_GRID) * FOLDS
    assert search.done == search.total


def test_the_default_l2_is_not_searched_for() -> None:
    search = searched(clusters(classifier=SMALL))
    assert search.l2 == 0.02
    assert search.total == FOLDS
    assert search.held_out.tolist() == EVERY.tolist()


def test_out_of_fold_answers_of_both_kinds_are_about_as_good() -> None:
    """Clusters are a linear problem: the perceptron must not be far behind."""
    perceptron, linear = (
        searched(clusters(classifier=classifier)) for classifier in (SMALL, LogisticRegressor(0.1))
    )
    losses = [search.metrics_of(search.answers).log_loss for search in (perceptron, linear)]
    assert losses[0] < losses[1] + 0.1
    accuracies = [search.metrics_of(search.answers).accuracy for search in (perceptron, linear)]
    assert accuracies[0] > accuracies[1] - 0.05


def test_answers_come_from_perceptrons_that_never_saw_the_picture() -> None:
    truth = np.random.default_rng(3).integers(0, 2, 200).astype(np.int32)
    given = clusters(
        200, 300, 2, truth=truth, spread=1000.0, classifier=MultilayerPerceptron([16], 1e-3)
    )
    own = fitted(final_fit(given, np.arange(200), 1e-3)).probabilities(given.features)
    assert (own.argmax(axis=1) == truth).mean() == 1.0
    assert abs((searched(given).answers.argmax(axis=1) == truth).mean() - 0.5) < 0.15


def test_the_layers_of_the_head_are_those_asked_for() -> None:
    given = clusters(classifier=MultilayerPerceptron([9, 5]))
    head = fitted(final_fit(given, EVERY, 0.02)).head(1.5)
    assert [w.shape for w, _ in head.layers] == [(12, 9), (9, 5), (5, 4)]
    assert head.temperature == 1.5


def test_the_seed_decides_the_weights_that_a_perceptron_starts_from() -> None:
    """Negative and large seeds are seeds too."""
    found = {}
    for seed in (0, 1, -1, 2**70 + 5):
        given = clusters(classifier=SMALL, seed=seed)
        found[seed] = fitted(final_fit(given, EVERY, 0.02)).probabilities(given.features)
    assert len({answers.tobytes() for answers in found.values()}) == 4
    again = fitted(final_fit(clusters(classifier=SMALL), EVERY, 0.02))
    assert again.probabilities(given.features).tobytes() == found[0].tobytes()


def test_class_weights_reach_the_perceptron() -> None:
    truth = np.array([0] * 150 + [1] * 50, np.int32)
    share = []
    for weights in (None, {"label 1": 10.0}):
        classifier = MultilayerPerceptron([8], class_weights=weights)
        given = clusters(200, k=2, truth=truth, spread=6.0, classifier=classifier)
        fit = fitted(final_fit(given, np.arange(200), 0.02))
        share.append((fit.probabilities(given.features).argmax(axis=1) == 1).mean())
    assert share[1] > share[0] + 0.1


@BOTH
def test_max_iterations_bounds_each_fit_and_says_so(
    classifier: LogisticRegressor | MultilayerPerceptron,
) -> None:
    fit = fitted(final_fit(clusters(max_iterations=2, classifier=classifier), EVERY, 1e-3))
    assert fit.iterations == 2
    assert fit.stopped_early
    free = fitted(final_fit(clusters(classifier=classifier), EVERY, 1e-3))
    assert free.iterations > 2
    assert not free.stopped_early


@BOTH
def test_a_limit_that_is_just_enough_is_no_early_stop(
    classifier: LogisticRegressor | MultilayerPerceptron,
) -> None:
    needed = fitted(final_fit(clusters(classifier=classifier), EVERY, 0.1)).iterations
    for limit, stopped in ((needed, False), (needed - 1, True)):
        given = clusters(max_iterations=limit, classifier=classifier)
        fit = fitted(final_fit(given, EVERY, 0.1))
        assert (fit.iterations, fit.stopped_early) == (limit, stopped)


@BOTH
def test_max_iterations_holds_anew_for_each_l2_of_a_search(
    classifier: LogisticRegressor | MultilayerPerceptron,
) -> None:
    fit = final_fit(clusters(max_iterations=3, classifier=classifier), EVERY, 0.1)
    counts = []
    for l2 in (0.1, 1e-4):
        fit.set_l2(l2)
        steps = 1
        while fit.step(CANCEL):
            steps += 1
        counts.append(steps)
    assert counts[1] == 3
    assert counts[0] <= 3


def test_without_a_limit_a_perceptron_ends_at_one_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no early stop: nobody asked for another. The record says that it has not converged."""
    given = clusters(classifier=MultilayerPerceptron([16], 1e-4))
    usual = fitted(final_fit(given, EVERY, 1e-4))
    assert usual.converged
    assert 5 < usual.iterations < MOST_PERCEPTRON_ITERATIONS
    monkeypatch.setattr("silverprint.classifier.fit.MOST_PERCEPTRON_ITERATIONS", 5)
    short = fitted(final_fit(given, EVERY, 1e-4))
    assert (short.iterations, short.converged, short.stopped_early) == (5, False, False)


def test_both_grids_run_from_strong_to_weak() -> None:
    for grid in (L2_GRID, PERCEPTRON_L2_GRID):
        assert list(grid) == sorted(grid, reverse=True)
