"""Probabilities one can use: the temperature of a model, its calibration and its thresholds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import silverprint as sp
from silverprint.classifier.program import ClassifierProgram
from silverprint.model.calibration import fit_temperature
from support.classifier_sets import COLOURS, draw_set, shared_part, speckled


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels that run into each other: shades between red and blue, labelled by chance."""
    root = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(4)
    red, blue = np.array(COLOURS["red"]), np.array(COLOURS["blue"])
    for i, share in enumerate(rng.random(120)):
        label = "red" if rng.random() < share else "blue"
        (root / label).mkdir(exist_ok=True)
        pixels = speckled(f"{i}", (share * red + (1 - share) * blue).tolist())
        Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


def train(data: Any, **parameters: Any) -> sp.ImageClassifier:
    given = {"classifier": sp.LogisticRegressor(l2=1e-4)} | parameters
    return sp.ImageClassifier(data, sp.ModelParameters(**given), progress=False)


@pytest.fixture(scope="module")
def model(mixed: Path) -> sp.ImageClassifier:
    return train(mixed)


@pytest.fixture(scope="module")
def surest(tmp_path_factory: pytest.TempPathFactory) -> sp.ImageClassifier:
    """Four colours that are always told apart."""
    return train(draw_set(tmp_path_factory.mktemp("colours")))


class TestTemperature:
    def test_a_head_that_knows_its_pictures_by_heart_is_cooled_down(
        self, model: sp.ImageClassifier
    ) -> None:
        """Too weak a penalty makes answers too sure; the temperature takes that back."""
        assert model.record.head["temperature"] > 1.5
        assert model.validation_metrics is not None
        assert model.validation_metrics.calibration_error < 0.15

    def test_it_makes_held_out_answers_more_truthful(
        self, mixed: Path, model: sp.ImageClassifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "silverprint.classifier.evaluation.fit_temperature", lambda answers, truth: 1.0
        )
        raw = train(mixed)
        assert raw.record.head["temperature"] == 1.0
        assert raw.validation_metrics is not None
        assert model.validation_metrics is not None
        assert raw.validation_metrics.confusion_matrix == model.validation_metrics.confusion_matrix
        assert model.validation_metrics.log_loss < raw.validation_metrics.log_loss - 0.05
        assert model.validation_metrics.calibration_error < raw.validation_metrics.calibration_error

    def test_it_is_fitted_to_out_of_fold_answers(
        self, mixed: Path, model: sp.ImageClassifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One for each picture, from heads that never saw it: not all of them are right, as those
        of the final head on its own pictures are."""
        seen = []

        def spy(answers: Any, truth: Any) -> float:
            seen.append((answers, truth))
            return fit_temperature(answers, truth)

        monkeypatch.setattr("silverprint.classifier.evaluation.fit_temperature", spy)
        assert train(mixed).record == model.record
        ((answers, truth),) = seen
        assert answers.shape == (120, 2)
        assert model.training_metrics is not None
        assert model.validation_metrics is not None
        accuracy = (answers.argmax(axis=1) == truth).mean()
        assert accuracy == model.validation_metrics.accuracy < model.training_metrics.accuracy - 0.1

    def test_metrics_while_training_are_those_of_the_written_model(
        self, mixed: Path, model: sp.ImageClassifier
    ) -> None:
        again = model.evaluation(mixed)
        assert model.training_metrics is not None
        assert again.confusion_matrix == model.training_metrics.confusion_matrix
        assert again.log_loss == pytest.approx(model.training_metrics.log_loss, rel=1e-3)
        assert again.calibration_error == pytest.approx(
            model.training_metrics.calibration_error, abs=1e-3
        )

    @pytest.mark.parametrize("form", ["split", "data"])
    def test_it_holds_for_validation_on_other_pictures_too(self, mixed: Path, form: str) -> None:
        """With l2 to be chosen there are out-of-fold answers among the pictures trained on."""
        train_part, held = sp.DataSource.of(mixed).stratified_split([3, 1])
        given = {"split": sp.Split(0.25), "data": held}[form]
        model = train(train_part, validation=given, classifier=sp.LogisticRegressor())
        assert model.record.head["temperature"] != 1.0
        if form == "data":
            again = model.evaluation(held)
            assert model.validation_metrics is not None
            assert again.log_loss == pytest.approx(model.validation_metrics.log_loss, rel=1e-3)

    def test_without_held_out_answers_it_is_1(self, mixed: Path) -> None:
        assert train(mixed, validation=None).record.head["temperature"] == 1.0

    def test_labels_of_a_single_picture_are_nothing_to_fit_one_to(self, tmp_path: Path) -> None:
        model = train(draw_set(tmp_path, dict.fromkeys(COLOURS, 1)))
        assert model.record.head["temperature"] == 1.0
        assert model.validation_metrics is None

    def test_the_metrics_of_a_program_come_from_its_own_phases(self, mixed: Path) -> None:
        from silverprint import _core
        from silverprint.training.progress import Phase

        program = ClassifierProgram(sp.DataSource.of(mixed), sp.ModelParameters())
        while program.phase is not Phase.DONE:
            program.advance(_core.runtime.CancelToken())
        result = program.result()
        assert result.validation_metrics is not None
        assert program.metrics["validation_accuracy"] == result.validation_metrics.accuracy


class TestThreshold:
    def test_it_is_that_of_the_validation(self, model: sp.ImageClassifier) -> None:
        assert model.validation_metrics is not None
        accuracy = model.validation_metrics.accuracy
        every = model.threshold(precision=accuracy)
        assert every.coverage == 1
        assert every.precision == accuracy
        better = model.threshold(precision=accuracy + 0.05)
        assert better.precision >= accuracy + 0.05
        assert 0 < better.coverage < 1
        assert better.probability > every.probability
        assert better == model.validation_metrics.confidence.threshold(accuracy + 0.05)

    def test_answers_above_it_are_as_right_on_pictures_never_seen(self, shared_data: Path) -> None:
        """`animals`: photos held back from all of training; within the noise of some 90."""
        data = shared_part(shared_data, "animals", "train", per_label=24)
        model = train(data, classifier=sp.LogisticRegressor())
        threshold = model.threshold(precision=0.9)
        test = shared_part(shared_data, "animals", "test")
        rows = model.probabilities([path for path, _ in test.items])
        truth = np.array([model.labels.index(label) for _, label in test.items])
        trusted = rows.max(axis=1) >= threshold.probability
        assert trusted.mean() == pytest.approx(threshold.coverage, abs=0.15)
        assert (rows.argmax(axis=1) == truth)[trusted].mean() > 0.8

    def test_where_all_is_right_the_least_probability_is_enough(
        self, surest: sp.ImageClassifier
    ) -> None:
        threshold = surest.threshold(1.0)
        assert (threshold.precision, threshold.coverage, threshold.count) == (1.0, 1.0, 32)
        assert threshold.precision_interval == pytest.approx((0.893, 1.0), abs=1e-3)

    def test_one_out_of_reach_names_what_can_be_reached(self, mixed: Path) -> None:
        rng = np.random.default_rng(0)
        paths = sorted(mixed.rglob("*.png"))
        shuffled = rng.permutation(len(paths))
        data = {
            "heads": [paths[i] for i in shuffled[::2]],
            "tails": [paths[i] for i in shuffled[1::2]],
        }
        with pytest.raises(sp.InvalidParameterError, match="at most 0"):
            train(data, classifier=sp.LogisticRegressor(l2=10.0)).threshold(0.99)

    def test_without_validation_there_is_none(self, mixed: Path) -> None:
        with pytest.raises(sp.SilverprintError, match="trained without validation"):
            train(mixed, validation=None).threshold(0.9)

    @pytest.mark.parametrize("precision", [0, 2, "most", None])
    def test_precision_is_a_share(self, model: sp.ImageClassifier, precision: Any) -> None:
        with pytest.raises(sp.InvalidParameterError, match="precision"):
            model.threshold(precision)

    def test_a_loaded_or_pickled_model_has_the_same(
        self, model: sp.ImageClassifier, tmp_path: Path
    ) -> None:
        model.write(tmp_path / "Model.onnx")
        for again in (sp.load(tmp_path / "Model.onnx"), pickle.loads(pickle.dumps(model))):
            assert again.threshold(0.7) == model.threshold(0.7)
            assert again.validation_metrics is not None
            assert model.validation_metrics is not None
            assert (
                again.validation_metrics.calibration_error
                == model.validation_metrics.calibration_error
            )
