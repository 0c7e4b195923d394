"""Clusters to fit heads to, without pictures, and scikit-learn's answers on the same folds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from silverprint import _core
from silverprint.classifier.fit import Fit
from silverprint.classifier.parameters import LogisticRegressor, MultilayerPerceptron
from silverprint.classifier.problem import Problem, Rows
from silverprint.classifier.search import Search

CANCEL = _core.runtime.CancelToken()

Floats = npt.NDArray[np.float32]


def clusters(
    n: int = 240,
    d: int = 12,
    k: int = 4,
    *,
    spread: float = 1.2,
    l2: float | str = "auto",
    classifier: LogisticRegressor | MultilayerPerceptron | None = None,
    max_iterations: int | None = None,
    truth: npt.NDArray[np.int32] | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Problem:
    """Clusters that overlap, one for each label; features of very different scale."""
    rng = np.random.default_rng(11)
    if truth is None:
        truth = (np.arange(n) % k).astype(np.int32)
    centres = rng.normal(size=(k, d))
    features = (centres[truth] + spread * rng.normal(size=(n, d))).astype(np.float32)
    return Problem(
        features * np.linspace(0.1, 10, d, dtype=np.float32),
        np.arange(len(truth)),
        0,
        truth,
        [hashlib.sha256(row.tobytes()).digest() for row in features],
        groups,
        tuple(f"label {i}" for i in range(k)),
        classifier or LogisticRegressor(l2=l2),  # type: ignore[arg-type]
        max_iterations,
        seed,
    )


def with_views(given: Problem, views: npt.NDArray[np.float32]) -> Problem:
    """The same pictures with these views of each, (n, v, d)."""
    rows = np.concatenate([given.features[:, None], views], axis=1)
    return Problem(
        rows.reshape(-1, rows.shape[2]),
        given.positions,
        views.shape[1],
        given.truth,
        given.digests,
        given.groups,
        given.labels,
        given.classifier,
        given.max_iterations,
        given.seed,
    )


def final_fit(given: Problem, rows: Rows, l2: float) -> Fit:
    """The fit that becomes a model's head, before its first step."""
    return Fit(given, rows, l2, final=True)


def searched(given: Problem) -> Search:
    search = Search(given, np.arange(len(given.truth)))
    while search.step(CANCEL):
        pass
    return search


def fitted(fit: Fit) -> Fit:
    while fit.step(CANCEL):
        pass
    return fit


def scikit_learn_answers(
    given: Problem, l2: float, fold: npt.NDArray[np.int16]
) -> npt.NDArray[np.float64]:
    """Out-of-fold probabilities by scikit-learn, at its own tight optimum."""
    answers = np.zeros((len(given.truth), len(given.labels)))
    rows = given.features.astype(np.float64).reshape(len(fold), 1 + given.views, -1)
    for held in (fold == i for i in range(5)):
        seen = rows[~held].reshape(-1, rows.shape[2])
        scaler = StandardScaler().fit(seen)
        # A picture counts as much as its views together.
        share = [1.0] + [1 / given.views] * given.views if given.views else [1.0]
        weights = np.tile(share, np.sum(~held))
        labels = np.repeat(given.truth[~held], 1 + given.views)
        # sum of losses * C + |W|²/2, against mean loss + l2/2 |W|²
        model = LogisticRegression(C=1 / (l2 * weights.sum()), tol=1e-8, max_iter=10_000)
        model.fit(scaler.transform(seen), labels, sample_weight=weights)
        answers[held] = model.predict_proba(scaler.transform(rows[held, 0]))
    return answers
