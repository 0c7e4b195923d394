"""What a detector finds: boxes in the three ways that apps count."""

from __future__ import annotations

import pytest

from silverprint.model.objects import Box, ObjectAnnotation

BOX = Box(20, 30, 40, 10, picture_size=(200, 100))


def test_a_box_in_pixels_in_shares_and_as_vision_counts() -> None:
    assert BOX.center == (40, 35)
    assert BOX.normalized == pytest.approx((0.1, 0.3, 0.2, 0.1))
    # Its lower edge is at 40 of 100 pixels from the top.
    assert BOX.vision == pytest.approx((0.1, 0.6, 0.2, 0.1))


def test_a_box_of_corners_ends_with_the_picture() -> None:
    box = Box.of_corners((-0.5, 0.25, 0.5, 2.0), (200, 100))
    assert (box.x, box.y, box.width, box.height) == (0, 25, 100, 75)


def test_an_annotation_is_a_value() -> None:
    assert ObjectAnnotation("fish", 0.5, BOX) == ObjectAnnotation("fish", 0.5, BOX)
