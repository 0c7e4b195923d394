"""Answers by their probability: calibration error, thresholds, and the record of both."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from silverprint.errors import InvalidParameterError
from silverprint.model.calibration import BINS, Confidence

many = settings(max_examples=80, deadline=None)
Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """Probabilities and whether the answer was right: few or many, clustered, 0 and 1 too."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 30) | st.just(500))
    shape = draw(st.sampled_from([(1, 1), (9, 1), (0.1, 0.1)]))
    probability = rng.beta(*shape, size=n)
    ends = draw(st.sampled_from([0.0, 0.3]))
    probability = np.where(rng.random(n) < ends, rng.choice([0.0, 0.5, 1.0], n), probability)
    return probability.astype(np.float32), rng.random(n) < probability * draw(st.floats(0.3, 1))


def measure(probability: list[float], right: list[int]) -> Confidence:
    return Confidence.measure(np.float32(probability), np.array(right, bool))


class TestCalibrationError:
    def test_by_hand(self) -> None:
        """Two of four answers near 0.9 were right, and the one at 0.5: of five answers four are
        off by 0.9 - 0.5 and one by 0.5."""
        confidence = measure([0.9, 0.9, 0.9, 0.9, 0.5], [1, 1, 0, 0, 1])
        assert confidence.error == pytest.approx((4 * 0.4 + 1 * 0.5) / 5, abs=1e-6)

    def test_answers_are_compared_within_a_fifteenth_only(self) -> None:
        # 0.94 and 0.99 lie in the last part, 0.92 in the one before.
        assert measure([0.94, 0.99], [0, 1]).error == pytest.approx((0.94 + 0.99 - 1) / 2)
        assert measure([0.92, 0.99], [0, 1]).error == pytest.approx((0.92 + 0.01) / 2)

    def test_right_as_often_as_they_say_is_no_error(self) -> None:
        assert measure([0.75] * 4, [1, 1, 1, 0]).error == 0
        assert measure([1.0] * 3, [1, 1, 1]).error == 0
        assert measure([1.0] * 3, [0, 0, 0]).error == 1

    @many
    @given(answers())
    def test_it_is_the_definition_spelt_out(self, given: Answers) -> None:
        """Naeini et al., AAAI 2015: over the parts, share of answers times the distance of mean
        probability and accuracy."""
        probability, right = given
        parts: dict[int, list[tuple[float, bool]]] = {}
        for p, r in zip(probability.tolist(), right.tolist(), strict=True):
            parts.setdefault(min(math.floor(p * 15), 14), []).append((p, r))
        golden = 0.0
        for part in parts.values():
            distance = abs(
                sum(p for p, _ in part) / len(part) - sum(r for _, r in part) / len(part)
            )
            golden += len(part) / len(probability) * distance
        assert Confidence.measure(probability, right).error == pytest.approx(golden, abs=1e-9)


class TestThreshold:
    def test_by_hand(self) -> None:
        confidence = measure([0.95, 0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1, 0])
        sure = confidence.threshold(1.0)
        assert (sure.precision, sure.count, sure.coverage) == (1.0, 2, 0.4)
        assert 0.8 < sure.probability <= np.float32(0.9)
        most = confidence.threshold(0.75)
        assert (most.precision, most.count, most.coverage) == (0.75, 4, 0.8)
        assert 0.6 < most.probability <= np.float32(0.7)
        assert confidence.threshold(0.01).coverage == 1
        golden = binomtest(3, 4).proportion_ci(0.95, method="wilson")
        assert most.precision_interval == pytest.approx((golden.low, golden.high))

    @many
    @given(answers(), st.floats(0.01, 1))
    def test_it_is_the_least_one_that_brute_force_finds(
        self, given: Answers, precision: float
    ) -> None:
        probability, right = given
        chosen = None
        for place in reversed(range(BINS)):
            counts = probability.astype(np.float64) >= place / BINS
            if counts.any() and right[counts].mean() >= precision:
                chosen = counts
        confidence = Confidence.measure(probability, right)
        if chosen is None:
            with pytest.raises(InvalidParameterError):
                confidence.threshold(precision)
            return
        found = confidence.threshold(precision)
        np.testing.assert_array_equal(probability.astype(np.float64) >= found.probability, chosen)
        assert found.count == chosen.sum()
        assert found.coverage == chosen.mean()
        assert found.precision == right[chosen].mean()
        low, high = found.precision_interval
        assert low - 1e-12 <= found.precision <= high + 1e-12

    @pytest.mark.parametrize("precision", [0, 1.01, -0.5, True, "0.9", None, float("nan"), [0.9]])
    def test_precision_is_a_share(self, precision: Any) -> None:
        with pytest.raises(InvalidParameterError, match=r"precision=.*share above 0, up to 1"):
            measure([0.9], [1]).threshold(precision)

    def test_a_whole_number_is_a_share_too(self) -> None:
        assert measure([0.9], [1]).threshold(1).count == 1

    @pytest.mark.parametrize(("right", "reached"), [(2, "0.666"), (1, "0.333"), (0, "0.000")])
    def test_a_precision_out_of_reach_names_one_within(self, right: int, reached: str) -> None:
        confidence = measure([0.8] * 3, [1] * right + [0] * (3 - right))
        with pytest.raises(InvalidParameterError) as caught:
            confidence.threshold(0.67)
        message = f"precision=0.67: expected at most {reached}, which the surest answers reach"
        assert str(caught.value) == message
        if right:
            assert confidence.threshold(float(reached)).precision == right / 3


class TestRecord:
    @many
    @given(answers())
    def test_it_returns_from_json(self, given: Answers) -> None:
        confidence = Confidence.measure(*given)
        text = json.dumps(confidence.to_json())
        again = Confidence.from_json(json.loads(text), len(given[0]))
        assert again == confidence
        assert again.error == confidence.error
        assert json.dumps(again.to_json()) == text

    def test_parts_without_answers_are_not_written(self) -> None:
        assert measure([1.0, 1.0, 0.0], [1, 0, 0]).to_json() == [[0, 1, 0, 0.0], [149, 2, 1, 2.0]]

    @pytest.mark.parametrize(
        "row",
        [
            [150, 2, 1, 1.0],
            [-1, 2, 1, 1.0],
            [0.5, 2, 1, 1.0],
            [float("inf"), 2, 1, 1.0],
            [5, 2, 3, 1.0],
            [5, 3, 1, 1.0],
            [5, 2, -1, 1.0],
            [5, 2, 0.5, 1.0],
            [5, 2, 1, -1.0],
            [5, 2, 1, float("nan")],
            [5, 2, 1, float("inf")],
            [5, float("nan"), 1, 1.0],
            [5, 2, 1],
            [5, 2],
            [5, 2, 1, 1.0, 1.0],
            [],
            "5211",
            [[5], 2, 1, 1.0],
            [5, [2], 1, 1.0],
            [5, "two", 1, 1.0],
        ],
        ids=str,
    )
    def test_a_damaged_one_is_a_value_error(self, row: Any) -> None:
        with pytest.raises(ValueError, match=r"damaged|to unpack|convert|sequence"):
            Confidence.from_json([row], 2)

    def test_answers_that_went_missing_or_came_twice_are_found(self) -> None:
        record = measure([0.2, 0.9, 0.9], [0, 1, 1]).to_json()
        assert record is not None
        for damaged, total in ((record, 2), (record[:1], 3), (record * 2, 6), ([], 3)):
            with pytest.raises(ValueError, match="the file is damaged"):
                Confidence.from_json(damaged, total)

    def test_the_first_files_have_none_and_stay_so(self) -> None:
        none = Confidence.from_json(None, 7)
        assert math.isnan(none.error)
        assert none.to_json() is None
        with pytest.raises(InvalidParameterError, match="an older one counted no answers"):
            none.threshold(0.9)

    def test_it_is_a_value(self) -> None:
        confidence = measure([0.2, 0.9], [0, 1])
        assert confidence == measure([0.2, 0.9], [0, 1])
        assert confidence != replace(confidence, right=confidence.counts)
