"""The rivals of the multilayer perceptron: scikit-learn as it comes, and a plain loop in torch."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import common

HAS_TORCH = importlib.util.find_spec("torch") is not None

_TRIAL_PASSES = 3
_TORCH_RATE = 1e-3
_TORCH_BATCH = 32


@dataclass(frozen=True)
class Fitted:
    """What a fit gives.

    Attributes:
        probabilities: float (m, k) of features (m, d).
        iterations: passes over the rows; of ours each may be several where rows are few.
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    iterations: int


Fit = Callable[[np.ndarray, np.ndarray, int], Fitted]
"""Of features (n, d), labels (n,) and a seed."""

Make = Callable[..., Fit]
"""Of the units of the hidden layer, threads, and passes if not the usual number."""


def scikit_learn(units: int, threads: int, passes: int = 200) -> Fit:
    """MLPClassifier with its defaults (Adam, batches of 200) on standardised features."""

    def fit(features: np.ndarray, labels: np.ndarray, seed: int) -> Fitted:
        network = MLPClassifier((units,), random_state=seed, max_iter=passes)
        model = make_pipeline(StandardScaler(), network)
        with warnings.catch_warnings(), threadpool_limits(threads):
            warnings.simplefilter("ignore")
            model.fit(features, labels)
        return Fitted(model.predict_proba, network.n_iter_)

    return fit


def torch_loop(units: int, threads: int, passes: int = 60) -> Fit:
    """One hidden layer, Adam at its usual rate, batches of 32, standardised features."""
    import torch

    def fit(features: np.ndarray, labels: np.ndarray, seed: int) -> Fitted:
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        scaler = StandardScaler().fit(features)
        x = torch.from_numpy(scaler.transform(features))
        y = torch.from_numpy(labels.astype(np.int64))
        network = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], units),
            torch.nn.ReLU(),
            torch.nn.Linear(units, int(y.max()) + 1),
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=_TORCH_RATE)
        for _ in range(passes):
            for batch in torch.randperm(len(x)).split(_TORCH_BATCH):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
                optimizer.step()

        def probabilities(rows: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                scores = network(torch.from_numpy(scaler.transform(rows)))
                return scores.softmax(dim=1).numpy()

        return Fitted(probabilities, passes)

    return fit


def best_threads(
    make: Make,
    units: int,
    threads: int,
    features: np.ndarray,
    labels: np.ndarray,
) -> int:
    """1 or `threads`: what a few passes take less time with; small products only wait."""
    fits = {str(n): make(units, n, _TRIAL_PASSES) for n in {1, threads}}
    seconds = common.interleaved(
        {n: lambda fit=fit: fit(features, labels, 0) for n, fit in fits.items()}, 2
    )
    return int(min(seconds, key=lambda n: min(seconds[n])))
