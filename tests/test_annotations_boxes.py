"""What the numbers of a box mean, and boxes once the size of their picture is known."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.resolve import ResolvedBoxes, resolved
from silverprint.data.annotations.size import picture_size
from silverprint.data.annotations.source import AnnotatedSource
from silverprint.data.decode import decode
from silverprint.errors import InvalidDataError, InvalidParameterError

UNITS = ("pixel", "normalized")
ORIGINS = ("top_left", "bottom_left")
ANCHORS = ("center", "top_left", "bottom_left")

Numbers = tuple[float, float, float, float]


def boxes_of(
    *numbers: Numbers, kind: BoundingBox | None = None, size: tuple[int, int]
) -> ResolvedBoxes:
    boxes = [
        {"label": "a", "x": x, "y": y, "width": width, "height": height}
        for x, y, width, height in numbers
    ]
    source = AnnotatedSource.annotated_images({"a.png": boxes}, kind)
    return resolved(source.items[0][1], *size)


def test_the_default_is_create_mls() -> None:
    assert BoundingBox() == BoundingBox(units="pixel", origin="top_left", anchor="center")
    assert repr(BoundingBox()) == "BoundingBox(units='pixel', origin='top_left', anchor='center')"


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("units", "pixels", "'pixel' or 'normalized'; did you mean 'pixel'?"),
        ("origin", "center", "'top_left' or 'bottom_left'"),
        ("origin", "topLeft", "'top_left' or 'bottom_left'; did you mean 'top_left'?"),
        ("anchor", None, "'center' or 'top_left' or 'bottom_left'"),
        ("anchor", ["center"], "'center' or 'top_left' or 'bottom_left'"),
    ],
)
def test_other_words_are_refused(field: str, value: object, hint: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        BoundingBox(**{field: value})  # type: ignore[arg-type]
    assert caught.value.name == field
    assert caught.value.allowed.startswith(hint)


# By hand: a box of 30 x 10 pixels, its left edge at 10 and its top edge at 20, in a picture of
# 100 x 50 pixels.
BY_HAND = {
    ("top_left", "center"): (25, 25),
    ("top_left", "top_left"): (10, 20),
    ("top_left", "bottom_left"): (10, 30),
    ("bottom_left", "center"): (25, 25),
    ("bottom_left", "top_left"): (10, 30),
    ("bottom_left", "bottom_left"): (10, 20),
}


@pytest.mark.parametrize(("origin", "anchor"), BY_HAND)
@pytest.mark.parametrize("units", UNITS)
def test_one_box_in_every_spelling(units: str, origin: str, anchor: str) -> None:
    x, y = BY_HAND[origin, anchor]
    numbers: Numbers = (x, y, 30, 10)
    if units == "normalized":
        numbers = (x / 100, y / 50, 0.3, 0.2)
    kind = BoundingBox(units, origin, anchor)  # type: ignore[arg-type]
    found = boxes_of(numbers, kind=kind, size=(100, 50))
    np.testing.assert_allclose(found.edges, [[0.1, 0.4, 0.4, 0.6]], atol=1e-6)
    assert found.edges.dtype == np.float32
    assert found.labels.tolist() == [0]
    assert (found.clipped, found.dropped) == (0, ())


@st.composite
def pictures_with_a_box(draw: st.DrawFn) -> tuple[tuple[int, int], Numbers]:
    """Size of a picture and a box in it: left, top, right, bottom in pixels, in quarters of one."""
    width, height = draw(st.integers(2, 5000)), draw(st.integers(2, 5000))
    edges = []
    for side in (width, height):
        first, second = sorted(
            draw(st.lists(st.integers(0, 4 * side), min_size=2, max_size=2, unique=True))
        )
        edges.append((first / 4, second / 4))
    return (width, height), (edges[0][0], edges[1][0], edges[0][1], edges[1][1])


@given(pictures_with_a_box(), st.sampled_from(list(itertools.product(UNITS, ORIGINS, ANCHORS))))
def test_every_spelling_gives_the_same_box(
    made: tuple[tuple[int, int], Numbers], spelling: tuple[str, str, str]
) -> None:
    (width, height), (left, top, right, bottom) = made
    units, origin, anchor = spelling
    # The anchor from the top left, as a ruler on the screen would measure it.
    x = (left + right) / 2 if anchor == "center" else left
    y = {"center": (top + bottom) / 2, "top_left": top, "bottom_left": bottom}[anchor]
    if origin == "bottom_left":
        y = height - y
    numbers: Numbers = (x, y, right - left, bottom - top)
    if units == "normalized":
        numbers = (x / width, y / height, (right - left) / width, (bottom - top) / height)
    elif max(numbers) <= 1:
        return  # taken for fractions, which is another test
    kind = BoundingBox(units, origin, anchor)  # type: ignore[arg-type]
    found = boxes_of(numbers, kind=kind, size=(width, height))
    expected = [left / width, top / height, right / width, bottom / height]
    np.testing.assert_allclose(found.edges, [expected], atol=2e-7)
    assert found.clipped == 0


@given(pictures_with_a_box(), st.sampled_from(list(itertools.product(UNITS, ORIGINS, ANCHORS))))
def test_gathered_annotations_make_the_same_source_again(
    made: tuple[tuple[int, int], Numbers], spelling: tuple[str, str, str]
) -> None:
    (width, height), (left, top, right, bottom) = made
    numbers = [left + 2, top + 2, right - left, bottom - top]
    if spelling[0] == "normalized":
        numbers = [n / (side + 5) for n, side in zip(numbers, 2 * (width, height), strict=True)]
    box = dict(zip(("x", "y", "width", "height"), numbers, strict=True))
    kind = BoundingBox(*spelling)  # type: ignore[arg-type]
    once = AnnotatedSource.annotated_images({"a.png": [{"label": "a", **box}]}, kind)
    rows = once.gather_annotated_file_names()
    again = AnnotatedSource.annotated_images(
        [{"image": row.image, "annotations": row.annotations} for row in rows], once.annotation_type
    )
    np.testing.assert_allclose(once.boxes.edges, again.boxes.edges, atol=1e-3, rtol=1e-6)
    assert once.labels == again.labels


CORNERS = BoundingBox(anchor="top_left")


def test_boxes_are_clipped_to_their_picture_and_counted() -> None:
    inside = (10.0, 10.0, 20.0, 20.0)
    beyond = (-10.0, 40.0, 20.0, 20.0)
    found = boxes_of(inside, beyond, kind=CORNERS, size=(100, 50))
    np.testing.assert_allclose(found.edges, [[0.1, 0.2, 0.3, 0.6], [0, 0.8, 0.1, 1]], atol=1e-6)
    assert found.clipped == 1


def test_an_overhang_by_rounding_is_not_counted() -> None:
    kind = BoundingBox("normalized", anchor="top_left")
    found = boxes_of((0.9, 0.9, 0.100001, 0.1), kind=kind, size=(100, 50))
    assert found.edges.max() == 1
    assert found.clipped == 0


def test_boxes_outside_their_picture_are_dropped() -> None:
    found = boxes_of((10, 10, 5, 5), (100, 10, 5, 5), kind=CORNERS, size=(100, 50))
    assert len(found.edges) == len(found.labels) == 1
    (dropped,) = found.dropped
    assert (dropped.path, dropped.index, dropped.label) == (Path("a.png"), 1, "a")
    assert dropped.reason == "outside the picture"
    assert found.clipped == 0


def test_of_an_empty_list_nothing_remains() -> None:
    found = boxes_of(size=(100, 50))
    assert found.edges.shape == (0, 4)
    assert found.labels.shape == (0,)


def stated(width: int, height: int, folder: Path) -> AnnotatedSource:
    (folder / "a.png").touch()
    (folder / "a.xml").write_text(
        f"<annotation><filename>a.png</filename><size><width>{width}</width><height>{height}"
        "</height></size><object><name>cat</name><bndbox><xmin>10</xmin><ymin>20</ymin>"
        "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )
    return AnnotatedSource.directory_with_images(folder)


def test_a_scaled_copy_of_the_annotated_picture_has_the_same_boxes(tmp_path: Path) -> None:
    boxes = stated(100, 75, tmp_path).items[0][1]
    expected = [[0.1, 20 / 75, 0.3, 40 / 75]]
    np.testing.assert_allclose(resolved(boxes, 100, 75).edges, expected, atol=1e-6)
    np.testing.assert_allclose(resolved(boxes, 50, 37).edges, expected, atol=1e-6)
    np.testing.assert_allclose(resolved(boxes, 400, 301).edges, expected, atol=1e-6)


def test_another_shape_than_the_annotated_one_is_refused(tmp_path: Path) -> None:
    boxes = stated(100, 75, tmp_path).items[0][1]
    with pytest.raises(InvalidDataError) as caught:
        resolved(boxes, 75, 100)
    assert str(caught.value) == (
        f"{tmp_path / 'a.png'}: its annotations are those of a picture of 100 x 75 pixels, but "
        "upright it has 75 x 100: it was annotated lying on its side; turn its pixels as they were "
        "annotated, or annotate the upright picture"
    )
    with pytest.raises(InvalidDataError, match="but it has 100 x 80; bring back the picture"):
        resolved(boxes, 100, 80)


def picture(kind: str, orientation: int | None, **options: object) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", (40, 30), "red").save(out, kind, exif=exif, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [None, 1, 3, 5, 6, 8])
def test_the_size_is_that_of_the_upright_picture(kind: str, orientation: int | None) -> None:
    data = picture(kind, orientation)
    width, height = picture_size(data)
    assert decode(data).shape == (height, width, 3)
    assert (width, height) == ((30, 40) if (orientation or 1) >= 5 else (40, 30))


def test_the_size_is_upright_wherever_the_orientation_stands() -> None:
    data = picture("PNG", 6)
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    last = data.index(b"IEND") - 4
    assert end <= last
    late = data[:at] + data[end:last] + data[at:end] + data[last:]
    assert picture_size(late) == decode(late).shape[1::-1] == (30, 40)
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "TIFF", tiffinfo={0x0112: 6, 700: b"<xmp/>"})
    assert picture_size(out.getvalue()) == decode(out.getvalue()).shape[1::-1] == (30, 40)


def test_size_of_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    for data, reason in (
        (b"", "empty file"),
        (b"text", "not a picture"),
        (b"\xff\xd8\xff", "dama"),
    ):
        path.write_bytes(data)
        with pytest.raises(InvalidDataError) as caught:
            picture_size(path)
        assert caught.value.file == path
        assert caught.value.reason.startswith(reason)
    with pytest.raises(InvalidDataError, match="no such file"):
        picture_size(tmp_path / "b.jpg")
