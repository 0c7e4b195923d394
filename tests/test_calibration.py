"""The temperature of a softmax: fitted, and applied to probabilities."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from silverprint.model.calibration import fit_temperature, tempered

Floats = npt.NDArray[np.float32]
seeds = st.integers(0, 2**32 - 1)
many = settings(max_examples=80, deadline=None)


def drawn(
    n: int, k: int, temperature: float, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Scores (n, k), and labels drawn with the probabilities of the scores / temperature."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, k)) * 3
    chances = softmax(scores / temperature, axis=1)
    return scores, np.array([rng.choice(k, p=row) for row in chances])


def two_labels(probability: float, right: int, wrong: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Answers that all have one probability, of which some are right."""
    row = np.float32([probability, 1 - probability])
    return np.tile(row, (right + wrong, 1)), np.repeat([0, 1], [right, wrong])


class TestFitting:
    @pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
    @pytest.mark.parametrize(("n", "k"), [(12, 2), (60, 5), (500, 10), (3000, 3)])
    def test_it_is_where_scipy_finds_the_least_log_loss_with_the_prior(
        self, n: int, k: int, temperature: float
    ) -> None:
        """The sum of -log softmax(scores / T), less the log of a normal density of width 0.5
        about 0 for log T, by scipy in double precision."""
        scores, truth = drawn(n, k, temperature, seed=n + k)

        def loss(logarithm: float) -> float:
            scaled = log_softmax(scores / math.exp(logarithm), axis=1)
            return float(-scaled[np.arange(n), truth].sum() + 0.5 * (logarithm / 0.5) ** 2)

        golden = minimize_scalar(
            loss, bounds=(-2.3, 2.3), method="bounded", options={"xatol": 1e-9}
        )
        found = fit_temperature(softmax(scores, axis=1).astype(np.float32), truth)
        assert math.log(found) == pytest.approx(golden.x, abs=2e-5)

    def test_by_hand(self) -> None:
        """All answers say 9 to 1 and three of four are right, which is 3 to 1: log 9 is 2 log 3.
        With this many answers the prior has no weight left."""
        assert fit_temperature(*two_labels(0.9, 30_000, 10_000)) == pytest.approx(2, abs=2e-3)
        assert fit_temperature(*two_labels(0.75, 36_000, 4_000)) == pytest.approx(0.5, abs=2e-3)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 4.0])
    def test_it_finds_the_temperature_that_scores_were_made_with(self, temperature: float) -> None:
        scores, truth = drawn(8000, 6, temperature)
        found = fit_temperature(softmax(scores, axis=1).astype(np.float32), truth)
        assert found == pytest.approx(temperature, rel=0.05)

    def test_the_fewer_the_answers_the_nearer_to_1(self) -> None:
        found = [fit_temperature(*two_labels(0.9, 3 * n, n)) for n in (1, 5, 25, 125, 10_000)]
        assert found == sorted(found)
        assert 1.1 < found[0] < 1.3
        assert found[-1] == pytest.approx(2, abs=0.01)

    @pytest.mark.parametrize("probability", [0.8, 0.95, 0.999, 1.0])
    def test_some_answers_that_are_all_right_are_not_made_certain(self, probability: float) -> None:
        """Without a prior it would go to 0."""
        few = fit_temperature(*two_labels(probability, 20, 0))
        assert 0.45 < few < 1 + 1e-6
        more = fit_temperature(*two_labels(probability, 200, 0))
        assert 0.2 < more < few + 1e-6

    def test_no_answers_no_temperature(self) -> None:
        assert fit_temperature(np.empty((0, 3), np.float32), np.empty(0, np.int64)) == 1

    @pytest.mark.parametrize("probability", [1.0, 1 - 1e-6, 0.501])
    @pytest.mark.parametrize("right", [0, 5000])
    def test_it_stays_between_a_tenth_and_ten(self, probability: float, right: int) -> None:
        """Also where a label's probability was rounded to 0."""
        found = fit_temperature(*two_labels(probability, right, 5000 - right))
        assert 0.1 * (1 - 1e-5) <= found <= 10 * (1 + 1e-5)

    @many
    @given(n=st.integers(1, 40), k=st.integers(2, 6), scale=st.sampled_from([1, 30]), seed=seeds)
    def test_it_never_raises_the_log_loss_of_those_answers(
        self, n: int, k: int, scale: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        scores = rng.normal(size=(n, k)) * scale
        truth = rng.integers(0, k, n)
        temperature = fit_temperature(softmax(scores, axis=1).astype(np.float32), truth)
        loss = [
            -log_softmax(scores / t, axis=1)[np.arange(n), truth].sum() for t in (1.0, temperature)
        ]
        assert loss[1] <= loss[0] + 1e-4 * (1 + abs(loss[0]))

    def test_the_order_of_answers_does_not_matter(self) -> None:
        scores, truth = drawn(300, 4, 2.0)
        rows = softmax(scores, axis=1).astype(np.float32)
        order = np.random.default_rng(1).permutation(300)
        golden = fit_temperature(rows, truth)
        assert fit_temperature(rows[order], truth[order]) == pytest.approx(golden, rel=1e-6)


class TestTempering:
    def test_by_hand(self) -> None:
        """9 to 1 at temperature 2 is 3 to 1, and at 1/2 it is 81 to 1."""
        rows = np.float32([[0.9, 0.1], [0.25, 0.75]])
        np.testing.assert_allclose(tempered(rows[:1], 2.0), [[0.75, 0.25]], rtol=1e-6)
        np.testing.assert_allclose(tempered(rows[:1], 0.5), [[81 / 82, 1 / 82]], rtol=1e-6)
        np.testing.assert_allclose(tempered(rows[1:], 0.5), [[0.1, 0.9]], rtol=1e-6)

    @many
    @given(
        n=st.integers(0, 9),
        k=st.integers(2, 12),
        temperature=st.floats(0.1, 10),
        scale=st.sampled_from([0.1, 3, 20]),
        seed=seeds,
    )
    def test_it_is_the_softmax_of_the_scores_divided(
        self, n: int, k: int, temperature: float, scale: float, seed: int
    ) -> None:
        scores = (np.random.default_rng(seed).normal(size=(n, k)) * scale).clip(-40, 40)
        found = tempered(softmax(scores, axis=1).astype(np.float32), temperature)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, softmax(scores / temperature, axis=1), atol=2e-6)

    @many
    @given(k=st.integers(2, 12), temperature=st.floats(0.1, 10), seed=seeds)
    def test_order_and_zeros_remain_and_rows_add_up_to_1(
        self, k: int, temperature: float, seed: int
    ) -> None:
        """Zeros are labels that were not among the pictures trained on."""
        rng = np.random.default_rng(seed)
        rows = softmax(rng.normal(size=(20, k)) * rng.choice([0.01, 2, 60]), axis=1)
        rows[:, 0] = rows[:, 1]
        rows[:, 1:][rng.random((20, k - 1)) < 0.3] = 0
        rows = rows.astype(np.float32)
        rows[:, 0] = np.maximum(rows[:, 0], 1e-30)
        found = tempered(rows, temperature)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
        assert not found[rows == 0].any()
        # Of two labels none becomes the more probable one that was not before.
        before, after = (np.sign(part[:, :, None] - part[:, None, :]) for part in (rows, found))
        assert (before * after >= 0).all()
        assert (found.argmax(axis=1) == rows.argmax(axis=1)).all()

    def test_at_temperature_1_nothing_changes(self) -> None:
        rows = softmax(np.random.default_rng(0).normal(size=(50, 7)), axis=1).astype(np.float32)
        np.testing.assert_allclose(tempered(rows, 1.0), rows, rtol=1e-6, atol=1e-7)

    def test_certain_and_tiny_probabilities_stay_numbers(self) -> None:
        rows = np.float32([[1, 0, 0], [1, 1e-45, 0], [0, 0.5, 0.5]])
        for temperature in (0.1, 1.0, 10.0):
            found = tempered(rows, temperature)
            assert np.isfinite(found).all()
            assert found[0].tolist() == [1, 0, 0]
            assert found[2].tolist() == [0, 0.5, 0.5]
