"""Heads of random numbers, and what they compute in double precision without any folding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from silverprint.model.compose import Head


def random_head(sizes: Sequence[int], temperature: float = 1.0, seed: int = 0) -> Head:
    """`sizes`: of the features, of each hidden layer, and the number of labels."""
    rng = np.random.default_rng(seed)
    layers = tuple(
        (
            (rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32),
            rng.normal(size=outputs).astype(np.float32),
        )
        for inputs, outputs in pairwise(sizes)
    )
    mean, deviation = rng.normal(size=sizes[0]), rng.uniform(0.1, 3.0, sizes[0])
    return Head(layers, mean, deviation, temperature)


def unfolded(head: Head, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probabilities float64 (n, k) as the definition of a head has them."""
    x = (features.astype(np.float64) - head.mean) / head.deviation
    for number, (weights, bias) in enumerate(head.layers, start=1):
        x = x @ weights.astype(np.float64) + bias
        if number < len(head.layers):
            x = np.maximum(x, 0)
    return np.asarray(softmax(x / head.temperature, axis=1))
