"""The picture rule: what it allows, how it is stored, and how small a picture may be decoded."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.rule import CROP_AND_SCALE, PictureRule
from silverprint.errors import InvalidParameterError

sides = st.integers(1, 5000)


def test_a_rule_is_a_value_that_can_be_pasted_and_stored() -> None:
    rule = PictureRule(224, 299, "scale_fit")
    assert rule == eval(repr(rule))
    record = json.loads(json.dumps(rule.to_json()))
    assert record == {"height": 224, "width": 299, "crop_and_scale": "scale_fit", "version": 1}
    assert PictureRule.from_json(record) == rule


def test_crop_is_the_default() -> None:
    assert PictureRule(8, 8).crop_and_scale == "center_crop"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 0}, "height=0"),
        ({"height": True}, "height=True"),
        ({"width": 224.0}, "width=224.0"),
        ({"width": 10**6}, "16384"),
        ({"crop_and_scale": "centre_crop"}, "did you mean 'center_crop'"),
        ({"version": 2}, "newer silverprint"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        PictureRule(**{"height": 224, "width": 224, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"height": 8, "width": 8, "crop_and_scale": "scale_fit"}, "a field 'version'"),
        ({"height": 8, "width": 8, "crop_and_scal": "x", "version": 1}, "'crop_and_scale'"),
        ([8, 8], "an object"),
    ],
)
def test_a_wrong_record_is_refused(record: object, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        PictureRule.from_json(record)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("crop_and_scale", "needed"),
    [("center_crop", (400, 200)), ("scale_fit", (100, 50)), ("scale_fill", (100, 200))],
)
def test_needed_size_of_a_wide_picture(crop_and_scale: str, needed: tuple[int, int]) -> None:
    assert PictureRule(200, 100, crop_and_scale).needed_size(4000, 2000) == needed


@given(sides, sides, sides, sides, st.sampled_from(CROP_AND_SCALE))
def test_needed_size_is_what_the_resampling_reaches_and_no_less(
    height: int, width: int, picture_width: int, picture_height: int, crop_and_scale: str
) -> None:
    """Against the definition of the three ways in exact fractions."""
    needed = PictureRule(height, width, crop_and_scale).needed_size(picture_width, picture_height)
    across, down = Fraction(width, picture_width), Fraction(height, picture_height)
    scale = {
        "center_crop": (max(across, down), max(across, down)),
        "scale_fit": (min(across, down), min(across, down)),
        "scale_fill": (across, down),
    }[crop_and_scale]
    for size, full, factor in zip(needed, (picture_width, picture_height), scale, strict=True):
        assert 1 <= size <= full
        assert size == min(full, -(-full * factor // 1))
