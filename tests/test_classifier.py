"""`ImageClassifier` from end to end: trained, asked, measured, written and read again."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import silverprint as sp
from support.classifier_sets import COLOURS, draw, draw_set, shared_part

LABELS = ("blue", "green", "red", "yellow")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the same labels that training never sees."""
    return draw_set(tmp_path_factory.mktemp("others"), dict.fromkeys(COLOURS, 3), first=100)


@pytest.fixture(scope="module")
def model(pictures: Path) -> sp.ImageClassifier:
    return sp.ImageClassifier(pictures, progress=False)


@pytest.fixture(scope="module")
def animals(shared_data: Path) -> sp.ImageClassifier:
    return sp.ImageClassifier(shared_part(shared_data, "animals", "train"), progress=False)


class TestRealPictures:
    """The shared set `animals`: 10 labels of 48 photos to train on, 12 to test."""

    def test_it_is_far_better_than_chance_on_photos_it_never_saw(
        self, animals: sp.ImageClassifier, shared_data: Path
    ) -> None:
        metrics = animals.evaluation(shared_part(shared_data, "animals", "test"))
        assert metrics.count == 120
        assert metrics.accuracy > 0.7
        assert metrics.top_k(3) > 0.88
        assert metrics.log_loss < 0.9

    def test_out_of_fold_accuracy_foretells_that_of_the_test(
        self, animals: sp.ImageClassifier, shared_data: Path
    ) -> None:
        validation = animals.validation_metrics
        assert validation is not None
        assert validation.count == 480
        test = animals.evaluation(shared_part(shared_data, "animals", "test"))
        assert abs(validation.accuracy - test.accuracy) < 0.12
        assert animals.training_metrics is not None
        assert animals.training_metrics.accuracy > validation.accuracy

    def test_training_metrics_are_those_of_the_finished_model(
        self, animals: sp.ImageClassifier, shared_data: Path
    ) -> None:
        again = animals.evaluation(shared_part(shared_data, "animals", "train"))
        assert animals.training_metrics is not None
        assert again.confusion_matrix == animals.training_metrics.confusion_matrix
        assert again.log_loss == pytest.approx(animals.training_metrics.log_loss, rel=1e-4)

    def test_mistakes_name_files_that_the_model_indeed_gets_wrong(
        self, animals: sp.ImageClassifier, shared_data: Path
    ) -> None:
        metrics = animals.evaluation(shared_part(shared_data, "animals", "test"))
        assert len(metrics.mistakes) == round(120 * metrics.classification_error)
        for mistake in metrics.mistakes[:5]:
            assert Path(mistake.path).parent.name == mistake.truth
            (answer, probability), *_ = animals.classify(mistake.path)
            assert (answer, probability) == (mistake.answer, mistake.probability)
            assert answer != mistake.truth

    def test_balanced_weights_raise_the_recall_of_a_rare_label(self, shared_data: Path) -> None:
        images = shared_part(shared_data, "grocery", "train").labeled_images()
        few = {"potato": images["potato"][:6], "kiwi": images["kiwi"]}
        test = shared_part(shared_data, "grocery", "test").labeled_images()
        held = {label: test[label] + images[label][-20:] for label in few}
        held["kiwi"], few["kiwi"] = test["kiwi"], few["kiwi"][:48]
        recall = {}
        for weights in (None, "balanced"):
            regressor = sp.LogisticRegressor(l2=1.0, class_weights=weights)  # type: ignore[arg-type]
            parameters = sp.ModelParameters(classifier=regressor, validation=None)
            trained = sp.ImageClassifier(few, parameters, progress=False)
            rows = trained.evaluation(held).precision_recall
            recall[weights] = {row.label: row.recall for row in rows}["potato"]
        assert recall["balanced"] > recall[None]

    def test_an_inner_tensor_of_any_backbone_serves(
        self, shared_data: Path, tmp_path: Path
    ) -> None:
        backbone = sp.CustomFeatureExtractor(
            shared_data / "weights" / "mobilenetv2_float.onnx", output_name="stride16_expanded"
        )
        assert backbone.dimension == 576
        data = shared_part(shared_data, "grocery", "train", per_label=6)
        model = sp.ImageClassifier(
            data, sp.ModelParameters(feature_extractor=backbone, validation=None), progress=False
        )
        assert model.training_metrics is not None
        assert model.training_metrics.accuracy > 0.9
        assert model.record.extractor["name"] == "custom"
        assert model.record.extractor["tensor"] == "stride16_expanded"
        path = tmp_path / "Model.onnx"
        model.write(path)
        again = sp.load(path)
        image = data.items[0][0]
        assert again.probabilities([image]).tobytes() == model.probabilities([image]).tobytes()
        kept = {node.op_type for node in onnx.load(path).graph.node}
        assert "Softmax" in kept


def test_labels_and_counts(model: sp.ImageClassifier) -> None:
    assert model.labels == LABELS
    assert model.record.training["counts"] == dict.fromkeys(LABELS, 8)
    assert model.record.head["converged"] is True


def test_every_picture_has_an_out_of_fold_answer_and_the_head_is_trained_on_all(
    model: sp.ImageClassifier,
) -> None:
    assert model.validation_metrics is not None
    assert model.training_metrics is not None
    assert model.validation_metrics.count == model.training_metrics.count == 32
    assert model.validation_metrics.accuracy == 1.0


@pytest.mark.parametrize("form", ["folder", "text", "mapping", "source"])
def test_data_in_every_form_gives_the_same_model(
    form: str, pictures: Path, model: sp.ImageClassifier, tmp_path: Path
) -> None:
    source = sp.DataSource.labeled_directories(pictures)
    data: Any = {
        "folder": pictures,
        "text": str(pictures),
        "mapping": {label: list(map(str, p)) for label, p in source.labeled_images().items()},
        "source": source,
    }[form]
    model.write(tmp_path / "one.onnx")
    sp.ImageClassifier(data, progress=False).write(tmp_path / "other.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


def test_train_gives_a_job_whose_result_is_the_classifier(
    pictures: Path, model: sp.ImageClassifier
) -> None:
    trained = sp.ImageClassifier.train(pictures).result()
    assert isinstance(trained, sp.ImageClassifier)
    assert trained.record == model.record


class TestValidation:
    def train(self, pictures: Path, validation: Any) -> sp.ImageClassifier:
        parameters = sp.ModelParameters(
            classifier=sp.LogisticRegressor(l2=0.1), validation=validation
        )
        return sp.ImageClassifier(pictures, parameters, progress=False)

    def test_none(self, pictures: Path) -> None:
        model = self.train(pictures, None)
        assert model.validation_metrics is None
        assert model.training_metrics is not None
        assert "validation" not in repr(model)

    def test_none_still_lets_l2_be_chosen(self, pictures: Path) -> None:
        parameters = sp.ModelParameters(validation=None)
        model = sp.ImageClassifier(pictures, parameters, progress=False)
        assert model.validation_metrics is None
        assert model.record.head["l2"] > 0

    def test_a_split_holds_pictures_back_from_the_head(self, pictures: Path) -> None:
        model = self.train(pictures, sp.Split(0.25, seed=3))
        assert model.validation_metrics is not None
        assert model.training_metrics is not None
        held, trained = model.validation_metrics.count, model.training_metrics.count
        assert held + trained == 32
        assert 4 <= held <= 14
        assert sum(model.record.training["counts"].values()) == trained

    @pytest.mark.parametrize("form", ["folder", "source", "mapping"])
    def test_other_pictures(self, pictures: Path, others: Path, form: str) -> None:
        source = sp.DataSource.labeled_directories(others)
        given = {"folder": others, "source": source, "mapping": source.labeled_images()}[form]
        model = self.train(pictures, given)
        assert model.validation_metrics is not None
        assert model.training_metrics is not None
        assert model.validation_metrics.count == 12
        assert model.training_metrics.count == 32
        again = model.evaluation(others)
        assert model.validation_metrics.confusion_matrix == again.confusion_matrix
        assert model.validation_metrics.log_loss == pytest.approx(again.log_loss, rel=1e-4)

    def test_other_pictures_of_some_labels_only(self, pictures: Path, others: Path) -> None:
        model = self.train(pictures, {"red": sorted((others / "red").iterdir())})
        assert model.validation_metrics is not None
        assert model.validation_metrics.labels == LABELS

    def test_a_label_that_training_lacks_is_refused_before_anything_is_read(
        self, pictures: Path, others: Path
    ) -> None:
        wrong = {"red": [others / "red" / "100.png"], "orange": ["no/such/file.jpg"]}
        with pytest.raises(sp.InvalidDataError, match="'orange'"):
            self.train(pictures, wrong)


def test_class_weights_for_a_label_that_is_not_there_are_refused_before_anything_is_read(
    tmp_path: Path,
) -> None:
    data = {"red": [tmp_path / "missing.png"], "green": [tmp_path / "lost.png"]}
    regressor = sp.LogisticRegressor(class_weights={"gren": 2.0})
    with pytest.raises(sp.InvalidParameterError, match=r"'gren'.*did you mean 'green'"):
        sp.ImageClassifier(data, sp.ModelParameters(classifier=regressor), progress=False)


class TestAnswers:
    def test_a_path_bytes_a_pil_image_and_an_array_are_one_picture(
        self, model: sp.ImageClassifier, others: Path
    ) -> None:
        path = others / "green" / "100.png"
        with Image.open(path) as image:
            forms = [path, str(path), path.read_bytes(), image.copy(), np.asarray(image)]
        assert [model.prediction(form) for form in forms] == ["green"] * 5
        assert model.predictions(forms) == ["green"] * 5
        probabilities = model.probabilities(forms)
        assert len({row.tobytes() for row in probabilities}) == 1

    def test_probabilities_have_a_row_for_each_picture_and_a_column_for_each_label(
        self, model: sp.ImageClassifier, others: Path
    ) -> None:
        paths = [others / label / "100.png" for label in ("red", "blue", "red")]
        rows = model.probabilities(paths)
        assert rows.shape == (3, 4)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        assert rows.argmax(axis=1).tolist() == [2, 0, 2]
        assert rows[0].tobytes() == rows[2].tobytes()
        assert rows.tobytes() == model.probabilities(paths, threads=1).tobytes()

    def test_no_pictures_no_answers(self, model: sp.ImageClassifier) -> None:
        assert model.probabilities([]).shape == (0, 4)
        assert model.predictions([]) == []
        assert list(model.stream([])) == []

    def test_classify_gives_the_best_labels_with_their_probabilities(
        self, model: sp.ImageClassifier, others: Path
    ) -> None:
        path = others / "blue" / "100.png"
        answers = model.classify(path)
        assert len(answers) == 3
        assert answers[0][0] == "blue"
        assert [p for _, p in answers] == sorted((p for _, p in answers), reverse=True)
        (row,) = model.probabilities([path])
        assert dict(model.classify(path, top_k=99)) == dict(
            zip(LABELS, map(float, row), strict=True)
        )
        assert model.classify(path, top_k=1) == answers[:1]

    @pytest.mark.parametrize("top_k", [0, -1, 1.5, True, "all"])
    def test_top_k_is_a_positive_number(self, model: sp.ImageClassifier, top_k: Any) -> None:
        with pytest.raises(sp.InvalidParameterError, match="top_k"):
            model.classify(np.zeros((4, 4, 3), np.uint8), top_k=top_k)

    @pytest.mark.parametrize("method", ["predictions", "probabilities", "stream"])
    @pytest.mark.parametrize(
        "one",
        ["cat.jpg", Path("cat.jpg"), b"\xff\xd8", Image.new("RGB", (4, 4)), 5, None],
        ids=lambda value: type(value).__name__,
    )
    def test_many_pictures_are_a_list(
        self, model: sp.ImageClassifier, method: str, one: Any
    ) -> None:
        with pytest.raises(sp.InvalidParameterError, match="list"):
            list(getattr(model, method)(one))

    @pytest.mark.parametrize("method", ["predictions", "probabilities", "stream"])
    def test_one_array_is_not_taken_for_its_rows(
        self, model: sp.ImageClassifier, method: str
    ) -> None:
        with pytest.raises(sp.InvalidParameterError, match="list"):
            list(getattr(model, method)(np.zeros((8, 8, 3), np.uint8)))

    def test_a_picture_that_cannot_be_read_is_named(
        self, model: sp.ImageClassifier, others: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "letter.jpg"
        path.write_text("Dear picture")
        for ask in (model.prediction, model.classify):
            with pytest.raises(sp.InvalidDataError, match=r"letter\.jpg: not a picture"):
                ask(path)  # type: ignore[operator]
        with pytest.raises(sp.InvalidDataError, match=r"letter\.jpg: not a picture"):
            model.predictions([others / "red" / "100.png", path])
        with pytest.raises(sp.InvalidDataError, match=r"missing\.jpg: no such file"):
            model.prediction(tmp_path / "missing.jpg")

    @pytest.mark.parametrize("thing", [3, None, ["a.jpg"], {"a": 1}, np.zeros((3, 3))])
    def test_what_is_no_picture_says_so(self, model: sp.ImageClassifier, thing: Any) -> None:
        with pytest.raises(sp.InvalidDataError):
            model.prediction(thing)

    def test_a_stream_lists_what_cannot_be_read_and_goes_on(
        self, model: sp.ImageClassifier, others: Path, tmp_path: Path
    ) -> None:
        good = sorted(others.rglob("*.png"))
        paths = [*good[:3], tmp_path / "missing.jpg", *good[3:]]
        blocks = list(model.stream(paths, block_size=5))
        positions = [i for block in blocks for i in block.positions.tolist()]
        assert positions == [i for i in range(13) if i != 3]
        ((position, error),) = [failure for block in blocks for failure in block.failures]
        assert position == 3
        assert error.reason == "no such file"
        rows = np.concatenate([block.features for block in blocks])
        assert rows.tobytes() == model.probabilities(good).tobytes()

    @pytest.mark.parametrize("block_size", [0, -1, 1.5, None])
    def test_a_block_has_a_size(self, model: sp.ImageClassifier, block_size: Any) -> None:
        with pytest.raises(sp.InvalidParameterError, match="block_size"):
            list(model.stream(["a.jpg"], block_size=block_size))

    @pytest.mark.parametrize("threads", [0, -1, 1.5, "two", True])
    def test_threads_are_a_positive_number(self, model: sp.ImageClassifier, threads: Any) -> None:
        with pytest.raises(sp.InvalidParameterError, match="threads"):
            model.probabilities(["a.jpg"], threads=threads)

    def test_progress_is_told(self, model: sp.ImageClassifier, others: Path) -> None:
        seen: list[tuple[int, int]] = []
        model.probabilities(
            sorted(others.rglob("*.png")), progress=lambda done, total: seen.append((done, total))
        )
        assert seen[-1] == (12, 12)

    def test_many_threads_may_ask_at_once(self, model: sp.ImageClassifier, others: Path) -> None:
        paths = sorted(others.rglob("*.png"))
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(model.prediction, paths * 2))
        assert answers == [path.parent.name for path in paths * 2]


class TestEvaluation:
    def test_metrics_of_other_pictures(self, model: sp.ImageClassifier, others: Path) -> None:
        metrics = model.evaluation(others)
        assert (metrics.count, metrics.accuracy) == (12, 1.0)
        assert metrics.labels == LABELS
        assert {row.support for row in metrics.precision_recall} == {3}

    def test_labels_that_the_model_does_not_know_are_named(
        self, model: sp.ImageClassifier, others: Path
    ) -> None:
        red = others / "red" / "100.png"
        with pytest.raises(sp.InvalidDataError) as caught:
            model.evaluation({"orange": [red], "pink": ["b.png"]})
        assert "does not know: 'orange', 'pink'" in str(caught.value)
        assert "'blue', 'green', 'red', 'yellow'" in str(caught.value)

    def test_some_of_the_labels_are_enough(self, model: sp.ImageClassifier, others: Path) -> None:
        metrics = model.evaluation({"red": sorted((others / "red").iterdir())})
        assert metrics.accuracy == 1.0
        assert np.isnan(metrics.precision_recall[0].recall)

    def test_what_cannot_be_read_is_bounded_too(
        self, model: sp.ImageClassifier, others: Path
    ) -> None:
        red = sorted((others / "red").iterdir())
        with pytest.raises(sp.InvalidDataError, match="1 of 4 pictures cannot be read"):
            model.evaluation({"red": [*red, "missing.jpg"]})
        metrics = model.evaluation({"red": [*red, "missing.jpg"]}, max_unreadable=0.25)
        assert metrics.count == 3


class TestUnreadablePictures:
    """5 % of all and 20 % of a label may be; `max_unreadable` is the first of the two."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Callable[..., Path]:
        def make(count: int = 40, **broken: int) -> Path:
            draw_set(tmp_path, {"red": count, "green": count})
            for label, number in broken.items():
                for i in range(number):
                    (tmp_path / label / f"{i}.png").write_bytes(b"no picture")
            return tmp_path

        return make

    def train(self, folder: Path, **arguments: Any) -> sp.ImageClassifier:
        parameters = sp.ModelParameters(classifier=sp.LogisticRegressor(l2=0.1), validation=None)
        return sp.ImageClassifier(folder, parameters, progress=False, **arguments)

    def test_a_few_are_left_out_with_a_warning(
        self, folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "silverprint"):
            model = self.train(folder(red=2, green=2))  # 4 of 80
        assert model.record.training["counts"] == {"green": 38, "red": 38}
        assert "4 pictures left out: 4 not a picture (such as " in caplog.text

    def test_more_than_5_percent_stop_the_training(self, folder: Callable[..., Path]) -> None:
        with pytest.raises(sp.InvalidDataError) as caught:
            self.train(folder(red=3, green=2))
        assert "5 of 80 pictures cannot be read, more than max_unreadable=0.05 allows" in str(
            caught.value
        )
        assert "5 not a picture (such as " in caught.value.reason

    def test_more_than_20_percent_of_a_label_stop_it(self, folder: Callable[..., Path]) -> None:
        root = draw_set(folder(count=20, red=5), {"blue": 70, "yellow": 70})
        with pytest.raises(sp.InvalidDataError, match="5 of 20 pictures of label 'red' cannot"):
            self.train(root)

    def test_20_percent_of_a_label_do_not(self, folder: Callable[..., Path]) -> None:
        root = draw_set(folder(count=20, red=4), {"blue": 40, "yellow": 40})
        assert self.train(root).record.training["counts"]["red"] == 16

    def test_max_unreadable_moves_the_bounds(self, folder: Callable[..., Path]) -> None:
        root = folder(count=10, red=5)
        assert self.train(root, max_unreadable=0.25).record.training["counts"]["red"] == 5
        (root / "green" / "0.png").write_bytes(b"")
        with pytest.raises(
            sp.InvalidDataError, match=r"6 of 20 .* 5 not a picture .* 1 empty file"
        ):
            self.train(root, max_unreadable=0.25)
        with pytest.raises(sp.InvalidDataError, match="6 of 20"):
            self.train(root, max_unreadable=0)

    def test_a_label_of_which_nothing_is_left_stops_it_whatever_is_allowed(
        self, folder: Callable[..., Path]
    ) -> None:
        with pytest.raises(sp.InvalidDataError, match="4 of 4 pictures of label 'red'"):
            self.train(folder(count=4, red=4), max_unreadable=1)
        for path in (folder(count=4) / "green").iterdir():
            path.write_bytes(b"")
        with pytest.raises(sp.InvalidDataError, match=r"label 'green' .* 4 empty file"):
            self.train(folder(count=0), max_unreadable=1)

    @pytest.mark.parametrize("share", [-0.1, 1.1, "0.1", None])
    def test_it_is_a_share(self, pictures: Path, share: Any) -> None:
        with pytest.raises(sp.InvalidParameterError, match="max_unreadable"):
            sp.ImageClassifier(pictures, max_unreadable=share)
        model = sp.ImageClassifier.train(pictures).result()
        with pytest.raises(sp.InvalidParameterError, match="max_unreadable"):
            model.evaluation({"red": [pictures / "red" / "0.png", "missing.png"]},
                             max_unreadable=share)  # fmt: skip


class TestFiles:
    def test_a_loaded_model_is_the_one_that_was_written(
        self, animals: sp.ImageClassifier, shared_data: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "Animals.onnx"
        assert animals.write(path) == path
        paths = [p for p, _ in shared_part(shared_data, "animals", "test", per_label=2).items]
        for again in (sp.load(path), sp.ImageClassifier.load(str(path))):
            assert again.labels == animals.labels
            assert repr(again) == repr(animals)
            assert again.record == animals.record
            assert again.validation_metrics == animals.validation_metrics
            assert again.training_metrics == animals.training_metrics
            assert again.probabilities(paths).tobytes() == animals.probabilities(paths).tobytes()
        assert animals.validation_metrics is not None
        assert again.validation_metrics is not None
        assert len(animals.validation_metrics.mistakes) > 0
        assert again.validation_metrics.mistakes == ()

    def test_writing_a_loaded_model_gives_the_same_bytes(
        self, model: sp.ImageClassifier, tmp_path: Path
    ) -> None:
        model.write(tmp_path / "one.onnx")
        sp.load(tmp_path / "one.onnx").write(tmp_path / "two.onnx")
        assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()

    @pytest.mark.parametrize("key", ["author", "silverprint"])
    def test_additional_metadata_takes_no_others_place(self, key: str) -> None:
        with pytest.raises(sp.InvalidParameterError, match=key):
            sp.ModelMetadata(author="me", additional={key: "you"})

    def test_metadata_is_kept_in_the_file_and_not_in_the_model(
        self, model: sp.ImageClassifier, tmp_path: Path
    ) -> None:
        words = sp.ModelMetadata("me", "CC0", "1.0", "colours", {"place": "東京"})
        path = tmp_path / "Colours.onnx"
        model.write(path, metadata=words)
        assert model.record.metadata == sp.ModelMetadata()
        again = sp.load(path)
        assert again.record.metadata == words
        image = np.full((9, 9, 3), 77, np.uint8)
        assert again.probabilities([image]).tobytes() == model.probabilities([image]).tobytes()
        again.write(tmp_path / "Again.onnx")
        assert sp.load(tmp_path / "Again.onnx").record.metadata == words

    def test_an_older_file_is_replaced(self, model: sp.ImageClassifier, tmp_path: Path) -> None:
        path = tmp_path / "Model.onnx"
        path.write_text("what was there")
        model.write(path)
        assert sp.load(path).labels == LABELS
        assert [entry.name for entry in tmp_path.iterdir()] == ["Model.onnx"]

    @pytest.mark.parametrize("name", ["Model", "Model.pt", "Model.onnx.txt", ""])
    def test_another_ending_is_refused(
        self, model: sp.ImageClassifier, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(sp.ExportError, match=r"written as \.onnx, \.mlpackage or \.mlmodel"):
            model.write(tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["Model.onnx", "Model.mlpackage"])
    def test_a_missing_folder_is_named(
        self, model: sp.ImageClassifier, tmp_path: Path, name: str
    ) -> None:
        if name.endswith("package"):
            pytest.importorskip("coremltools")
        with pytest.raises(sp.ExportError, match=rf"{tmp_path / 'missing'}.* create it first"):
            model.write(tmp_path / "missing" / name)

    def test_a_core_ml_package_says_its_size_system_and_swift(
        self, model: sp.ImageClassifier, tmp_path: Path
    ) -> None:
        pytest.importorskip("coremltools")
        path = tmp_path / "Colours.mlpackage"
        summary = model.write(path, sp.ModelMetadata(author="me"))
        assert not isinstance(summary, Path)
        assert summary.size == sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        assert "iOS" in summary.oldest_system
        assert "Colours(" in summary.swift
        assert ".centerCrop" in summary.swift

    def test_a_model_survives_pickling_used_or_not(
        self, model: sp.ImageClassifier, others: Path
    ) -> None:
        image = others / "red" / "100.png"
        golden = model.probabilities([image])
        again = pickle.loads(pickle.dumps(model))
        assert again.probabilities([image]).tobytes() == golden.tobytes()
        assert repr(again) == repr(model)


def test_the_repr_says_what_it_is_how_good_and_on_how_much(model: sp.ImageClassifier) -> None:
    assert repr(model).splitlines() == [
        "ImageClassifier: 4 labels (blue, green, red, yellow)",
        (
            "trained on 32 pictures with ScenePrint revision 0, 224 x 224 center_crop, "
            f"l2 {model.record.head['l2']:g}"
        ),
        "validation accuracy 1.000 (95 % interval 0.893 to 1.000) on 32 pictures",
    ]
    assert str(model) == repr(model)


def test_crop_and_scale_stands_in_the_model_and_is_used(tmp_path: Path) -> None:
    """Wide pictures that differ only outside their middle."""
    for i in range(8):
        for label, colour in (("left", COLOURS["red"]), ("right", COLOURS["blue"])):
            pixels = np.asarray(Image.open(draw(tmp_path / "x" / f"{i}.png", size=60)))
            wide = np.tile(pixels, (1, 4, 1))
            wide[:, :60] = colour if label == "left" else (128, 128, 128)
            wide[:, -60:] = colour if label == "right" else (128, 128, 128)
            (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(wide).save(tmp_path / "set" / label / f"{i}.png")
    accuracy = {}
    for rule in ("center_crop", "scale_fill", "scale_fit"):
        parameters = sp.ModelParameters(
            classifier=sp.LogisticRegressor(l2=0.1), crop_and_scale=rule
        )
        model = sp.ImageClassifier(tmp_path / "set", parameters, progress=False)
        assert model.record.rule.crop_and_scale == rule
        assert model.validation_metrics is not None
        accuracy[rule] = model.validation_metrics.accuracy
    assert accuracy["center_crop"] < 0.8
    assert min(accuracy["scale_fill"], accuracy["scale_fit"]) > 0.9
