"""Probabilities that mean what they say: temperature, calibration error, thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from silverprint.checks import real
from silverprint.errors import InvalidParameterError

BINS = 150
"""Equal parts of the probabilities from 0 to 1, in which answers are counted."""

_ERROR_BINS = 15
"""Of the calibration error; the usual number (Guo et al., ICML 2017)."""

_WIDEST = math.log(10.0)
_PRIOR = 0.5
_LEAST = float(np.finfo(np.float32).tiny)
_Z95 = 1.959963984540054


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share seen in `count` cases (Wilson 1927)."""
    n, p, z = count, share, _Z95
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def tempered(probabilities: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    """Probabilities whose scores have been divided by `temperature`, float32 (n, k)."""
    scores = np.log(np.maximum(probabilities, _LEAST).astype(np.float64)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    # What is impossible stays so: a label that was not among the pictures trained on.
    powers[probabilities == 0] = 0
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def fit_temperature(
    probabilities: npt.NDArray[np.float32], truth: npt.NDArray[np.integer]
) -> float:
    """The temperature with the least log loss on held-out answers (Guo et al., ICML 2017).

    Args:
        probabilities: float32 (n, k), before any temperature.
        truth: index of each picture's label, (n,).

    A log-normal prior of width 0.5 keeps it near 1 where answers are few or all right. Between
    1/10 and 10; 1 without answers.
    """
    if not len(truth):
        return 1.0
    scores = np.log(np.maximum(probabilities, _LEAST).astype(np.float64))
    scores -= scores.max(axis=1, keepdims=True)
    own = scores[np.arange(len(truth)), truth]

    def loss(logarithm: float) -> float:
        slope = math.exp(-logarithm)
        total = np.log(np.exp(slope * scores).sum(axis=1)) - slope * own
        return float(total.sum()) + (logarithm / _PRIOR) ** 2 / 2

    # Golden section (Kiefer 1953), to within 1e-6.
    ratio = (math.sqrt(5) - 1) / 2
    low, high = -_WIDEST, _WIDEST
    while high - low > 1e-6:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


@dataclass(frozen=True)
class Threshold:
    """From which probability on answers are to be trusted.

    Attributes:
        probability: answers at least this probable count.
        precision: share of them that were right, on held-out pictures.
        precision_interval: its 95 % confidence interval.
        coverage: share of all pictures whose answer counts.
        count: held-out pictures whose answer counted.
    """

    probability: float
    precision: float
    precision_interval: tuple[float, float]
    coverage: float
    count: int


@dataclass(frozen=True)
class Confidence:
    """Answers by their probability.

    Attributes:
        counts: answers in each of `BINS` equal parts of the probabilities from 0 to 1.
        right: how many of them were right.
        probability: sum of their probabilities.
    """

    counts: tuple[int, ...]
    right: tuple[int, ...]
    probability: tuple[float, ...]

    @classmethod
    def measure(
        cls, probability: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]
    ) -> Confidence:
        """Of answers with that probability, each right or wrong, (n,)."""
        # In double precision, as `threshold` compares.
        wide = probability.astype(np.float64)
        place = np.minimum((wide * BINS).astype(np.int64), BINS - 1)

        def summed(values: npt.NDArray[np.float64]) -> list[float]:
            return [float(total) for total in np.bincount(place, values, BINS)]

        return cls(
            tuple(np.bincount(place, minlength=BINS).tolist()),
            tuple(np.bincount(place[right], minlength=BINS).tolist()),
            tuple(summed(wide)),
        )

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of probability and share right, 15 bins.

        NaN where no answers were counted.
        """
        if not any(self.counts):
            return math.nan
        rows = np.asarray([self.counts, self.right, self.probability], np.float64)
        counts, right, probability = rows.reshape(3, _ERROR_BINS, -1).sum(axis=2)
        return float(np.abs(probability - right).sum() / counts.sum())

    def to_json(self) -> list[list[float]] | None:
        """Part, count, right and probability of each part that has answers; None without any."""
        if not any(self.counts):
            return None
        rows = zip(self.counts, self.right, self.probability, strict=True)
        return [[place, *row] for place, row in enumerate(rows) if row[0]]

    @classmethod
    def from_json(cls, record: list[list[float]] | None, total: int) -> Confidence:
        """What `to_json` gave for `total` answers; nothing for None, as the first files have it.

        Raises:
            ValueError: it is something else.
        """
        if record is None:
            return cls((0,) * BINS, (0,) * BINS, (0.0,) * BINS)
        rows = np.zeros((BINS, 3))
        fits = True
        for place, *row in record:
            fits &= place in range(BINS) and len(row) == 3
            if fits:
                rows[int(place)] = row
        counts, right, probability = rows.T
        fits &= bool((rows >= 0).all() and (right <= counts).all() and counts.sum() == total)
        if not fits or (rows[:, :2] % 1).any() or not np.isfinite(probability).all():
            raise ValueError("its metrics do not fit each other; the file is damaged")
        return cls(
            tuple(counts.astype(np.int64).tolist()),
            tuple(right.astype(np.int64).tolist()),
            tuple(probability.tolist()),
        )

    def threshold(self, precision: float) -> Threshold:
        """The least probability from which on answers are right in `precision` of the cases.

        Raises:
            InvalidParameterError: `precision` is not a share, no threshold reaches it, or no
                answers were counted.
        """
        precision = real("precision", precision, "a share above 0, up to 1", _LEAST, 1)
        total = sum(self.counts)
        if not total:
            raise InvalidParameterError(
                "precision", precision, "a model of this version: an older one counted no answers"
            )
        count = right = 0
        best, found = 0.0, None
        for place in reversed(range(BINS)):
            count += self.counts[place]
            right += self.right[place]
            if not self.counts[place]:
                continue
            share = right / count
            best = max(best, share)
            if share >= precision:
                interval = wilson_interval(share, count)
                found = Threshold(place / BINS, share, interval, count / total, count)
        if found is None:
            # Rounded down: what is named here can be asked for.
            reached = math.floor(best * 1000) / 1000
            raise InvalidParameterError(
                "precision", precision, f"at most {reached:.3f}, which the surest answers reach"
            )
        return found
