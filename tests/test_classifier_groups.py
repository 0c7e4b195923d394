"""Pictures that belong together, and pictures that are the same: what training makes of them."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from support.classifier_sets import COLOURS, draw, draw_set


def train(data: Any, **parameters: Any) -> sp.ImageClassifier:
    given = {"classifier": sp.LogisticRegressor(l2=1e-3)} | parameters
    return sp.ImageClassifier(data, sp.ModelParameters(**given), progress=False)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    root = tmp_path_factory.mktemp("subjects")
    rng = np.random.default_rng(6)
    rows = [("file_name", "label", "subject")]
    for subject, label in enumerate(rng.permutation(["heads", "tails"] * 12)):
        base = np.asarray(Image.open(draw(root / "base" / f"{subject}.png"))).astype(np.int16)
        for number in range(4):
            pixels = np.clip(base + rng.integers(-3, 4, base.shape), 0, 255).astype(np.uint8)
            path = root / f"person {subject}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(path)
            rows.append((path.relative_to(root).as_posix(), str(label), f"s{subject}"))
    with (root / "pictures.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    with (root / "pictures.jsonl").open("w") as stream:
        for row in rows[1:]:
            stream.write(json.dumps(dict(zip(rows[0], row, strict=True))) + "\n")
    return root


class TestGroups:
    """24 subjects of 4 pictures each that hardly differ; a subject's label is drawn at random."""

    def accuracy(self, data: Any, **parameters: Any) -> float:
        model = train(data, **parameters)
        assert model.validation_metrics is not None
        assert model.validation_metrics.count >= 16
        return model.validation_metrics.accuracy

    def test_without_groups_what_was_seen_is_recognised(self, subjects: Path) -> None:
        assert self.accuracy(subjects / "pictures.csv") > 0.9

    @pytest.mark.parametrize("name", ["pictures.csv", "pictures.jsonl"])
    def test_a_column_of_the_manifest_keeps_them_together(self, subjects: Path, name: str) -> None:
        data = sp.DataSource.manifest(subjects / name, group="subject")
        assert self.accuracy(data) < 0.8

    @pytest.mark.parametrize(
        "group_by", ["subject", "folder", lambda path: path.parent.name], ids=["column", "f", "()"]
    )
    def test_a_split_takes_whole_groups(self, subjects: Path, group_by: Any) -> None:
        data = sp.DataSource.manifest(subjects / "pictures.csv")
        model = train(data, validation=sp.Split(0.4, group_by=group_by))
        assert model.validation_metrics is not None
        assert model.validation_metrics.count % 4 == 0
        assert 16 <= model.validation_metrics.count <= 64
        assert model.validation_metrics.accuracy < 0.8
        held = {Path(m.path).parent.name for m in model.validation_metrics.mistakes}
        assert model.training_metrics is not None
        assert model.training_metrics.count + model.validation_metrics.count == 96
        assert held.isdisjoint(Path(m.path).parent.name for m in model.training_metrics.mistakes)

    def test_the_groups_of_the_data_serve_a_split_without_its_own(self, subjects: Path) -> None:
        grouped = sp.DataSource.manifest(subjects / "pictures.csv", group="subject")
        one = train(grouped, validation=sp.Split(0.4))
        other = train(grouped, validation=sp.Split(0.4, group_by="subject"))
        assert one.validation_metrics == other.validation_metrics
        assert one.validation_metrics is not None
        assert one.validation_metrics.count % 4 == 0

    def test_l2_is_chosen_on_subjects_not_seen(self, subjects: Path) -> None:
        """Nothing holds for other subjects here, so the strongest penalty is the best; without
        groups recognising what was seen seems to be worth a weak one."""
        auto = {"classifier": sp.LogisticRegressor(), "validation": None}
        grouped = sp.DataSource.manifest(subjects / "pictures.csv", group="subject")
        whole, divided = (
            train(data, **auto).record.head["l2"] for data in (grouped, subjects / "pictures.csv")
        )
        assert whole > 10 * divided

    def test_unreadable_pictures_leave_the_others_groups_in_place(self, subjects: Path) -> None:
        data = sp.DataSource.manifest(subjects / "pictures.csv", group="subject")
        (first, label), *items = data.items
        lost = sp.DataSource(
            ((first.with_name("lost.png"), label), *items), data.origin, data.groups, data.columns
        )
        model = train(lost, validation=sp.Split(0.4))
        whole = train(data, validation=sp.Split(0.4))
        assert model.validation_metrics is not None
        assert whole.validation_metrics is not None
        assert whole.validation_metrics.count - model.validation_metrics.count in (0, 1)
        assert model.validation_metrics.accuracy < 0.8

    def test_an_unknown_column_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        data = {"red": [tmp_path / "missing.png"], "green": [tmp_path / "lost.png"]}
        with pytest.raises(sp.InvalidParameterError, match="group_by='subjct'"):
            train(data, validation=sp.Split(0.2, group_by="subjct"))

    @pytest.mark.parametrize("validation", ["automatic", sp.Split(0.2)])
    def test_groups_that_leave_nothing_to_hold_out_are_an_error(
        self, tmp_path: Path, validation: Any
    ) -> None:
        """Folders that are the labels themselves."""
        data = sp.DataSource.labeled_directories(draw_set(tmp_path)).grouped("folder")
        with pytest.raises(sp.InvalidDataError, match="group by something finer"):
            train(data, validation=validation)
        assert train(data, validation=None).validation_metrics is None


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = draw_set(tmp_path_factory.mktemp("set"), {"red": 8, "green": 8})
    first = (root / "red" / "0.png").read_bytes()
    for copy in ("red/copy.png", "red/z.png"):
        (root / copy).write_bytes(first)
    (root / "green" / "wrong.png").write_bytes((root / "red" / "5.png").read_bytes())
    return root


class TestDuplicates:
    @pytest.fixture
    def model(self, copies: Path) -> sp.ImageClassifier:
        return train(copies)

    def test_they_are_listed_those_under_two_labels_first(
        self, model: sp.ImageClassifier, copies: Path
    ) -> None:
        wrong, same = model.duplicates
        assert wrong.is_contradictory
        assert wrong.labels == ("green", "red")
        assert wrong.paths == (str(copies / "green" / "wrong.png"), str(copies / "red" / "5.png"))
        assert not same.is_contradictory
        assert [Path(path).name for path in same.paths] == ["0.png", "copy.png", "z.png"]

    def test_a_warning_says_so(self, copies: Path, caplog: pytest.LogCaptureFixture) -> None:
        train(copies)
        (message,) = [record.getMessage() for record in caplog.records]
        one, other = message.split("; ")
        assert one.startswith("1 picture stands under more than one label (such as ")
        assert "wrong.png = 'green'" in one
        assert "5.png = 'red'" in one
        assert other.startswith("2 more files are copies of others (such as ")

    def test_they_train_all_the_same(self, model: sp.ImageClassifier) -> None:
        assert model.record.training["counts"] == {"green": 9, "red": 10}

    def test_they_go_along_in_a_pickle_but_not_in_a_file(
        self, model: sp.ImageClassifier, tmp_path: Path
    ) -> None:
        assert pickle.loads(pickle.dumps(model)).duplicates == model.duplicates
        model.write(tmp_path / "Model.onnx")
        assert b"copy.png" not in (tmp_path / "Model.onnx").read_bytes()
        assert sp.load(tmp_path / "Model.onnx").duplicates == ()

    def test_they_become_a_data_frame(self, model: sp.ImageClassifier) -> None:
        pytest.importorskip("pandas")
        table = model.duplicates.to_pandas()
        assert list(table.columns) == ["paths", "labels"]
        assert len(table) == 2

    def test_where_there_are_none_nothing_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = train(draw_set(tmp_path, dict.fromkeys(COLOURS, 3)))
        assert model.duplicates == ()
        assert not caplog.records
