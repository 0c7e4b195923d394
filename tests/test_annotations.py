"""Folders of annotated pictures: what is read, reported, divided, and refused."""

from __future__ import annotations

import csv
import json
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

import silverprint as sp
from silverprint.data.annotations.resolve import resolved
from silverprint.errors import InvalidDataError, InvalidParameterError

Boxes = list[tuple[str, float, float, float, float]]


def createml(
    pictures: dict[str, Boxes], image: str = "image", boxes: str = "annotations"
) -> list[dict[str, Any]]:
    names = ("x", "y", "width", "height")
    return [
        {
            image: name,
            boxes: [
                {"label": label, "coordinates": dict(zip(names, numbers, strict=True))}
                for label, *numbers in own
            ],
        }
        for name, own in pictures.items()
    ]


def folder_of(folder: Path, pictures: dict[str, Boxes], **keys: str) -> Path:
    """Pictures of 100 x 80 pixels and their annotations in Create ML's form."""
    for name in pictures:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 80)).save(path)
    (folder / "annotations.json").write_text(json.dumps(createml(pictures, **keys)))
    return folder


PETS: dict[str, Boxes] = {
    "empty.png": [],
    "b.png": [("dog", 50, 40, 20, 20), ("cat", 10, 10, 10, 10)],
    "a.png": [("cat", 30, 30, 20, 10)],
}


@pytest.mark.parametrize("image", ["image", "imagefilename"])
@pytest.mark.parametrize("boxes", ["annotations", "annotation"])
def test_create_mls_json_in_both_spellings(tmp_path: Path, image: str, boxes: str) -> None:
    folder = folder_of(tmp_path, PETS, image=image, boxes=boxes)
    source = sp.DataSource.directory_with_images(folder)
    assert isinstance(source, sp.AnnotatedSource)
    assert source.labels == ("cat", "dog")
    assert source.counts == {"cat": 2, "dog": 1}
    assert [path.name for path, _ in source.items] == ["a.png", "b.png", "empty.png"]
    assert len(source) == 3
    path, found = source.items[1]
    assert path == tmp_path / "b.png"
    assert found.edges.tolist() == [[40, 30, 60, 50], [5, 5, 15, 15]]
    assert [source.labels[label] for label in found.labels] == ["dog", "cat"]
    assert repr(source) == (
        f"AnnotatedSource(3 pictures, 3 boxes {{'cat': 2, 'dog': 1}} "
        f"from {tmp_path / 'annotations.json'})"
    )


def test_pictures_without_boxes_are_negatives_also_as_the_first_entry(tmp_path: Path) -> None:
    source = sp.DataSource.directory_with_images(folder_of(tmp_path, PETS))
    assert next(iter(PETS)) == "empty.png"
    assert source.report.negatives == 1
    assert len(source.items[2][1]) == 0
    entries = createml(PETS)
    entries[0] = {"image": "empty.png", "annotations": None}
    entries.insert(0, {"image": "second.png"})
    Image.new("RGB", (100, 80)).save(tmp_path / "second.png")
    (tmp_path / "annotations.json").write_text(json.dumps(entries))
    again = sp.DataSource.directory_with_images(tmp_path)
    assert again.report.negatives == 2
    assert again.counts == source.counts


def test_the_report_counts_what_is_there_and_what_was_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = PETS | {
        "c.png": [
            ("cat", 95, 40, 20, 20),
            ("cat", float("nan"), 40, 20, 20),
            ("cat", 50, float("inf"), 20, 20),
            ("cat", 50, 40, 0, 20),
            ("dog", 50, 40, 20, -3),
            ("cat", 95, 40, 20, 20),
            ("dog", 95, 40, 20, 20),
            ("dog", 500, 40, 20, 20),
        ],
        "d.png": [("cat", 1, 1, 0, 0)],
    }
    folder = folder_of(tmp_path, pictures)
    Image.new("RGB", (5, 5)).save(tmp_path / "unlisted.png")
    with caplog.at_level(logging.WARNING, logger="silverprint"):
        source = sp.DataSource.directory_with_images(folder)
    assert [(d.path.name, d.index, d.label) for d in source.report.dropped] == [
        ("c.png", 1, "cat"),
        ("c.png", 2, "cat"),
        ("c.png", 3, "cat"),
        ("c.png", 4, "dog"),
        ("c.png", 5, "cat"),
        ("d.png", 0, "cat"),
    ]
    report = source.measured().report
    assert report.pictures == 5
    assert report.boxes == {"cat": 3, "dog": 2}
    assert (report.negatives, report.emptied, report.clipped, report.unlisted) == (2, 1, 2, 1)
    assert str(report) == (
        "5 pictures (2 without a box), 5 boxes\n"
        "  cat: 3\n"
        "  dog: 2\n"
        "all boxes dropped: 1 picture\n"
        "clipped to the picture: 2 boxes\n"
        "dropped: 2 boxes, coordinates that are no finite numbers below 1e9: c.png [1], c.png [2]\n"
        "dropped: 3 boxes, no area: width and height have to be above 0: c.png [3], c.png [4], "
        "d.png [0]\n"
        "dropped: 1 box, the same box with the same label stands there twice: c.png [5]\n"
        "dropped: 1 box, outside the picture: c.png [7]\n"
        "not named by the annotations: 1 picture\n"
        "3 boxes reach beyond their picture: check origin and anchor of the annotation type, and "
        "that the pictures are those that were annotated"
    )
    assert "1 picture in the folder left out" in caplog.text
    assert "dropped 3 boxes, no area" in caplog.text


def test_measured_sources_know_sizes_and_clip(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"a.png": [("cat", 50, 10, 20, 40)]})
    source = sp.DataSource.directory_with_images(
        folder, annotation_type=sp.BoundingBox(origin="bottom_left")
    )
    assert source.sizes.tolist() == [[0, 0]]
    assert (source.y_origin, source.report.clipped) == ("bottom_left", 0)
    measured = source.measured()
    assert measured.sizes.tolist() == [[100, 80]]
    assert (measured.y_origin, measured.report.clipped) == ("top_left", 1)
    assert measured.items[0][1].edges.tolist() == [[40, 50, 60, 80]]
    assert measured.measured().report == measured.report
    np.testing.assert_array_equal(
        resolved(source.items[0][1], 100, 80).edges, resolved(measured.items[0][1], 100, 80).edges
    )


def shared_parts(shared_data: Path, name: str) -> dict[str, list[Path]]:
    folder = shared_data / "detection" / name
    parts: dict[str, list[Path]] = {}
    with (folder / "split.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            parts.setdefault(row["part"], []).append(folder / row["path"])
    return parts


def fractions(source: sp.AnnotatedSource) -> list[tuple[Path, list[str], npt.NDArray[np.float32]]]:
    found = []
    for path, boxes in source.items:
        with Image.open(path) as image:
            whole = resolved(boxes, *image.size)
        found.append((path, [source.labels[label] for label in whole.labels], whole.edges))
    return found


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("raccoon", ["annotations.createml.json", "annotations.coco.json", "voc"]),
        ("bccd", ["annotations.createml.json", "annotations.coco.json"]),
        (
            "aquarium",
            ["annotations.createml.json", "annotations.coco.json", "yolo", "yolo/data.yaml"],
        ),
    ],
)
def test_all_formats_of_a_shared_set_hold_the_same_boxes(
    shared_data: Path, name: str, forms: list[str]
) -> None:
    folder = shared_data / "detection" / name
    sources = [sp.DataSource.directory_with_images(folder, form) for form in forms]
    one, *others = [fractions(source) for source in sources]
    for source in sources:
        assert source.report.dropped == ()
        assert source.measured().report.clipped == 0
    for other in others:
        for (path, labels, edges), (other_path, other_labels, other_edges) in zip(
            one, other, strict=True
        ):
            assert (path, labels) == (other_path, other_labels)
            # YOLO's text has six digits.
            np.testing.assert_allclose(edges, other_edges, atol=2e-6)


def test_a_published_split_makes_training_and_test_sources(shared_data: Path) -> None:
    folder = shared_data / "detection" / "bccd"
    data = sp.DataSource.directory_with_images(folder, "annotations.coco.json")
    parts = shared_parts(shared_data, "bccd")
    train, test = data.subset(parts["train"]), data.subset(parts["test"])
    # Counts of the set's SOURCE.txt.
    assert (len(train), train.counts) == (292, {"Platelets": 292, "RBC": 3348, "WBC": 301})
    assert (len(test), test.counts) == (72, {"Platelets": 69, "RBC": 805, "WBC": 71})


def test_a_subset_has_only_labels_of_its_own(tmp_path: Path) -> None:
    source = sp.DataSource.directory_with_images(folder_of(tmp_path, PETS))
    part = source.subset([tmp_path / "a.png", os.path.relpath(tmp_path / "empty.png")])
    assert part.labels == ("cat",)
    assert [path.name for path in part.paths] == ["a.png", "empty.png"]
    assert part.report.boxes == {"cat": 1}
    with pytest.raises(InvalidDataError) as caught:
        source.subset([tmp_path / "aa.png"])
    assert str(caught.value) == (
        f"{tmp_path / 'aa.png'}: is not among the 3 pictures of {source.origin}; "
        f"did you mean '{tmp_path / 'a.png'}'?"
    )
    with pytest.raises(InvalidDataError, match="no paths are given"):
        source.subset([])


def test_splits_divide_the_pictures_of_each_rarest_label(tmp_path: Path) -> None:
    pictures: dict[str, Boxes] = {f"n{i}.png": [] for i in range(10)}
    pictures |= {f"c{i}.png": [("cat", 50, 40, 20, 20)] for i in range(40)}
    # The dogs are the rarer ones, whatever else is in the picture.
    pictures |= {f"d{i}.png": [("cat", 50, 40, 20, 20), ("dog", 50, 40, 20, 20)] for i in range(10)}
    source = sp.AnnotatedSource.annotated_images(createml(pictures))
    train, test = source.stratified_split([8, 2], seed=3)
    kinds = [sorted(path.name[0] for path in part.paths) for part in (train, test)]
    assert [[names.count(letter) for letter in "ncd"] for names in kinds] == [
        [8, 32, 8],
        [2, 8, 2],
    ]
    assert {*train.paths, *test.paths} == set(source.paths)
    again = source.stratified_split([0.8, 0.2], seed=3)
    assert again[1].paths == test.paths
    assert source.stratified_split([8, 2], seed=4)[1].paths != test.paths
    assert test.origin == "part 2 of 2 of annotations"
    with pytest.raises(InvalidDataError, match="too few pictures to divide into 2 parts"):
        source.subset(source.paths[:1]).stratified_split([1, 1])


def test_gathered_file_names_are_rows_of_create_mls_form(tmp_path: Path) -> None:
    rows = sp.DataSource.directory_with_images(
        folder_of(tmp_path, PETS)
    ).gather_annotated_file_names()
    assert [row.image.name for row in rows] == ["a.png", "b.png", "empty.png"]
    assert rows[0].annotations == (
        {"label": "cat", "coordinates": {"x": 30, "y": 30, "width": 20, "height": 10}},
    )
    assert rows[2].annotations == ()
    assert list(rows.to_pandas().columns) == ["image", "annotations"]


def test_annotations_in_memory() -> None:
    flat = {
        "a.png": [],
        Path("b.png"): [
            {"label": "cat", "x": 30, "y": 30.0, "width": np.float32(20), "height": 10}
        ],
    }
    source = sp.AnnotatedSource.annotated_images(flat)
    assert [str(path) for path in source.paths] == ["a.png", "b.png"]
    assert source.items[1][1].edges.tolist() == [[20, 25, 40, 35]]
    same = sp.AnnotatedSource.of(createml({"a.png": [], "b.png": [("cat", 30, 30, 20, 10)]}))
    np.testing.assert_array_equal(same.boxes.edges, source.boxes.edges)
    assert same.paths == source.paths
    assert sp.AnnotatedSource.of(source) is source


def test_frames_hold_lists_of_boxes_or_a_box_in_each_row() -> None:
    lists = pd.DataFrame(
        {
            "image": ["a.png", "b.png", "c.png"],
            "annotations": [createml({"": [("cat", 30, 30, 20, 10)]})[0]["annotations"], [], None],
        }
    )
    boxes = pd.DataFrame(
        {
            "path": ["a.png", "b.png", "c.png"],
            "label": ["cat", None, None],
            "x": [30, np.nan, np.nan],
            "y": [30, np.nan, np.nan],
            "width": [20, np.nan, np.nan],
            "height": [10, np.nan, np.nan],
        }
    )
    one, other = sp.AnnotatedSource.of(lists), sp.AnnotatedSource.of(boxes)
    for source in (one, other):
        assert [str(path) for path in source.paths] == ["a.png", "b.png", "c.png"]
        assert source.boxes.edges.tolist() == [[20, 25, 40, 35]]
        assert source.report.negatives == 2
    renamed = lists.rename(columns={"image": "photo", "annotations": "boxes"})
    named = sp.AnnotatedSource.frame(renamed, image="photo", annotation="boxes")
    assert named.boxes.edges.tolist() == [[20, 25, 40, 35]]


def test_a_picture_may_have_several_rows_with_a_box_in_each() -> None:
    columns = {
        "image": ["b.png", "a.png", "b.png"],
        "label": ["cat", "cat", "dog"],
        "x": [30, 30, 50],
        "y": [30, 30, 50],
        "width": [10, 10, 0],
        "height": [10, 10, 10],
    }
    source = sp.AnnotatedSource.frame(columns)
    assert source.report.boxes == {"cat": 2}
    (dropped,) = source.report.dropped
    assert (dropped.path, dropped.index, dropped.label) == (Path("b.png"), 2, "dog")


def test_two_annotation_files_are_an_error_that_names_both(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, PETS)
    (folder / "b.json").write_text((folder / "annotations.json").read_text())
    with pytest.raises(InvalidDataError) as caught:
        sp.DataSource.directory_with_images(folder)
    assert str(caught.value) == (
        f"{folder}: holds 2 annotation files, annotations.json (Create ML) and b.json (Create ML); "
        "choose one, such as annotation_file='annotations.json'"
    )
    assert len(sp.DataSource.directory_with_images(folder, "b.json")) == 3
    assert len(sp.DataSource.directory_with_images(folder, folder / "b.json")) == 3


def test_other_files_and_hidden_ones_do_not_count(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, PETS)
    text = (folder / "annotations.json").read_text()
    for name in (".hidden.json", "__MACOSX/annotations.json", ".git/annotations.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "._a.png").write_bytes(b"resource fork")
    (folder / "notes.json").write_text('{"author": "me"}')
    (folder / "README.txt").write_text("photos")
    (folder / "info.xml").write_text("<camera/>")
    source = sp.DataSource.directory_with_images(folder)
    assert source.report.unlisted == 0
    assert len(source) == 3


def test_pictures_may_lie_deeper_in_the_folder(tmp_path: Path) -> None:
    pictures: dict[str, Boxes] = {
        "images/a.png": [("cat", 50, 40, 20, 20)],
        "images/day 1/b.png": [("cat", 50, 40, 20, 20)],
        "day 2/b.png": [("dog", 50, 40, 20, 20)],
        "é.png": [],
    }
    folder_of(tmp_path, pictures)
    for names in (
        list(pictures),
        ["a.png", "day 1/b.png", "./day 2/b.png", "é.png"],
        ["/old/images/a.png", "C:\\old\\images\\day 1\\b.png", "old/day 2/b.png", "../e\u0301.png"],
    ):
        entries = createml(dict(zip(names, pictures.values(), strict=True)))
        (tmp_path / "annotations.json").write_text(json.dumps(entries))
        source = sp.DataSource.directory_with_images(tmp_path)
        assert [path.relative_to(tmp_path).as_posix() for path in source.paths] == [
            "day 2/b.png",
            "images/a.png",
            "images/day 1/b.png",
            "é.png",
        ]


def test_a_name_that_could_be_two_pictures(tmp_path: Path) -> None:
    folder_of(tmp_path, {"day 1/b.png": [], "day 2/b.png": []})
    (tmp_path / "annotations.json").write_text(json.dumps(createml({"b.png": []})))
    with pytest.raises(InvalidDataError) as caught:
        sp.DataSource.directory_with_images(tmp_path)
    assert caught.value.reason.startswith("entry [0]: 'b.png' may mean ")
    assert caught.value.reason.endswith("b.png; name the folder too")


def test_a_picture_in_images_goes_before_those_elsewhere(tmp_path: Path) -> None:
    folder_of(tmp_path, {"images/b.png": [], "thumbnails/b.png": []})
    (tmp_path / "annotations.json").write_text(json.dumps(createml({"b.png": []})))
    source = sp.DataSource.directory_with_images(tmp_path)
    assert source.paths == (tmp_path / "images" / "b.png",)


def test_labels_that_read_the_same_are_one() -> None:
    boxes: Boxes = [("caf\u00e9", 9, 9, 4, 4), (" cafe\u0301", 50, 9, 4, 4)]
    assert sp.AnnotatedSource.of(createml({"a.png": boxes})).counts == {"caf\u00e9": 2}


def test_sources_pickle_and_cannot_be_changed(tmp_path: Path) -> None:
    source = sp.DataSource.directory_with_images(folder_of(tmp_path, PETS))
    again = pickle.loads(pickle.dumps(source))
    assert again.report == source.report
    np.testing.assert_array_equal(again.boxes.edges, source.boxes.edges)
    with pytest.raises(ValueError, match="read-only"):
        source.boxes.edges[0] = 0
    with pytest.raises(AttributeError):
        source.origin = "elsewhere"


def test_the_order_of_the_annotations_does_not_matter(tmp_path: Path) -> None:
    one = sp.DataSource.directory_with_images(folder_of(tmp_path, PETS))
    other = sp.DataSource.directory_with_images(
        folder_of(tmp_path, dict(reversed(list(PETS.items()))))
    )
    assert one.paths == other.paths
    assert one.labels == other.labels
    assert one.boxes.edges.tobytes() == other.boxes.edges.tobytes()
    assert one.boxes.labels.tobytes() == other.boxes.labels.tobytes()


def test_training_needs_a_box() -> None:
    with pytest.raises(InvalidDataError, match="none of its 1 picture has a box; annotate"):
        sp.AnnotatedSource.of({"a.png": []}).require_boxes()
    broken = sp.AnnotatedSource.of(createml({"a.png": [("cat", 5, 5, 0, 0)]}))
    with pytest.raises(InvalidDataError, match=r"dropped: 1 box, no area: .*a.png \[0\]"):
        broken.require_boxes()


def test_an_annotation_type_is_a_bounding_box(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="expected a BoundingBox, or None for"):
        sp.DataSource.directory_with_images(tmp_path, annotation_type="pixel")  # type: ignore[arg-type]
    source = sp.AnnotatedSource.of({"a.png": []})
    with pytest.raises(InvalidParameterError, match="None, for the source has been read already"):
        sp.AnnotatedSource.of(source, sp.BoundingBox())
