"""The linear probe: our own logistic regression on some pictures of the training part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prints.features import Features

Rows = npt.NDArray[np.int64]


def drawn(
    digests: Sequence[bytes], truth: npt.NDArray[np.integer], per_label: int | None, seed: int
) -> Rows:
    """Positions of `per_label` pictures of each label, or of all where there are fewer; sorted.

    By hash of seed and picture: the same for every extractor, and what is drawn for a smaller
    number is drawn for a larger one too. None: all pictures.
    """
    start = hashlib.sha256(f"prints {seed}\0".encode())

    def place(position: int) -> bytes:
        state = start.copy()
        state.update(digests[position])
        return state.digest()

    chosen: list[int] = []
    for label in np.unique(truth):
        chosen += sorted(np.flatnonzero(truth == label).tolist(), key=place)[:per_label]
    return np.array(sorted(chosen), np.int64)


def right_answers(
    data: Features, per_label: Sequence[int | None], seeds: int
) -> list[npt.NDArray[np.bool_]]:
    """Which test pictures are answered rightly: for each of `per_label`, bool (seeds, tests).

    A seed decides what is drawn and into which folds it falls to choose l2.
    """
    result = []
    known: dict[tuple[int, bytes], npt.NDArray[np.bool_]] = {}
    for count in per_label:
        right = []
        for seed in range(seeds):
            rows = drawn(data.digests[data.train], data.truth[data.train], count, seed)
            if (seed, rows.tobytes()) not in known:
                known[seed, rows.tobytes()] = _fitted(data, rows, seed)
            right.append(known[seed, rows.tobytes()])
        result.append(np.stack(right))
    return result


def _fitted(data: Features, rows: Rows, seed: int) -> npt.NDArray[np.bool_]:
    """As `ImageClassifier` fits its head to the pictures in `rows`."""
    from silverprint import LogisticRegressor, _core
    from silverprint.classifier.head_training import HeadTraining
    from silverprint.classifier.problem import Problem

    problem = Problem(
        features=data.rows,
        positions=rows,
        views=0,
        truth=data.truth[rows],
        digests=[data.digests[row] for row in rows],
        groups=None,
        labels=data.labels,
        classifier=LogisticRegressor(l2="auto"),
        max_iterations=None,
        seed=seed,
    )
    training = HeadTraining(problem, validation=None, origin="a shared set")
    cancel = _core.runtime.CancelToken()
    while training.step(cancel):
        pass
    answers = training.fit.probabilities(data.rows[data.test]).argmax(axis=1)
    right: npt.NDArray[np.bool_] = answers == data.truth[data.test]
    return right
