"""Manifests and frames: which rows become labelled pictures, and what the errors say."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.data.source import DataSource
from silverprint.errors import InvalidDataError, InvalidParameterError, SilverprintError

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


def names(source: DataSource) -> list[tuple[str, str]]:
    return [(path.name, label) for path, label in source.items]


def refused(path: Path, **choice: Any) -> str:
    with pytest.raises(InvalidDataError) as caught:
        DataSource.manifest(path, **choice)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.reason


def test_a_manifest_is_a_table_of_pictures_and_labels(tmp_path: Path, write: Write) -> None:
    path = write("pets.csv", "path,label\ndogs/1.jpg,dog\n/far/away.jpg,cat\n1.jpg,cat\n")
    source = DataSource.manifest(path)
    assert source.items == (
        (Path("/far/away.jpg"), "cat"),
        (tmp_path / "1.jpg", "cat"),
        (tmp_path / "dogs/1.jpg", "dog"),
    )
    assert source.origin == str(path)
    assert source.groups is None


CSV = "file,class\na.jpg,cat\nb.jpg,dog\n"
JSONL = '{"file_name": "a.jpg", "label": "cat"}\n\n{"label": "dog", "file_name": "b.jpg"}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", CSV),
        ("m.CSV", "\ufeff" + CSV),
        ("m.csv", CSV.replace("\n", "\r\n")),
        ("m.csv", CSV.replace("\n", "\r")),
        ("m.csv", CSV.replace("\n", "\n\n")),
        ("m.csv", CSV.replace(",", " , ")),
        ("m.csv", CSV.replace(",", ";")),
        ("m.csv", 'file,class\n"a.jpg","cat"\nb.jpg, "dog"'),
        ("m.csv", ",file,class,\n0,a.jpg,cat,\n1,b.jpg,dog,\n,,,\n"),
        ("m.tsv", CSV.replace(",", "\t")),
        ("metadata.jsonl", JSONL),
        ("metadata.jsonl", "\ufeff" + JSONL.replace("\n", "\r\n")),
    ],
)
def test_one_table_in_many_spellings(write: Write, name: str, content: str) -> None:
    path = write(name, content)
    assert names(DataSource.manifest(path)) == [("a.jpg", "cat"), ("b.jpg", "dog")]
    assert DataSource.of(str(path)) == DataSource.manifest(path)


@pytest.mark.parametrize(
    "header",
    ["image,label", "FileName,Class", "file_path,category", "Image Path,target", "img,class_name"],
)
def test_columns_are_known_by_their_usual_names(write: Write, header: str) -> None:
    path = write("m.csv", f"{header}\na.jpg,cat\n")
    assert names(DataSource.manifest(path)) == [("a.jpg", "cat")]


def test_columns_can_be_named(write: Write) -> None:
    path = write("m.csv", "path,thumb,label,breed\na.jpg,t.jpg,cat,manx\n")
    assert names(DataSource.manifest(path, image="thumb", label="breed")) == [("t.jpg", "manx")]
    with pytest.raises(InvalidParameterError) as caught:
        DataSource.manifest(path, label="bread")
    assert str(caught.value) == (
        f"label='bread': expected a column of {path}, 'path', 'thumb', 'label', 'breed'; "
        "did you mean 'breed'?"
    )


def test_a_column_that_is_missing_or_could_be_two(write: Write) -> None:
    assert refused(write("m.csv", "a.jpg,cat\nb.jpg,dog\n")) == (
        "no column is named image, path, file or file_name or the like among 'a.jpg', 'cat'; "
        "name it so, or say image= which it is"
    )
    assert refused(write("m.jsonl", '{"image": "a.jpg", "text": "a cat"}')).startswith(
        "no column is named label, class, category or target or the like among 'image', 'text'; "
    )
    assert refused(write("m.csv", "path,label,category\na.jpg,manx,cat\n")) == (
        "each of the columns 'label', 'category' could be the label; say label= which is"
    )
    assert refused(write("m.csv", "path,label,label\na.jpg,cat,dog\n")) == (
        "line 1: two columns are named 'label'; rename one"
    )


PARTS = "path,label,split\na.jpg,cat,train\nb.jpg,dog,train\nc.jpg,cat,test\nd.jpg,,predict\n"


def test_parts(write: Write) -> None:
    path = write("m.csv", PARTS)
    train = DataSource.manifest(path, part="train")
    assert names(train) == [("a.jpg", "cat"), ("b.jpg", "dog")]
    assert train.origin == f"part 'train' of {path}"
    assert names(DataSource.manifest(path, part="test")) == [("c.jpg", "cat")]
    assert refused(path) == (
        "column 'split' divides it into parts, 'predict' (1), 'test' (1), 'train' (2); choose one, "
        "such as part='train', or rename the column if it does not hold parts"
    )
    assert refused(path, part="predict").startswith("line 5: nothing in column 'label'")
    with pytest.raises(InvalidParameterError) as caught:
        DataSource.manifest(path, part="tran")
    assert str(caught.value) == (
        f"part='tran': expected a part of {path}, 'predict' (1), 'test' (1), 'train' (2); "
        "did you mean 'train'?"
    )


def test_a_part_needs_a_column_and_a_single_one_needs_no_choice(write: Write) -> None:
    with pytest.raises(InvalidParameterError, match="has no column part, split, set, subset or"):
        DataSource.manifest(write("m.csv", CSV), part="train")
    one = write("m.csv", "path,label,part\na.jpg,cat,all\n")
    assert names(DataSource.manifest(one)) == [("a.jpg", "cat")]
    gap = write("m.csv", "path,label,part\na.jpg,cat,train\nb.jpg,dog,\n")
    assert refused(gap, part="train").startswith("line 3: nothing in column 'part'; fill in one")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("m.csv", "path,label\na.jpg,cat\nb.jpg,\n", "line 3: nothing in column 'label'; fill it"),
        (
            "m.csv",
            "path,label\n \t,cat\n",
            "line 2: nothing in column 'path'; fill it in or remove",
        ),
        ("m.csv", "path,label\na.jpg\n", "line 2: 1 value, but line 1 names 2 columns; put quotes"),
        ("m.csv", "path,label\na, b.jpg,cat\n", "line 2: 3 values, but line 1 names 2 columns"),
        ("m.csv", 'path,label\n"a\n.jpg",cat\nb.jpg\n', "line 4: 1 value"),
        ("m.csv", 'path,label\na.jpg,"cat\nb.jpg,dog\n', "line 2: unexpected end of data; check"),
        ("m.csv", "path,label\nx,cat\n./x,dog\n", "line 3: './x' stands under 'dog' here and"),
        (
            "m.csv",
            b"path,label\na.jpg,cat\nb.jpg,caf\xe9\n",
            "line 3: byte 0xe9 is not UTF-8; save",
        ),
        (
            "m.csv",
            "path,label\na.jpg,cat\n".encode("utf-16"),
            "UTF-16, not UTF-8; save it as UTF-8",
        ),
        ("m.csv", "path,label\na.jpg,cat\n".encode("utf-16-le"), "line 1: a zero byte; save"),
        ("m.csv", b"\x89PNG\r\n\x1a\n", "line 1: byte 0x89 is not UTF-8"),
        ("m.csv", "", "empty; list a picture and its label in each line"),
        ("m.csv", '"",\n""', "no row below the names of the columns; list pictures there"),
        ("m.csv", "path,label\n", "no row below the names of the columns"),
        ("m.csv", "path,label\na.jpg," + "x" * 200_000, "line 2: field larger than field limit"),
        ("m.jsonl", "\n \n", "empty"),
        ("m.jsonl", '{"path": "a", "label": "b"}\n{"path"', "line 2: not JSON (Expecting ':'"),
        ("m.jsonl", '{"path": "a", "label": NaN}', "line 1: not JSON (NaN is no number of JSON)"),
        ("m.jsonl", "[" * 100_000, "line 1: not JSON ("),
        ("m.jsonl", '["a.jpg", "cat"]', "line 1: JSON, but no object; write one in each line"),
        ("m.jsonl", '{"path": "a", "label": ["b"]}', "line 1: nothing in column 'label'"),
        ("m.jsonl", '{"path": "a", "label": "b"}\n{"path": "c"}', "line 2: nothing in column 'la"),
        ("m.jsonl", '{"path": "a\\u0000", "label": "b"}', "line 1: 'a\\x00' is no path"),
        ("m.txt", CSV, "not a manifest; give a .csv, .tsv or .jsonl file"),
    ],
)
def test_errors_name_the_file_the_line_and_the_remedy(
    write: Write, name: str, content: str | bytes, reason: str
) -> None:
    assert refused(write(name, content)).startswith(reason)


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.csv") == "no such file"
    (tmp_path / "folder.csv").mkdir()
    assert "use labeled_directories" in refused(tmp_path / "folder.csv")
    with pytest.raises(InvalidParameterError, match="a path"):
        DataSource.manifest(3)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert refused(tmp_path / "pipe.csv") == "not a regular file"


def test_a_folder_that_is_named_like_a_manifest_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "set.csv" / "cat").mkdir(parents=True)
    (tmp_path / "set.csv" / "cat" / "a.jpg").touch()
    assert DataSource.of(tmp_path / "set.csv").counts == {"cat": 1}


def test_a_picture_listed_twice_under_one_label_counts_once(write: Write) -> None:
    rows = "path,label,box,site\na.jpg,cat,1,x\n./a.jpg,cat,2,x\nb.jpg,cat,3,y\n"
    source = DataSource.manifest(write("m.csv", rows))
    assert names(source) == [("a.jpg", "cat"), ("b.jpg", "cat")]
    assert source.columns == (("box", ("", "3")), ("site", ("x", "y")))


def test_json_numbers_and_truth_values_become_text(write: Write) -> None:
    values = [0, 1.5, True, "0"]
    lines = [json.dumps({"image": f"{i}.jpg", "label": v}) for i, v in enumerate(values)]
    source = DataSource.manifest(write("m.jsonl", "\n".join(lines)))
    assert source.counts == {"0": 2, "1.5": 1, "true": 1}


def test_json_text_may_hold_what_ends_a_line_elsewhere(write: Write) -> None:
    path = write("m.jsonl", '{"path": "a.jpg", "label": "two\u2028lines"}')
    assert DataSource.manifest(path).labels == ("two\u2028lines",)


def test_labels_are_text_in_normal_form(write: Write) -> None:
    path = write("m.csv", "path,label\na.jpg,café\nb.jpg, cafe\u0301 \n")
    assert DataSource.manifest(path).counts == {"café": 2}


@pytest.mark.skipif(os.sep != "/", reason="a backslash divides folders here")
def test_backslashes_divide_folders_unless_a_file_is_so_named(tmp_path: Path, write: Write) -> None:
    (tmp_path / "odd\\name.jpg").touch()
    path = write("m.csv", "path,label\ncat\\1.jpg,cat\nodd\\name.jpg,cat\n~/2.jpg,cat\n")
    assert [path for path, _ in DataSource.manifest(path).items] == [
        tmp_path / "cat" / "1.jpg",
        tmp_path / "odd\\name.jpg",
        tmp_path / "~" / "2.jpg",
    ]


GROUPS = "path,label,patient\nb.jpg,cat,p2\na.jpg,dog,p1\nc.jpg,dog,p2\n"


def test_a_column_keeps_pictures_together(write: Write) -> None:
    path = write("m.csv", GROUPS)
    source = DataSource.manifest(path, group="patient")
    assert source.items[0][0].name == "b.jpg"
    assert source.groups == ("p2", "p1", "p2")
    assert DataSource.manifest(path).grouped("patient") == source
    assert pickle.loads(pickle.dumps(source)) == source
    with pytest.raises(InvalidParameterError, match="did you mean 'patient'"):
        DataSource.manifest(path, group="patients")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("d.jpg,cat,", "line 5: nothing in column 'patient'; fill it in or remove the line"),
        ("b.jpg,cat,p3", "line 5: 'b.jpg' stands in group 'p3' here and in group 'p2' in line 2"),
    ],
)
def test_every_picture_needs_one_group(write: Write, row: str, reason: str) -> None:
    assert refused(write("m.csv", GROUPS + row), group="patient").startswith(reason)


plain = st.text(st.characters(codec="utf-8", exclude_characters="\0\\"), min_size=1, max_size=8)
cells = plain.map(str.strip).filter(bool)
tables = st.dictionaries(cells.map(lambda name: f"pictures/{name}"), cells, min_size=1)


def by_label(found: dict[str, str]) -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for path, label in found.items():
        paths.setdefault(label, []).append(path)
    return paths


@settings(deadline=None)
@given(tables, st.sampled_from([",", ";", "\t"]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, str], delimiter: str
) -> None:
    """The same pictures as from `files_by_label`, whatever signs names and labels hold."""
    folder = tmp_path_factory.getbasetemp()
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=delimiter)
    writer.writerows([("path", "label"), *found.items()])
    lines = [json.dumps({"path": path, "label": label}) for path, label in found.items()]
    (folder / "m.csv").write_text(table.getvalue(), "utf-8", newline="")
    (folder / "m.jsonl").write_text("\n".join(lines), "utf-8")
    absolute = {os.path.join(folder, path): label for path, label in found.items()}
    try:
        items = DataSource.files_by_label(by_label(absolute)).items
    except InvalidDataError:  # names such as "." and ".." meet
        for name in ("m.csv", "m.jsonl"):
            assert "stands under" in refused(folder / name)
        return
    columns = {"path": list(absolute), "label": list(absolute.values())}
    for source in (
        DataSource.manifest(folder / "m.csv"),
        DataSource.manifest(folder / "m.jsonl"),
        DataSource.frame(columns),
    ):
        assert {os.path.abspath(path): label for path, label in source.items} == {
            os.path.abspath(path): label for path, label in items
        }


_PIECES = r"""path label part , ; " { } : [ ] {"path":" ","label":" \ \ud800 1e999 null . """
bits = st.sampled_from([*map(str.encode, _PIECES.split()), *b"\t \n \r \xff \0".split(b" ")])


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60), st.lists(st.one_of(bits, st.binary(max_size=4))).map(b"".join)
    ),
    st.sampled_from(["m.csv", "m.tsv", "m.jsonl"]),
    st.booleans(),
)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str, headed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(b"path,label\n" + content if headed and name != "m.jsonl" else content)
    try:
        source = DataSource.manifest(path)
    except SilverprintError as error:
        str(error).encode()
    else:
        assert len(source) > 0
        repr(source).encode()


def test_the_shared_sets_are_manifests(shared_data: Path) -> None:
    folder = shared_data / "classification" / "animals"
    train, test = (DataSource.manifest(folder / "split.csv", part=p) for p in ("train", "test"))
    assert train.labels == test.labels
    listed = {path for path, _ in train.items + test.items}
    assert listed <= {path for path, _ in DataSource.labeled_directories(folder).items}


# ------------------------------------------------------------------------------ frames


def test_a_frame_of_columns() -> None:
    source = DataSource.frame(
        {"path": ["b.jpg", Path("a.jpg")], "label": ["dog", 3], "site": [1, 2]}
    )
    assert source.items == ((Path("a.jpg"), "3"), (Path("b.jpg"), "dog"))
    assert source.columns == (("site", ("2", "1")),)
    assert source.origin == "frame"


def test_a_pandas_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "image": ["b.jpg", "a.jpg", "c.jpg"],
            "label": pandas.Categorical([2, 1, 2]),
            "split": ["train", "train", "test"],
            "patient": ["p", "q", "p"],
        },
        index=["one", "two", "three"],
    )
    source = DataSource.frame(frame, part="train", group="patient")
    assert source.items == ((Path("a.jpg"), "1"), (Path("b.jpg"), "2"))
    assert source.groups == ("q", "p")
    assert DataSource.frame(frame, part="test", label="patient").labels == ("p",)
    for nothing in (None, float("nan"), pandas.NA, pandas.NaT, ["cat"]):
        frame["label"] = pandas.Series([2, nothing, 2], dtype=object, index=frame.index)
        with pytest.raises(InvalidDataError) as caught:
            DataSource.frame(frame, part="train")
        assert str(caught.value) == (
            "frame: row two: nothing in column 'label'; fill it in or remove the row"
        )


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({}, "frame: empty"),
        ({"path": [], "label": []}, "frame: empty"),
        ({"path": ["a", "b"], "label": ["x"]}, r"several lengths: 'path' \(2\), 'label' \(1\)"),
        ({"path": "a.jpg", "label": ["x"]}, "a list of values for column 'path'"),
        ({"path": ["a"], "label": [float("nan")]}, "row 0: nothing in column 'label'"),
        ({"path": [3, None], "label": ["x", "y"]}, "row 1: nothing in column 'path'"),
        ({"path": ["a"], "name": ["x"]}, "like among 'path', 'name'; name it so, or say label="),
        ({1: ["a"], "1": ["x"]}, "two columns are named '1'"),
        ("m.csv", "a pandas DataFrame or"),
        ([("a.jpg", "cat")], "a pandas DataFrame or"),
        (None, "a pandas DataFrame or"),
    ],
)
def test_wrong_frames_are_refused(frame: Any, message: str) -> None:
    with pytest.raises(SilverprintError, match=message):
        DataSource.frame(frame)
