"""COCO, Pascal VOC, YOLO and Create ML: what each may hold, and what its errors say."""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import silverprint as sp
from silverprint.errors import InvalidDataError, InvalidParameterError, SilverprintError

Write = Callable[[str, str | bytes | object], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A folder of the pictures a.png, b.png and sub/c.png, and files to write into it."""
    for name in ("a.png", "b.png", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def to_file(name: str, content: str | bytes | object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


def read(tmp_path: Path, **choice: Any) -> sp.AnnotatedSource:
    return sp.DataSource.directory_with_images(tmp_path, **choice)


def refused(folder: Path, file: Path | None = None, **choice: Any) -> str:
    """The reason; the error names `file`, else the folder."""
    with pytest.raises(InvalidDataError) as caught:
        read(folder, **choice)
    assert str(caught.value.file) == str(file or folder)
    return caught.value.reason


def box(**changes: object) -> dict[str, object]:
    at = {"x": 9, "y": 9, "width": 4, "height": 4, **changes}
    return {"label": "cat", "coordinates": at}


def entry(*boxes: object, image: object = "a.png") -> dict[str, object]:
    return {"image": image, "annotations": list(boxes)}


CREATEML_FAULTS: list[tuple[object, str]] = [
    ([7, "image"], 'entry [0]: 7, no object; write {"image": ..., "annotations": [...]}'),
    ([{"Image": "a.png", "": "image"}], "entry [0]: neither 'image' nor 'imagefilename'; did you"),
    ([entry(image=3)], "entry [0]: 'image' is 3, no file name"),
    ([entry(image="a\0.png")], "entry [0]: 'image' is 'a\\x00.png', no file name"),
    (
        [{"image": "a.png", "anotations": []}],
        "entry [0]: neither 'annotations' nor 'annotation'; d",
    ),
    (
        [{"image": "a.png", "annotations": 3}],
        "entry [0], 'a.png': 3 where a list of boxes is expec",
    ),
    ([entry("cat")], "entry [0], 'a.png', box [0]: 'cat', no object with a label and coordinates"),
    ([entry({"label": "cat"})], "entry [0], 'a.png', box [0]: no 'coordinates'"),
    (
        [entry({"label": "cat", "coordinates": [1, 2, 3, 4]})],
        "entry [0], 'a.png', box [0]: [1, 2, ",
    ),
    ([entry(box(), box(x="9"))], "entry [0], 'a.png', box [1]: x is '9', no number; correct or re"),
    ([entry(box(width=None))], "entry [0], 'a.png', box [0]: width is None, no number"),
    ([entry(box(height=10**400))], "entry [0], 'a.png', box [0]: height is 1000"),
    (
        [entry({"coordinates": box()["coordinates"]})],
        "entry [0], 'a.png', box [0]: no 'label'; giv",
    ),
    (
        [entry(box() | {"label": " "})],
        "entry [0], 'a.png': the label is ' '; give text that is not",
    ),
    ([entry(box() | {"label": 3})], "entry [0], 'a.png': the label is 3; give text"),
    ([entry(box() | {"label": ["a"]})], "entry [0], 'a.png': the label is ['a']; give text"),
    (
        [entry(), entry(image="./a.png")],
        "entry [1]: './a.png' stands in entry [0] too; list each picture once, with all of its",
    ),
    (
        [entry(), entry(image="b.jpg"), entry(image="zebra.png")],
        "2 of 3 pictures that it names cannot be found in {folder}: 'b.jpg' (entry [1]), 'zebra.pn",
    ),
    (
        [entry(image="other/c.png")],
        "1 of 1 picture that it names cannot be found in {folder}: 'oth",
    ),
]


@pytest.mark.parametrize(("content", "reason"), CREATEML_FAULTS)
def test_faults_of_create_mls_json(
    tmp_path: Path, write: Write, content: object, reason: str
) -> None:
    file = write("m.json", content)
    found = refused(tmp_path, file, annotation_file=file)
    assert found.startswith(reason.replace("{folder}", str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '[\n{"image": "a.png",\n "annotations": [}]',
            "line 3, column 18: not JSON (Expecting val",
        ),
        ('[{"image": "a.png"}', "line 1, column 20: not JSON (',' expected); correct it, or write"),
        ('[{"image": "a.png"},]', "line 1, column 21: not JSON (Expecting value)"),
        ('[{"image": "a.png"}]]', "line 1, column 21: not JSON (the end of the file expected)"),
        ('[{"image": "a.png}]', "line 1, column 12: not JSON (Unterminated string"),
        ('[{"image": ' + "[" * 100_000, "line 1, column 2: not JSON (nested too deeply)"),
        ('["image", ' + "9" * 5000 + "]", "entry [0]: 'image', no object"),
        ('{"images": [],\n"annotations": [{]}', "line 2, column 18: not JSON (Expecting property"),
        ('{"images": [], "annotations" []}', "line 1, column 30: not JSON (':' expected)"),
        ('{"images": [], "annotations": [], 3: 4}', "line 1, column 35: not JSON (a key in double"),
        (b'[{"image": "caf\xe9.png"}]', "line 1: byte 0xe9 is not UTF-8; save it as text in UTF-8"),
    ],
)
def test_broken_json_is_told_by_line_and_column(
    tmp_path: Path, write: Write, text: str | bytes, reason: str
) -> None:
    file = write("m.json", text)
    assert refused(tmp_path, file).startswith(reason)


def test_json_that_is_something_else(tmp_path: Path, write: Write) -> None:
    file = write("m.json", {"image": "a.png", "annotations": []})
    assert refused(tmp_path).startswith(
        "holds no annotation file; m.json is JSON, but neither Create ML's nor COCO's; add a JSON"
    )
    assert refused(tmp_path, file, annotation_file=file).startswith(
        "JSON, but neither Create ML's (a list of pictures) nor COCO's (images, annotations); give"
    )
    broken = write("m.json", '{"shapes": [}')
    assert refused(tmp_path, broken, annotation_file=broken).startswith("line 1, column 13: not JS")
    assert refused(tmp_path, write("m.csv", ""), annotation_file="m.csv") == (
        "no annotations that are known; give a JSON file of Create ML or COCO, a folder of Pascal "
        "VOC's XML files, or YOLO's text files with a data.yaml"
    )
    assert refused(tmp_path, Path("n.json"), annotation_file="n.json") == "no such file"
    assert refused(tmp_path, tmp_path / "sub", annotation_file="sub").startswith("holds no annotat")


def test_a_folder_without_annotations_or_pictures(tmp_path: Path, write: Write) -> None:
    assert refused(tmp_path).startswith("holds no annotation file; add a JSON file of Create ML or")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(empty).startswith("holds no picture; give a folder of pictures (.apng, ")
    assert refused(tmp_path / "none").startswith("no such folder; give a folder of pictures and th")


PIXELS = [entry(box(), box(x=50)), entry(box(width=30), image="b.png")]
FRACTIONS = [entry({"label": "cat", "x": 0.5, "y": 0.5, "width": 0.2, "height": 1})]


def test_units_that_cannot_be_are_explained(tmp_path: Path, write: Write) -> None:
    file = write("m.json", PIXELS)
    kind = sp.BoundingBox(units="normalized")
    assert refused(tmp_path, file, annotation_type=kind) == (
        f"entry [0], '{tmp_path / 'a.png'}', box [0]: x 9, y 9, width 4, height 4: fractions of "
        "the picture, from 0 to 1, are expected, but these look like pixels (3 of 3 boxes); say "
        "annotation_type=BoundingBox(units='pixel')"
    )
    file = write("m.json", FRACTIONS)
    assert refused(tmp_path, file) == (
        f"entry [0], '{tmp_path / 'a.png'}', box [0]: x 0.5, y 0.5, width 0.2, height 1: pixels "
        "are expected, but these look like fractions of the picture (1 of 1 boxes); say "
        "annotation_type=BoundingBox(units='normalized')"
    )
    assert len(read(tmp_path, annotation_type=kind)) == 1


def coco(**changes: object) -> dict[str, object]:
    return {
        "info": {"year": 2017},
        "images": [
            {"id": 7, "file_name": "a.png", "width": 640, "height": 480},
            {"id": 9, "file_name": "c.png", "width": None},
            {"id": 8, "file_name": "b.png", "width": 640, "height": 480},
        ],
        "annotations": [
            annotation(),
            annotation(image_id=9, segmentation=[[1, 2, 3, 4]]),
            annotation(category_id=4, bbox=[630, 470, 20, 20]),
            annotation(bbox=[0, 0, 600, 300], iscrowd=1, segmentation={"counts": [1, 2]}),
            annotation(bbox=[700, 0, 10, 10]),
        ],
        "categories": [
            {"id": 3, "name": "cat"},
            {"id": 4, "name": "dog"},
            {"id": 5, "name": "emu", "supercategory": "bird"},
        ],
        **changes,
    }


def annotation(**changes: object) -> dict[str, object]:
    return {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], **changes}


def test_coco(tmp_path: Path, write: Write) -> None:
    write("m.json", coco())
    source = read(tmp_path)
    assert source.labels == ("cat", "dog")
    assert [path.name for path in source.paths] == ["a.png", "b.png", "c.png"]
    assert source.sizes.tolist() == [[640, 480], [640, 480], [0, 0]]
    assert source.items[0][1].edges.tolist() == [[10, 20, 40, 60], [630, 470, 640, 480]]
    assert source.items[2][1].edges.tolist() == [[10, 20, 40, 60]]
    report = source.report
    assert (report.negatives, report.clipped) == (1, 1)
    crowd, outside = report.dropped
    assert (outside.index, outside.reason) == (4, "outside the picture")
    assert (crowd.path.name, crowd.index, crowd.label) == ("a.png", 3, "cat")
    assert crowd.reason == "a crowd region, which is no single object"


def test_the_parts_of_coco_may_stand_in_any_order(tmp_path: Path, write: Write) -> None:
    write("m.json", coco())
    one = read(tmp_path)
    write("m.json", dict(reversed(list(coco().items()))))
    assert read(tmp_path).report == one.report


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"categories": 3}, "'categories' is no list; give one list of them"),
        ({"images": [3]}, "images[0]: no object with an 'id'; give each one of its own"),
        ({"images": [{"id": [7]}]}, "images[0]: no object with an 'id'"),
        ({"images": [{"id": 7}]}, "images[0]: 'file_name' is None, no file name"),
        (
            {"images": [{"id": 7, "file_name": "a.png", "width": "x"}]},
            "images[0]: 'width' is 'x'; g",
        ),
        (
            {"images": [{"id": 7, "file_name": "a.png", "height": 1e99}]},
            "images[0]: 'height' is 1e",
        ),
        (
            {"images": [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]},
            "images[1]: another one has the id 7 too; renumber them",
        ),
        (
            {"images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "a.png"}]},
            "images[1]: 'a.png' stands in images[0] too",
        ),
        ({"categories": [{"id": 3, "name": ""}]}, "categories[0]: the label is ''; give text that"),
        ({"categories": [{"id": 3}]}, "categories[0]: the label is None"),
        ({"annotations": [[]]}, "annotations[0]: no object"),
        ({"annotations": [{"image_id": 7}]}, "annotations[0]: no 'bbox'; give an object-detection"),
        (
            {"annotations": [annotation(bbox=[1, 2, 3])]},
            "annotations[0]: 'bbox' is [1, 2, 3]; give",
        ),
        (
            {"annotations": [annotation(bbox="1234")]},
            "annotations[0]: 'bbox' is '1234'; give [left",
        ),
        (
            {"annotations": [annotation(bbox=[1, 2, 3, None])]},
            "annotations[0]: 'bbox' is [1, 2, 3,",
        ),
        (
            {"annotations": [annotation(), annotation(image_id=70)]},
            "annotations[1]: 'image_id' is 70",
        ),
        (
            {"annotations": [annotation(image_id=[7])]},
            "annotations[0]: 'image_id' is [7], the id of",
        ),
        (
            {"annotations": [annotation(category_id=99)]},
            "annotations[0]: 'category_id' is 99, the i",
        ),
        (
            {"annotations": [annotation(bbox=[0.1, 0.1, 0.5, 0.5])]},
            "images[0], '{a}', box [0]: x 0.1, y 0.1, width 0.5, height 0.5: pixels are expected, ",
        ),
    ],
)
def test_faults_of_cocos_json(
    tmp_path: Path, write: Write, changes: dict[str, object], reason: str
) -> None:
    file = write("m.json", coco(**changes))
    assert refused(tmp_path, file).startswith(reason.replace("{a}", str(tmp_path / "a.png")))


def test_coco_without_one_of_its_lists(tmp_path: Path, write: Write) -> None:
    file = write("m.json", '{"images": [], "annotations": []}')
    assert refused(tmp_path, file).startswith("no list of 'categories'; give an object-detection f")
    file = write("m.json", '{"images": [], "annotations": [], "images": []}')
    assert refused(tmp_path, file) == "'images' stands there twice; give one list of them"


def voc(*objects: str, name: str = "a.png", size: str = "") -> str:
    return f"<annotation><filename>{name}</filename>{size}{''.join(objects)}</annotation>"


def thing(
    xmin: object = 10, ymin: object = 20, xmax: object = 30, ymax: object = 40, name: str = "cat"
) -> str:
    edges = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object><name>{name}</name>{part}<bndbox>{edges}</bndbox></object>"


SIZE = "<size><width>640</width><height>480</height></size>"


def test_pascal_voc(tmp_path: Path, write: Write) -> None:
    write("Annotations/a.xml", voc(thing(), thing(600, 20, 700, 40, "dog"), size=SIZE))
    write("Annotations/b.xml", voc(name="renamed.png"))
    write("Annotations/sub/c.xml", voc(thing(30, 20, 10, 40), thing(1.5), name="", size=SIZE))
    source = read(tmp_path)
    assert source.counts == {"cat": 2, "dog": 1}
    assert source.items[0][1].edges.tolist() == [[10, 20, 30, 40], [600, 20, 640, 40]]
    assert source.sizes.tolist() == [[640, 480], [0, 0], [640, 480]]
    report = source.report
    assert (report.negatives, report.clipped, report.unlisted) == (1, 1, 0)
    assert [(d.path.name, d.index) for d in report.dropped] == [("c.png", 0)]
    assert read(tmp_path, annotation_file="Annotations/a.xml").report.unlisted == 2


def test_equal_file_names_in_several_folders_go_with_their_own_xml(
    tmp_path: Path, write: Write
) -> None:
    for part in ("train", "test"):
        write(f"{part}/images/1.png", "")
        write(f"{part}/xml/1.xml", voc(thing(name=part), name="1.png"))
    source = read(tmp_path)
    for path, boxes in source.items:
        assert [source.labels[label] for label in boxes.labels] == [path.parent.parent.name]


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "it declares a document type, which annotations need not; take <!DOCTYPE> out"),
        (BOMB.encode("utf-16"), "it declares a document type"),
        (
            '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>',
            "it declares a document type",
        ),
        ("<annotation>\n<object></annotation>", "line 2, column 11: not XML (mismatched tag); cor"),
        ("<annotation>&x;</annotation>", "line 1, column 13: not XML (undefined entity)"),
        (
            '<?xml version="1.0" encoding="x-none"?><annotation/>',
            "not XML (unknown encoding: x-non",
        ),
        (voc(thing("x")), "object [0]: <xmin> of its <bndbox> is 'x'; give a number"),
        (
            voc(thing(), "<object><name>a</name></object>"),
            "object [1]: <xmin> of its <bndbox> is m",
        ),
        (voc(size="<size><width>wide</width></size>"), "<width> is 'wide'; give whole pixels, or"),
        (voc(size="<size><height>1e999</height></size>"), "<height> is '1e999'; give whole pixels"),
    ],
)
def test_faults_of_pascal_vocs_xml(
    tmp_path: Path, write: Write, text: str | bytes, reason: str
) -> None:
    write("ok.xml", voc(name="b.png"))
    file = write("a.xml", text)
    assert refused(tmp_path, file).startswith(reason)


def test_pascal_voc_that_does_not_fit_its_pictures(tmp_path: Path, write: Write) -> None:
    write("a.xml", voc("<object><name> </name><bndbox/></object>"))
    assert "<xmin> of its <bndbox> is missing" in refused(tmp_path, tmp_path / "a.xml")
    write("a.xml", voc(thing(name=" ")))
    assert refused(tmp_path).startswith("a.xml, object [0]: the label is ' '; give text")
    write("a.xml", voc(thing(), name="z.png"))
    write("b.xml", voc(thing(), name="a.png"))
    assert refused(tmp_path).startswith("b.xml: 'a.png' stands in a.xml too")
    write("z.xml", voc(thing(), name="z.png"))
    (tmp_path / "b.xml").unlink()
    assert refused(tmp_path).startswith("1 of 2 pictures that it names cannot be found in ")


YAML = "path: .\nnc: 2\nnames: ['cat', \"dog\"]  # two\n"


def test_yolo(tmp_path: Path, write: Write) -> None:
    write("data.yaml", YAML)
    write("a.txt", "1 0.5 0.5 0.2 0.4\n\n0 0.95 0.5 0.2 0.4\r\n")
    write("sub/c.txt", "")
    write("train.txt", "./a.png\n./b.png\n")
    source = read(tmp_path)
    assert source.counts == {"cat": 1, "dog": 1}
    found = source.items[0][1]
    assert (found.units, found.size) == ("normalized", None)
    assert found.edges.tolist() == [
        pytest.approx([0.4, 0.3, 0.6, 0.7]),
        pytest.approx([0.85, 0.3, 1, 0.7]),
    ]
    assert found.indices.tolist() == [0, 2]
    report = source.report
    assert (report.pictures, report.negatives, report.clipped, report.unlisted) == (3, 2, 1, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [cat, polar bear]"),
        ("data.yml", "train: x\nnames:\n- cat\n- 'polar bear'\nnc: 2\n"),
        ("data.yaml", "names:\n  # two\n  - cat # tabby\n\n  - polar bear\n"),
        ("data.yaml", 'names:\n  0: cat\n  1: "polar bear"\nval: y\n'),
        ("data.yaml", "names: {1: polar bear, 0: 'cat'}\r\n"),
        ("data.yaml", "names: [\n  cat,  # tabby\n  polar bear,\n]\nnc: 2"),
        ("classes.txt", "cat\npolar bear\n"),
        ("obj.names", "cat\r\npolar bear"),
    ],
)
def test_names_of_yolos_labels(tmp_path: Path, write: Write, name: str, text: str) -> None:
    write(name, text)
    write("labels/a.txt", "0 0.5 0.5 0.2 0.4\n1 0.5 0.5 0.2 0.4\n")
    assert read(tmp_path).labels == ("cat", "polar bear")
    assert read(tmp_path, annotation_file=name).labels == ("cat", "polar bear")
    assert read(tmp_path, annotation_file="labels").labels == ("cat", "polar bear")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names: cat", "line 1: names: cannot be read ('cat' is neither a list nor numbers with"),
        ("names: [cat, [dog]]", "line 1: names: cannot be read (a name expected, not '['); write"),
        ("\nnames: [cat", "line 2: names: cannot be read (',' or ']' expected after 'cat')"),
        ("names: {0: cat, 0: dog}", "line 1: names: cannot be read ('0' where the number of anoth"),
        ("names: {a: cat}", "line 1: names: cannot be read ('a' where the number of another label"),
        ("names: &x [cat]", "line 1: names: cannot be read ('&x [cat]' is neither"),
        ("names: [*x]", "line 1: names: cannot be read ('*x]' is not understood)"),
        ("names:\n  cat\n", "line 1: names: cannot be read ('cat' has no ':')"),
        (
            "names:\n- cat, big\n",
            "line 1: names: cannot be read ('- cat, big' is not one name; put",
        ),
        ("names: ['']", "label 0 has a blank name; give it one"),
        ("names: []", "names no label; write them as names: [cat, dog]"),
        ("names: [a]\nnames: [b]", "names: stands there twice; write them as"),
    ],
)
def test_faults_of_yolos_names(tmp_path: Path, write: Write, text: str, reason: str) -> None:
    file = write("data.yaml", text)
    write("a.txt", "0 0.5 0.5 0.2 0.4\n")
    assert refused(tmp_path, file).startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 0.5 0.5 0.2\n", "line 2: '0 0.5 0.5 0.2'; give the number of a label, x, y, width and"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3\n", "line 2: '0 0.1 0.1 0.2 0.2 0.3 0.3'; give the number of"),
        ("cat 0.5 0.5 0.2 0.4\n", "line 2: 'cat 0.5 0.5 0.2 0.4'; give the number of a label"),
        (
            "7 0.5 0.5 0.2 0.4\n",
            "line 2: label 7 has no name in {yaml}, which names 2; add it there",
        ),
    ],
)
def test_faults_of_yolos_lines(tmp_path: Path, write: Write, text: str, reason: str) -> None:
    yaml = write("data.yaml", YAML)
    file = write("a.txt", "0 0.5 0.5 0.2 0.4\n" + text)
    assert refused(tmp_path, file).startswith(reason.replace("{yaml}", str(yaml)))


def test_yolo_that_does_not_fit_its_pictures(tmp_path: Path, write: Write) -> None:
    write("a.txt", "0 0.5 0.5 0.2 0.4\n")
    assert refused(tmp_path).startswith("YOLO's labels are numbers, and nothing names them; add a")
    write("data.yaml", YAML)
    write("classes.txt", "cat\n")
    assert refused(tmp_path).startswith("the labels are named in classes.txt and in data.yaml; ch")
    (tmp_path / "classes.txt").unlink()
    write("z.txt", "0 0.5 0.5 0.2 0.4\n")
    assert refused(tmp_path).startswith("1 of 4 pictures that it names cannot be found in ")
    (tmp_path / "z.txt").unlink()
    write("a.txt", "0 320 240 20 40\n")
    assert "these look like pixels (1 of 1 boxes); divide them by the picture's" in refused(
        tmp_path
    )
    (tmp_path / "a.txt").unlink()
    assert refused(tmp_path, tmp_path / "data.yaml", annotation_file="data.yaml").startswith(
        "names labels, but no text file of YOLO lies beside or below it"
    )


def test_the_folder_may_be_the_current_one_and_the_annotations_elsewhere(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", "0 0.5 0.5 0.2 0.4\n")
    write("sub/c.txt", "1 0.5 0.5 0.2 0.4\n")
    write("data.yaml", YAML)
    monkeypatch.chdir(tmp_path)
    source = read(Path("."))
    assert [path.as_posix() for path in source.paths] == ["a.png", "b.png", "sub/c.png"]
    assert source.boxes.counts.tolist() == [1, 0, 1]
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.png", "sub"):
        (tmp_path / name).rename(tmp_path / "pictures" / name)
    (tmp_path / "pictures/sub/c.txt").rename(tmp_path / "c.txt")
    for file in ("data.yaml", tmp_path, ".."):
        monkeypatch.chdir(tmp_path / "pictures" if file == ".." else tmp_path)
        folder = Path(".") if file == ".." else Path("pictures")
        assert read(folder, annotation_file=file).boxes.counts.tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind", ["COCO", "Pascal VOC", "YOLO"])
def test_formats_that_define_their_numbers_take_no_type(
    tmp_path: Path, write: Write, kind: str
) -> None:
    if kind == "COCO":
        write("m.json", coco())
    elif kind == "YOLO":
        write("data.yaml", YAML)
        write("a.txt", "0 0.5 0.5 0.2 0.4\n")
    else:
        write("a.xml", voc(thing()))
    with pytest.raises(InvalidParameterError) as caught:
        read(tmp_path, annotation_type=sp.BoundingBox())
    assert caught.value.name == "annotation_type"
    assert f"in the format of {kind}, which defines what the numbers" in caught.value.allowed


def made(kind: str) -> tuple[str, bytes]:
    """A file of this kind that can be read, and its name."""
    if kind == "Create ML":
        return "m.json", json.dumps([*PIXELS, entry(image="sub/c.png")]).encode()
    if kind == "COCO":
        return "m.json", json.dumps(coco()).encode()
    if kind == "YOLO":
        return "a.txt", b"1 0.5 0.5 0.2 0.4\n0 0.95 0.5 0.2 0.4\n"
    if kind == "names":
        return "data.yaml", YAML.encode()
    return "a.xml", voc(thing(), size=SIZE).encode()


@pytest.mark.parametrize("kind", ["Create ML", "COCO", "Pascal VOC", "YOLO", "names"])
def test_damaged_files_never_give_a_foreign_exception(kind: str) -> None:
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sub").mkdir()
        for picture in ("a.png", "b.png", "sub/c.png"):
            (folder / picture).touch()
        if kind in ("YOLO", "names"):
            (folder / "data.yaml").write_text(YAML)
            (folder / "a.txt").write_bytes(made("YOLO")[1])
        file, data = folder / made(kind)[0], made(kind)[1]
        for _ in range(300):
            broken = bytearray(data)
            for _ in range(draw.randint(1, 3)):
                at = draw.randrange(len(broken))
                end = at + draw.choice((0, 1, 1, 8))
                broken[at:end] = draw.choice(
                    [
                        b"",
                        b"\0",
                        b"\xff",
                        b'"',
                        b"-",
                        b"e9",
                        b"[",
                        b"}",
                        b"<",
                        b"&",
                        b"null",
                        b"1e400",
                    ]
                )
            file.write_bytes(broken)
            for chosen in (None, file):
                try:
                    found = read(folder, annotation_file=chosen)
                except SilverprintError:
                    continue
                assert str(found.report)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["image", "annotations", "label", "coordinates", "x", "y", "width", "height"]
            )
            | st.sampled_from(["images", "categories", "id", "image_id", "category_id", "bbox"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.png").touch()
        file = folder / "m.json"
        file.write_text(json.dumps(value))
        for chosen in (None, file):
            with contextlib.suppress(SilverprintError):
                read(folder, annotation_file=chosen)


@given(_JSON)
def test_any_value_in_memory_is_read_or_refused(value: object) -> None:
    for data in (value, {"a.png": value}, [{"image": "a.png", "annotations": value}]):
        with contextlib.suppress(SilverprintError):
            sp.AnnotatedSource.of(data)
