"""Coming back to a session whose pictures are others than before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import silverprint as sp
from support.classifier_sets import draw_set
from support.workshop import PICTURES, Workshop, workshop

EXTRACTING, TRAINING = sp.Phase.EXTRACTING_FEATURES, sp.Phase.TRAINING


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    return workshop(tmp_path, monkeypatch)


def add(shop: Workshop) -> None:
    draw_set(shop.photos, {"red": 1}, first=90)


def remove(shop: Workshop) -> None:
    (shop.photos / "red" / "0.png").unlink()


def change(shop: Workshop) -> None:
    # The file that the extraction reads first.
    draw_set(shop.folder / "other", {"blue": 1}, first=50)
    shutil.copy(shop.folder / "other" / "blue" / "50.png", shop.photos / "blue" / "0.png")


def relabel(shop: Workshop) -> None:
    shop.rename("blue/0.png", "red/wrong.png")


CHANGES = {"added": add, "removed": remove, "changed": change, "relabelled": relabel}
PLACES = {
    "added": "red/90.png",
    "removed": "red/0.png",
    "changed": "blue/0.png",
    "relabelled": "red/wrong.png",
}


class TestAnUnfinishedSession:
    @pytest.mark.parametrize("kind", CHANGES)
    @pytest.mark.parametrize(("phase", "units"), [(EXTRACTING, 2), (TRAINING, 5)])
    def test_with_other_pictures_is_an_error_that_names_them(
        self, shop: Workshop, kind: str, phase: sp.Phase, units: int
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(phase, units)
        copy = shutil.copytree(shop.photos, shop.folder / "copy")
        CHANGES[kind](shop)
        with pytest.raises(sp.ModifiedTrainingDataError) as caught:
            shop.make()
        for name in CHANGES:
            expected = (str(shop.photos / PLACES[kind]),) if name == kind else ()
            assert getattr(caught.value, name) == expected
        assert f"1 {kind} ({shop.photos / PLACES[kind]})" in str(caught.value)
        assert "bring it back, or accept the changes" in str(caught.value)
        # Brought back, it goes on as if nothing had been.
        shutil.rmtree(shop.photos)
        copy.rename(shop.photos)
        decoded = PICTURES - 2 * units if phase is EXTRACTING else 0
        assert shop.resumed(shop.make()) == (golden, decoded)

    def test_ten_of_each_kind_are_named(self, shop: Workshop) -> None:
        shop.unfinished(TRAINING, 1)
        draw_set(shop.photos, {"red": 12}, first=50)
        with pytest.raises(sp.ModifiedTrainingDataError, match=r"12 added \(.*, \.\.\.\)") as e:
            shop.make()
        assert str(e.value).count(".png") == 10
        assert len(e.value.added) == 12

    @pytest.mark.parametrize("kind", CHANGES)
    @pytest.mark.parametrize(("phase", "units"), [(EXTRACTING, 4), (TRAINING, 5)])
    def test_goes_on_with_them_if_that_is_accepted(
        self, shop: Workshop, kind: str, phase: sp.Phase, units: int
    ) -> None:
        shop.unfinished(phase, units)
        CHANGES[kind](shop)
        session = shop.make(accept_changes=True)
        missing = PICTURES - 2 * units if phase is EXTRACTING else 0
        if phase is TRAINING:
            assert session.runs[-1].changes == f"1 {kind}"
        golden = shop.uninterrupted()
        result, decoded = shop.resumed(session)
        assert result == golden
        # No more is kept than one training's, and nothing that was extracted is extracted again.
        assert not list((shop.session_folder / "training").iterdir())
        assert len(list((shop.session_folder / "features").iterdir())) == 1
        allowed = {"added": {missing + 1}, "removed": {missing, missing - 1}}
        assert decoded in allowed.get(kind, {missing, missing + (kind == "changed")})

    def test_accepting_is_not_needed_and_does_nothing_where_nothing_changed(
        self, shop: Workshop
    ) -> None:
        shop.unfinished(TRAINING, 5)
        session = shop.make(accept_changes=True)
        assert (len(session.runs), session.iteration) == (1, 5)

    @pytest.mark.parametrize(("phase", "units", "decoded"), [(EXTRACTING, 4, 16), (TRAINING, 5, 0)])
    def test_renamed_and_moved_pictures_are_the_same(
        self, shop: Workshop, phase: sp.Phase, units: int, decoded: int
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(phase, units)
        shop.rename("blue/0.png", "blue/zzz.png")
        shop.rename("blue", "sky")
        folders = {"blue": "sky", "green": "green", "red": "red", "yellow": "yellow"}
        images = {label: (shop.photos / name).iterdir() for label, name in folders.items()}
        session = shop.make(images, frozen_data=True)
        assert len(session.runs) == 1
        result, found = shop.resumed(session)
        assert (result[0], found) == (golden[0], decoded)  # the same model

    def test_a_renamed_picture_that_was_not_read_yet_is_another(self, shop: Workshop) -> None:
        shop.unfinished(EXTRACTING, 4)
        shop.rename("yellow/0.png", "yellow/zzz.png")
        with pytest.raises(sp.ModifiedTrainingDataError, match=r"1 added .*1 removed"):
            shop.make()

    def test_changes_upon_changes(self, shop: Workshop) -> None:
        shop.finish()
        add(shop)
        shop.work(shop.make(), TRAINING, 1)
        remove(shop)
        assert shop.make(accept_changes=True).runs[-1].changes == "1 added, then 1 removed"

    def test_of_a_folder_with_another_spelling_is_the_same(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop.unfinished(TRAINING, 5)
        monkeypatch.chdir(shop.photos)
        session = shop.make(".")
        assert (len(session.runs), session.iteration) == (1, 5)
        monkeypatch.chdir(shop.folder)
        shop.finish("photos")
        assert shop.make(shop.photos).runs[-1].is_finished


class TestAFinishedSession:
    @pytest.mark.parametrize("kind", CHANGES)
    def test_begins_a_run_with_what_changed(self, shop: Workshop, kind: str) -> None:
        shop.finish()
        CHANGES[kind](shop)
        session = shop.make()
        assert session.runs[-1].changes == f"1 {kind}"
        new = kind in ("added", "changed")
        assert shop.resumed(session) == (shop.uninterrupted(), new)
        assert session.runs[-1].is_finished

    @pytest.mark.parametrize("kind", CHANGES)
    def test_with_frozen_data_refuses(self, shop: Workshop, kind: str) -> None:
        golden, _ = shop.resumed(shop.make())
        CHANGES[kind](shop)
        with pytest.raises(sp.ModifiedTrainingDataError, match=f"1 {kind}"):
            shop.make(frozen_data=True)
        assert shop.resumed(shop.restore()) == (golden, 0)

    def test_learns_a_new_class_from_its_pictures_alone(self, shop: Workshop) -> None:
        shop.finish()
        draw_set(shop.photos, {"grey": 6})
        session = shop.make()
        assert session.runs[-1].changes == "6 added"
        assert shop.resumed(session) == (shop.uninterrupted(), 6)

    def test_says_so_where_pictures_have_only_moved(self, shop: Workshop) -> None:
        golden, _ = shop.resumed(shop.make())
        shop.photos.rename(shop.folder / "elsewhere")
        session = shop.make(shop.folder / "elsewhere")
        assert session.runs[-1].changes == "24 moved"
        result, decoded = shop.resumed(session)
        assert (result[0], decoded) == (golden[0], 0)
        model = sp.ImageClassifier.resume(session).result()
        assert all("elsewhere" in one.path for one in model.validation_metrics.mistakes)  # type: ignore[union-attr]


class TestValidationData:
    @pytest.fixture
    def others(self, shop: Workshop) -> Path:
        return draw_set(shop.folder / "validation", {"red": 3, "blue": 3}, first=60)

    def test_is_extracted_once(self, shop: Workshop, others: Path) -> None:
        parameters = shop.parameters(validation=others)
        golden = shop.uninterrupted(validation=others)
        shop.unfinished(EXTRACTING, 13, parameters=parameters)  # one block of it is done
        session = shop.restore()
        assert shop.resumed(session) == (golden, 4)

    def test_is_compared_too(self, shop: Workshop, others: Path) -> None:
        parameters = shop.parameters(validation=others)
        shop.unfinished(TRAINING, 2, parameters=parameters)
        (others / "red" / "60.png").unlink()
        with pytest.raises(sp.ModifiedTrainingDataError) as caught:
            shop.make(parameters=shop.parameters(validation=others))
        assert caught.value.removed == (str(others / "red" / "60.png"),)
        shop.finish(parameters=shop.parameters(validation=others), accept_changes=True)
        draw_set(others, {"red": 2}, first=80)
        session = shop.make(parameters=shop.parameters(validation=others))
        assert [run.changes for run in session.runs[1:]] == [
            "validation data: 1 removed",
            "validation data: 2 added",
        ]


class TestPicturesThatAreGone:
    @pytest.mark.parametrize("phase", [TRAINING, sp.Phase.EVALUATING])
    def test_are_not_missed_after_the_extraction(self, shop: Workshop, phase: sp.Phase) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(phase, 0)
        shutil.rmtree(shop.photos)
        assert shop.resumed(shop.restore()) == (golden, 0)
        assert shop.resumed(shop.restore()) == (golden, 0)

    def test_before_that_they_can_come_back(self, shop: Workshop) -> None:
        """A disk that was not there when the session was resumed loses nothing."""
        golden = shop.uninterrupted()
        shop.unfinished(EXTRACTING, 4)
        shop.photos.rename(shop.folder / "away")
        with pytest.raises(sp.InvalidDataError, match=r"16 of 24 pictures cannot be read.*no such"):
            sp.ImageClassifier.resume(shop.restore()).result()
        (shop.folder / "away").rename(shop.photos)
        assert shop.resumed(shop.make(frozen_data=True)) == (golden, 16)

    def test_nor_if_only_some_are_away(self, shop: Workshop) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(EXTRACTING, 11)
        shop.rename("yellow/5.png", "yellow/away")
        shop.work(shop.restore(), EXTRACTING, 1)
        shop.rename("yellow/away", "yellow/5.png")
        assert shop.resumed(shop.restore()) == (golden, 1)


class TestAMovedSession:
    def move(self, shop: Workshop) -> Path:
        elsewhere = shop.folder / "elsewhere"
        elsewhere.mkdir()
        shop.photos.rename(elsewhere / "pictures")
        return elsewhere / "pictures"

    @pytest.mark.parametrize(
        ("phase", "units", "decoded"), [(EXTRACTING, 0, 24), (EXTRACTING, 4, 16), (TRAINING, 5, 0)]
    )
    def test_goes_on_with_its_pictures_elsewhere(
        self, shop: Workshop, phase: sp.Phase, units: int, decoded: int
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(phase, units)
        data = self.move(shop)
        result, found = shop.resumed(shop.restore(data=data))
        assert (result[0], found) == (golden[0], decoded)

    def test_even_after_it_was_looked_for_where_it_was(self, shop: Workshop) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(EXTRACTING, 4)
        data = self.move(shop)
        with pytest.raises(sp.InvalidDataError):
            sp.ImageClassifier.resume(shop.restore()).result()
        result, found = shop.resumed(shop.restore(data=data))
        assert (result[0], found) == (golden[0], 16)

    def test_with_other_pictures_among_them_they_are_named(self, shop: Workshop) -> None:
        shop.unfinished(EXTRACTING, 4)
        data = self.move(shop)
        draw_set(data, {"red": 1}, first=90)
        with pytest.raises(sp.ModifiedTrainingDataError) as caught:
            shop.restore(data=data)
        assert caught.value.added == (str(data / "red" / "90.png"),)
        assert caught.value.removed == caught.value.changed == ()

    def test_reads_no_picture_that_it_will_read_anyway(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop.unfinished(EXTRACTING, 0)
        data = self.move(shop)
        reading: list[object] = []
        opened: Callable[..., int] = os.open

        def recorded(path: object, *arguments: object, **names: object) -> int:
            reading.append(path)
            return opened(path, *arguments, **names)

        monkeypatch.setattr(os, "open", recorded)
        shop.restore(data=data)
        assert not [path for path in reading if str(path).endswith(".png")]
