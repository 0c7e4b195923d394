"""Checkpoints of a session, and how many iterations it trains."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from support.workshop import Workshop, workshop

EXTRACTING, TRAINING = sp.Phase.EXTRACTING_FEATURES, sp.Phase.TRAINING


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    return workshop(tmp_path, monkeypatch)


def of_training(session: sp.TrainingSession) -> list[sp.Checkpoint]:
    return [one for one in session.checkpoints if one.phase is TRAINING]


def picture(shop: Workshop) -> Path:
    return shop.photos / "red" / "0.png"


class TestModels:
    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"validation": sp.Split(0.25), "classifier": sp.LogisticRegressor(l2=0.1)},
            {"validation": None, "classifier": sp.MultilayerPerceptron([4])},
            {"augmentation": ["flip"]},
        ],
        ids=["folds", "split", "perceptron", "views"],
    )
    def test_each_checkpoint_of_the_training_gives_one(
        self, shop: Workshop, given: dict[str, Any]
    ) -> None:
        session = shop.make(parameters=shop.parameters(max_iterations=6, **given))
        sp.ImageClassifier.resume(session).result()
        found = of_training(session)
        assert len(found) > 1
        for checkpoint in found:
            model = sp.ImageClassifier(checkpoint=checkpoint)
            assert model.labels == ("blue", "green", "red", "yellow")
            probabilities = model.probabilities([picture(shop)])
            assert probabilities.sum() == pytest.approx(1, abs=1e-5)
            assert model.training_metrics is None
            assert str(model).startswith("ImageClassifier: 4 labels")
            path = shop.folder / "checkpoint.onnx"
            model.write(path)
            again = sp.load(path)
            np.testing.assert_array_equal(again.probabilities([picture(shop)]), probabilities)

    def test_of_an_unfinished_session_too(self, shop: Workshop) -> None:
        before = datetime.now(UTC)
        session = shop.make()
        shop.work(session, TRAINING, 5)
        first, second = of_training(session)
        assert (first.iteration, second.iteration) == (2, 4)
        assert before <= first.date <= second.date <= datetime.now(UTC)
        assert first.url.is_file()
        assert shop.session_folder in first.url.parents
        assert set(second.metrics) == {"loss", "validation_accuracy"}
        model = sp.ImageClassifier(checkpoint=second)
        assert model.validation_metrics is not None
        assert model.validation_metrics.accuracy == second.metrics["validation_accuracy"]
        # The session is where it was.
        assert shop.resumed(session) == (shop.uninterrupted(), 0)

    def test_a_job_tells_of_them(self, shop: Workshop) -> None:
        session = shop.make()
        job = sp.ImageClassifier.resume(session)
        told = [event.checkpoint for event in job if event.checkpoint]
        assert told == job.checkpoints == of_training(session)

    def test_they_can_be_pickled(self, shop: Workshop) -> None:
        session = shop.make()
        shop.work(session, TRAINING, 2)
        (checkpoint,) = of_training(session)
        again = pickle.loads(pickle.dumps(checkpoint))
        assert again == checkpoint
        assert sp.ImageClassifier(checkpoint=again).labels


class TestWhatGivesNone:
    def test_a_checkpoint_of_the_extraction(self, shop: Workshop) -> None:
        session = shop.make()
        shop.work(session, EXTRACTING, 2)
        with pytest.raises(sp.InvalidParameterError, match="of the phase 'training'"):
            sp.ImageClassifier(checkpoint=session.checkpoints[0])

    def test_something_else(self) -> None:
        with pytest.raises(sp.InvalidParameterError, match=r"checkpoint='runs/pets'.*'training'"):
            sp.ImageClassifier(checkpoint="runs/pets")  # type: ignore[arg-type]

    def test_data_beside_it(self, shop: Workshop) -> None:
        shop.unfinished(TRAINING, 2)
        (checkpoint,) = of_training(shop.restore())
        with pytest.raises(sp.InvalidParameterError, match="no data and no parameters beside it"):
            sp.ImageClassifier(shop.photos, checkpoint=checkpoint)

    def test_neither(self) -> None:
        with pytest.raises(sp.InvalidParameterError, match="labelled pictures, or a checkpoint"):
            sp.ImageClassifier()

    def test_a_damaged_one(self, shop: Workshop) -> None:
        session = shop.make()
        shop.work(session, TRAINING, 2)
        (checkpoint,) = of_training(session)
        data = bytearray(checkpoint.url.read_bytes())
        data[-1] ^= 1
        checkpoint.url.write_bytes(data)
        with pytest.raises(sp.CorruptSessionError, match="is damaged") as caught:
            sp.ImageClassifier(checkpoint=checkpoint)
        assert str(checkpoint.url) in str(caught.value)
        assert shop.resumed(session) == (shop.uninterrupted(), 0)

    def test_one_whose_backbone_is_gone(self, shop: Workshop) -> None:
        session = shop.make()
        shop.work(session, TRAINING, 2)
        (shop.folder / "tiny.onnx").unlink()
        with pytest.raises(sp.BackboneError, match=r"tiny.onnx.*bring it back"):
            sp.ImageClassifier(checkpoint=of_training(session)[0])


class TestRemoving:
    def test_those_for_which_the_predicate_is_true(self, shop: Workshop) -> None:
        session = shop.make()
        for _ in range(3):
            shop.work(session, TRAINING, 3)
        kept, *others = of_training(session)
        assert others
        newer = session.remove_checkpoints(lambda one: one.iteration > kept.iteration)
        assert newer == len(others)
        assert of_training(session) == [kept]
        assert [one.url.exists() for one in (kept, *others)] == [True, *[False] * len(others)]
        with pytest.raises(sp.InvalidParameterError, match="one that its session still holds"):
            sp.ImageClassifier(checkpoint=others[0])

    def test_loses_nothing(self, shop: Workshop) -> None:
        session = shop.make()
        shop.work(session, TRAINING, 5)
        assert session.remove_checkpoints(lambda one: True) == 2
        assert [one.phase for one in session.checkpoints] == [EXTRACTING]
        assert session.remove_checkpoints(lambda one: True) == 0
        assert shop.resumed(session) == (shop.uninterrupted(), 0)

    def test_asks_about_those_of_earlier_runs_too(self, shop: Workshop) -> None:
        shop.finish()
        picture(shop).unlink()
        shop.finish()
        session = shop.restore()
        count = sum(len(run.checkpoints) for run in session.runs)
        before = session.size_on_disk
        assert session.remove_checkpoints(lambda one: True) == count - 1
        assert session.size_on_disk < before
        assert not list((shop.session_folder / "checkpoints").iterdir())

    def test_a_predicate_that_fails_removes_nothing(self, shop: Workshop) -> None:
        session = shop.make()
        shop.work(session, TRAINING, 4)
        with pytest.raises(ZeroDivisionError):
            session.remove_checkpoints(lambda one: 1 / (one.iteration - 4) < 0)
        assert len(of_training(session)) == 2
        assert session.store.holder is None


class TestIterations:
    def test_they_take_the_place_of_max_iterations(self, shop: Workshop) -> None:
        parameters = shop.parameters(max_iterations=50)
        session = sp.ImageClassifier.make_training_session(
            shop.photos, parameters, shop.kept(iterations=3)
        )
        assert session.model_parameters.max_iterations == 3
        assert shop.resumed(session)[0] == shop.uninterrupted(max_iterations=3)

    def test_they_may_be_raised_before_a_limit_was_reached(self, shop: Workshop) -> None:
        shop.unfinished(TRAINING, 2)
        session = sp.ImageClassifier.restore_training_session(shop.kept(iterations=9))
        assert session.model_parameters.max_iterations == 9
        assert shop.resumed(session) == (shop.uninterrupted(max_iterations=9), 0)
        assert len(session.runs) == 1

    def test_raised_in_a_finished_session_they_begin_a_run(self, shop: Workshop) -> None:
        shop.finish()
        session = sp.ImageClassifier.restore_training_session(shop.kept(iterations=9))
        assert shop.resumed(session) == (shop.uninterrupted(max_iterations=9), 0)
        assert session.runs[-1].changes == "max_iterations 4 → 9"

    def test_the_same_number_begins_none(self, shop: Workshop) -> None:
        shop.finish()
        session = sp.ImageClassifier.restore_training_session(shop.kept(iterations=4))
        assert session.runs[-1].is_finished

    def test_pictures_that_are_gone_are_seen_before_a_run_begins(self, shop: Workshop) -> None:
        golden, _ = shop.resumed(shop.make())
        picture(shop).unlink()
        longer = shop.kept(iterations=9)
        with pytest.raises(sp.ModifiedTrainingDataError) as caught:
            sp.ImageClassifier.restore_training_session(longer, frozen_data=True)
        assert caught.value.removed == (str(picture(shop)),)
        assert shop.resumed(shop.restore()) == (golden, 0)
        session = sp.ImageClassifier.restore_training_session(longer)
        assert session.runs[-1].changes == "1 removed; max_iterations 4 → 9"
