"""A training that is kept in a folder: what it shows, its runs, and what it refuses."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import silverprint as sp
from silverprint.training.session import SessionView
from silverprint.training.store.store import SessionStore
from support.workshop import PICTURES, Workshop, workshop

EXTRACTING, TRAINING, DONE = sp.Phase.EXTRACTING_FEATURES, sp.Phase.TRAINING, sp.Phase.DONE


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    return workshop(tmp_path, monkeypatch)


def test_a_new_session_has_nothing_done(shop: Workshop) -> None:
    before = datetime.now(UTC)
    session = shop.make()
    assert before <= session.date <= datetime.now(UTC)
    assert session.phase is sp.Phase.INITIALIZED
    assert session.iteration == 0
    assert session.checkpoints == []
    assert session.parameters == shop.kept()
    (run,) = session.runs
    assert (run.number, run.is_finished, run.accuracy, run.model) == (1, False, None, None)
    assert session.size_on_disk > 0
    assert "run 1" in session.summary()
    assert "unfinished" in session.summary()
    assert repr(session) == session.summary()


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_its_folders_are_private(tmp_path: Path, shop: Workshop) -> None:
    shop.unfinished(TRAINING, 5)
    folders = [Path(folder) for folder, _, _ in os.walk(shop.session_folder)]
    assert len(folders) > 2
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_it_shows_how_far_the_work_on_disk_is(shop: Workshop) -> None:
    session = shop.make()
    shop.work(session, EXTRACTING, 3)
    assert (session.phase, session.iteration) == (EXTRACTING, 6)
    (checkpoint,) = session.checkpoints
    assert (checkpoint.phase, checkpoint.iteration) == (EXTRACTING, 6)
    shop.work(session, TRAINING, 5)
    assert (session.phase, session.iteration) == (TRAINING, 5)
    assert [one.phase for one in session.checkpoints] == [EXTRACTING, TRAINING, TRAINING]
    assert session.checkpoints[0].iteration == PICTURES
    assert session.size_on_disk > PICTURES * shop.extractor().dimension * 4


def test_training_in_a_session_gives_what_training_without_one_does(shop: Workshop) -> None:
    golden = shop.uninterrupted()
    session = shop.make()
    assert shop.resumed(session) == (golden, PICTURES)
    assert session.phase is DONE


def test_a_finished_session_gives_its_result_at_once(shop: Workshop) -> None:
    golden, _ = shop.resumed(shop.make())
    again = shop.make()
    assert again.runs[-1].is_finished
    assert shop.resumed(again) == (golden, 0)
    assert shop.resumed(shop.restore()) == (golden, 0)
    job = sp.ImageClassifier.resume(again)
    assert job.progress.metrics == {
        "training_accuracy": golden[3].accuracy,
        "validation_accuracy": golden[1].accuracy,
    }
    assert len(again.runs) == 1
    with again.store.writer():  # whoever works on it does not matter
        assert shop.resumed(again) == (golden, 0)


def test_cancelling_is_pausing(shop: Workshop) -> None:
    golden = shop.uninterrupted()
    job = sp.ImageClassifier.resume(shop.make())
    for event in job:
        if event.progress.phase is EXTRACTING:
            job.cancel()
    with pytest.raises(sp.TrainingCancelled):
        job.result()
    assert shop.resumed(shop.restore())[0] == golden


def test_what_a_run_gave_can_be_looked_at(shop: Workshop) -> None:
    model = shop.finish()
    (run,) = shop.restore().runs
    assert run.is_finished
    assert run.pictures == PICTURES
    assert model.validation_metrics is not None
    assert run.accuracy == model.validation_metrics.accuracy
    assert run.accuracy_interval == model.validation_metrics.accuracy_interval
    assert run.changes == ""
    assert run.model is not None
    assert sp.load(run.model).labels == model.labels
    interval = model.validation_metrics.accuracy_interval
    half = f"± {(interval[1] - interval[0]) / 2:.3f}"
    assert str(run).endswith(f"finished, 24 pictures, accuracy {run.accuracy:.3f} {half}")
    assert str(run) in shop.restore().summary()


def test_every_run_keeps_its_result_and_its_checkpoints(shop: Workshop) -> None:
    shop.finish()
    (shop.photos / "red" / "0.png").unlink()
    shop.finish()
    first, second = shop.restore().runs
    assert (first.number, first.pictures) == (1, PICTURES)
    assert (second.number, second.pictures, second.changes) == (2, PICTURES - 1, "1 removed")
    assert first.model != second.model
    assert shop.restore().checkpoints == list(second.checkpoints)
    assert {one.phase for one in first.checkpoints} == {TRAINING}
    for run in (first, second):
        assert run.model is not None
        assert sum(sp.load(run.model).record.training["counts"].values()) == run.pictures
        assert sp.ImageClassifier(checkpoint=run.checkpoints[-1]).labels


def test_a_damaged_result_is_made_once_more(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    golden, _ = shop.resumed(shop.make())
    (run,) = shop.restore().runs
    assert run.model is not None
    run.model.write_bytes(run.model.read_bytes()[:-100])
    assert shop.resumed(shop.restore()) == (golden, 0)
    assert str(run.model) in caplog.text
    assert "trained anew" in caplog.text
    assert shop.resumed(shop.restore()) == (golden, 0)


class TestExtractedFeaturesAreReused:
    def other(self, shop: Workshop, **given: Any) -> sp.TrainingSession:
        folder = sp.SessionParameters(shop.folder / "other")
        return sp.ImageClassifier.make_training_session(
            shop.photos, shop.parameters(**given), folder
        )

    def test_by_another_session_of_the_same_pictures(self, shop: Workshop) -> None:
        head = sp.LogisticRegressor(l2=0.5)
        golden = shop.uninterrupted(classifier=head)
        shop.work(shop.make(), TRAINING)
        other = self.other(shop, classifier=head)
        assert other.reuse_extracted_features(shop.restore()) == PICTURES
        assert shop.resumed(other) == (golden, 0)

    def test_of_pictures_in_other_places(self, shop: Workshop) -> None:
        shop.work(shop.make(), TRAINING)
        shop.rename("red/0.png", "red/moved.png")
        (shop.photos / "red" / "1.png").unlink()
        other = self.other(shop)
        other.reuse_extracted_features(shop.restore())
        assert shop.resumed(other)[1] == 0

    def test_but_not_before_they_are_there(self, shop: Workshop) -> None:
        shop.unfinished(EXTRACTING, 3)
        with pytest.raises(sp.InvalidParameterError, match="past its extraction"):
            self.other(shop).reuse_extracted_features(shop.restore())

    def test_nor_where_there_are_some_already(self, shop: Workshop) -> None:
        shop.work(shop.make(), TRAINING)
        other = self.other(shop)
        shop.work(other, EXTRACTING, 1)
        with pytest.raises(sp.InvalidParameterError, match="that has extracted nothing yet"):
            other.reuse_extracted_features(shop.restore())

    @pytest.mark.parametrize("given", [{"crop_and_scale": "scale_fit"}, {"augmentation": ["flip"]}])
    def test_nor_of_another_kind(self, shop: Workshop, given: dict[str, Any]) -> None:
        shop.work(shop.make(), TRAINING)
        other = self.other(shop, **given)
        with pytest.raises(sp.InvalidParameterError, match="the same extractor, picture rule") as e:
            other.reuse_extracted_features(shop.restore())
        assert str(shop.session_folder) in str(e.value)
        assert shop.resumed(other)[1] == PICTURES

    def test_a_folder_is_no_session(self, shop: Workshop) -> None:
        with pytest.raises(sp.InvalidParameterError, match=r"from_=.*a training session"):
            shop.make().reuse_extracted_features(shop.session_folder)  # type: ignore[arg-type]


class TestSessionParameters:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("session_directory", ""),
            ("session_directory", None),
            ("report_interval", 0),
            ("checkpoint_interval", 2.5),
            ("checkpoint_interval", True),
            ("iterations", 0),
            ("iterations", "many"),
        ],
    )
    def test_bad_values_are_named(self, name: str, value: object) -> None:
        given = {"session_directory": "runs/pets", name: value}
        with pytest.raises(sp.InvalidParameterError, match=f"^{name}={value!r}: expected"):
            sp.SessionParameters(**given)  # type: ignore[arg-type]

    def test_defaults(self) -> None:
        made = sp.SessionParameters("runs/pets")
        assert (made.report_interval, made.checkpoint_interval, made.iterations) == (5, 10, None)
        assert made.folder == Path.cwd() / "runs" / "pets"

    def test_in_their_place_a_folder_is_refused(self, shop: Workshop) -> None:
        for call in (
            lambda: sp.ImageClassifier.train(shop.photos, None, "runs/pets"),  # type: ignore[arg-type]
            lambda: sp.ImageClassifier.restore_training_session("runs/pets"),  # type: ignore[arg-type]
        ):
            with pytest.raises(sp.InvalidParameterError) as caught:
                call()
            assert str(caught.value).startswith("session_parameters='runs/pets': expected Session")
        with pytest.raises(
            sp.InvalidParameterError, match=r"session='runs/pets'.*restore_training"
        ):
            sp.ImageClassifier.resume("runs/pets")  # type: ignore[arg-type]


class TestFolders:
    def test_a_folder_with_other_things_is_left_alone(self, shop: Workshop) -> None:
        shop.session_folder.mkdir()
        (shop.session_folder / "diary.txt").write_text("Dear session")
        with pytest.raises(sp.InvalidParameterError, match="a new or empty folder"):
            shop.make()
        assert [path.name for path in shop.session_folder.iterdir()] == ["diary.txt"]

    def test_a_file_is_no_folder(self, shop: Workshop) -> None:
        shop.session_folder.write_text("")
        with pytest.raises(sp.InvalidParameterError, match="a folder, not a file"):
            shop.make()

    def test_there_is_nothing_to_restore_in_another_folder(self, shop: Workshop) -> None:
        with pytest.raises(sp.InvalidParameterError, match="session; this holds none") as caught:
            shop.restore()
        assert str(shop.session_folder) in str(caught.value)

    def test_what_cannot_be_trained_leaves_none(self, shop: Workshop) -> None:
        with pytest.raises(sp.InvalidDataError, match="only 1 label"):
            shop.make({"red": ["a.png"]})
        weights = sp.LogisticRegressor(class_weights={"pink": 2.0})
        with pytest.raises(sp.InvalidParameterError, match="pink"):
            shop.make(parameters=shop.parameters(classifier=weights))
        assert not shop.session_folder.exists()

    def test_a_session_that_was_killed_when_it_was_made(self, shop: Workshop) -> None:
        SessionStore.create(shop.session_folder)
        view = SessionView(shop.session_folder)
        assert (view.phase, view.iteration) == (sp.Phase.INITIALIZED, 0)
        assert (view.checkpoints, view.runs) == ([], ())
        assert "nothing begun" in view.summary()
        with pytest.raises(sp.InvalidParameterError, match="this is empty"):
            shop.restore()
        assert shop.finish().labels


def test_a_session_is_of_the_newest_run(shop: Workshop) -> None:
    old = shop.make()
    shop.work(old, TRAINING)
    (shop.photos / "red" / "0.png").unlink()
    shop.make(accept_changes=True)
    with pytest.raises(sp.SilverprintError, match=r"run 2 was begun since.*once more"):
        sp.ImageClassifier.resume(old)
    assert SessionStore(shop.session_folder).holder is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("accept_changes", True), ("frozen_data", True), ("numerics", "any"), ("take_over", True)],
)
def test_what_is_about_sessions_needs_one(shop: Workshop, name: str, value: object) -> None:
    with pytest.raises(sp.InvalidParameterError, match=f"^{name}={value!r}.*there is no session"):
        sp.ImageClassifier.train(shop.photos, **{name: value})  # type: ignore[arg-type]
