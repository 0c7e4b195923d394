"""Coming back to a session with other parameters, groups, or on another machine."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import silverprint as sp
from silverprint.features import kind, prints
from support.graphs import backbone, saved
from support.workshop import PICTURES, Workshop, workshop

EXTRACTING, TRAINING = sp.Phase.EXTRACTING_FEATURES, sp.Phase.TRAINING
HEAD = sp.LogisticRegressor(l2=0.5)
ANEW = "features extracted anew unless they are cached"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    return workshop(tmp_path, monkeypatch)


class TestParameters:
    @pytest.mark.parametrize(
        "given",
        [
            {"max_iterations": 3},
            {"classifier": HEAD},
            {"validation": None},
            {"validation": sp.Split(0.3, seed=2)},
            {"seed": 7},
            {"crop_and_scale": "center_crop"},  # what it was, said aloud
        ],
        ids=str,
    )
    def test_while_extracting_those_of_the_head_may_change(
        self, shop: Workshop, given: dict[str, Any]
    ) -> None:
        shop.unfinished(EXTRACTING, 4)
        session = shop.make(parameters=shop.parameters(**given))
        assert len(session.runs) == 1
        # They are the session's now.
        restored = shop.restore()
        assert restored.model_parameters.classifier == given.get(
            "classifier", sp.LogisticRegressor()
        )
        assert restored.model_parameters.validation == given.get("validation", "automatic")
        model = sp.ImageClassifier.resume(restored).result()
        assert (model.validation_metrics is None) == (given.get("validation", "") is None)
        fresh = sp.ImageClassifier(shop.photos, shop.parameters(**given), progress=False)
        model.write(shop.folder / "a.onnx")
        fresh.write(shop.folder / "b.onnx")
        assert (shop.folder / "a.onnx").read_bytes() == (shop.folder / "b.onnx").read_bytes()

    @pytest.mark.parametrize(
        ("name", "value", "original", "augmentation"),
        [
            ("crop_and_scale", "scale_fit", "center_crop", []),
            ("augmentation", ["crop", "flip"], [], []),
            ("seed", 7, 0, ["flip"]),  # of views
        ],
    )
    def test_those_of_the_features_may_not(
        self, shop: Workshop, name: str, value: object, original: object, augmentation: list[str]
    ) -> None:
        given = {"augmentation": augmentation}
        shop.unfinished(EXTRACTING, 4, parameters=shop.parameters(**given))
        with pytest.raises(sp.IncompatibleParametersError) as caught:
            shop.make(parameters=shop.parameters(**given | {name: value}))
        error = caught.value
        assert (error.parameter, error.original, error.new) == (name, original, value)
        assert "use another session folder" in str(error)

    @pytest.mark.parametrize(
        ("name", "value"), [("classifier", HEAD), ("validation", sp.Split(0.1)), ("seed", 7)]
    )
    def test_once_the_head_is_trained_nor_may_its_own(
        self, shop: Workshop, name: str, value: object
    ) -> None:
        shop.unfinished(TRAINING, 3)
        original = getattr(shop.parameters(), name)
        with pytest.raises(sp.IncompatibleParametersError) as caught:
            shop.make(parameters=shop.parameters(**{name: value}))
        error = caught.value
        assert (error.parameter, error.original, error.new) == (name, original, value)
        assert f"{name}={value!r}" in str(error)
        assert f"begun with {original!r}" in str(error)

    def test_a_data_source_to_validate_on_is_extracted_so_it_may_not(self, shop: Workshop) -> None:
        shop.unfinished(EXTRACTING, 4)
        with pytest.raises(sp.IncompatibleParametersError, match="validation='a data source'"):
            shop.make(parameters=shop.parameters(validation=shop.photos))

    @pytest.mark.parametrize(
        ("given", "changes", "decoded"),
        [
            ({"classifier": HEAD}, f"classifier {sp.LogisticRegressor()!r} → {HEAD!r}", 0),
            (
                {"crop_and_scale": "scale_fit"},
                f"crop_and_scale 'center_crop' → 'scale_fit'; {ANEW}",
                PICTURES,
            ),
        ],
        ids=["head", "features"],
    )
    def test_in_a_finished_session_any_begins_a_run_that_says_so(
        self, shop: Workshop, given: dict[str, Any], changes: str, decoded: int
    ) -> None:
        shop.finish()
        session = shop.make(parameters=shop.parameters(**given))
        assert session.runs[-1].changes == changes
        assert shop.resumed(session) == (shop.uninterrupted(**given), decoded)


class TestBackbones:
    def test_one_that_moved_is_the_same(self, shop: Workshop) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(TRAINING, 3)
        (shop.folder / "tiny.onnx").rename(shop.folder / "moved.onnx")
        with pytest.raises(sp.BackboneError, match=r"tiny\.onnx.*bring it back, name its new"):
            shop.restore()
        moved = shop.parameters(feature_extractor=shop.extractor("moved.onnx"))
        assert shop.resumed(shop.make(parameters=moved)) == (golden, 0)
        assert shop.restore().runs[-1].is_finished
        assert shop.make(parameters=moved).runs[-1].is_finished

    def test_one_that_changed_is_not(self, shop: Workshop) -> None:
        shop.unfinished(EXTRACTING, 3)
        other = backbone()
        other.graph.initializer[0].raw_data = other.graph.initializer[0].raw_data[::-1]
        saved(other, shop.folder / "tiny.onnx")
        with pytest.raises(sp.BackboneError, match=r"tiny\.onnx: not the backbone that"):
            shop.restore()
        with pytest.raises(sp.IncompatibleParametersError) as caught:
            shop.make()
        assert caught.value.parameter == "feature_extractor"
        assert str(shop.folder / "tiny.onnx") in str(caught.value.original)
        assert caught.value.original != caught.value.new

    def test_a_print_that_is_gone_is_to_be_installed(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop.make(parameters=sp.ModelParameters())
        monkeypatch.setattr(prints, "REVISIONS", (7,))
        for come_back in (shop.restore, shop.make):
            with pytest.raises(sp.BackboneError) as caught:
                come_back()
            assert "revision=0: expected one of 7" in str(caught.value)
            assert f"install silverprint {sp.__version__}" in str(caught.value)
            assert "train in another session folder" in str(caught.value)


class TestGroups:
    def pairs(self, shop: Workshop, by: int = 2) -> sp.DataSource:
        """Each group one label's pictures, `by` at a time."""
        data = sp.DataSource.labeled_directories(shop.photos)
        return data.grouped(lambda path: f"{path.parent.name} {int(path.stem) // by}")

    def test_may_change_while_extracting(self, shop: Workshop) -> None:
        shop.unfinished(EXTRACTING, 4)
        session = shop.make(self.pairs(shop))
        assert len(session.runs) == 1
        assert shop.resumed(shop.restore()) == (shop.uninterrupted(self.pairs(shop)), 16)

    def test_may_not_afterwards_unless_that_is_accepted(self, shop: Workshop) -> None:
        shop.unfinished(TRAINING, 3, data=self.pairs(shop))
        with pytest.raises(sp.IncompatibleParametersError, match="begun with '12 groups'") as e:
            shop.make(self.pairs(shop, by=3))
        assert (e.value.parameter, e.value.new) == ("groups", "8 other groups")
        with pytest.raises(sp.IncompatibleParametersError, match="groups='no groups'"):
            shop.make()
        session = shop.make(self.pairs(shop, by=3), accept_changes=True)
        assert session.runs[-1].changes == "other groups"
        assert shop.resumed(session) == (shop.uninterrupted(self.pairs(shop, by=3)), 0)

    def test_begin_a_run_of_a_finished_session(self, shop: Workshop) -> None:
        shop.finish(self.pairs(shop))
        assert shop.make(self.pairs(shop)).runs[-1].is_finished
        session = shop.make()
        assert session.runs[-1].changes == "other groups"

    @pytest.mark.parametrize("group_by", ["folder", "patient"])
    def test_that_a_split_asked_for_stay(self, shop: Workshop, group_by: str) -> None:
        lines = ["path,label,patient"]
        for i, path in enumerate(sorted(shop.photos.rglob("*.png"))):
            patient = f"{path.parent.name} {i % 3}"
            shop.rename(
                str(path.relative_to(shop.photos)), f"{path.parent.name}/{i % 3}/{path.name}"
            )
            lines.append(f"{path.parent.name}/{i % 3}/{path.name},{path.parent.name},{patient}")
        (shop.photos / "all.csv").write_text("\n".join(lines))
        data = sp.DataSource.manifest(shop.photos / "all.csv")
        split = sp.Split(0.3, group_by=group_by)
        golden = shop.uninterrupted(data, validation=split)
        parameters = shop.parameters(validation=split)
        shop.unfinished(EXTRACTING, 4, data=data, parameters=parameters)
        shop.work(shop.restore(), EXTRACTING, 4)
        shop.work(shop.make(data, parameters=parameters), TRAINING, 2)
        assert shop.resumed(shop.restore()) == (golden, 0)
        assert shop.make(data, parameters=parameters).runs[-1].is_finished

    def test_move_with_their_pictures(self, shop: Workshop) -> None:
        golden = shop.uninterrupted(self.pairs(shop))
        shop.unfinished(TRAINING, 3, data=self.pairs(shop))
        moved = shop.photos.rename(shop.folder / "moved")
        assert shop.resumed(shop.restore(data=moved))[0][0] == golden[0]

    def test_are_asked_for_where_pictures_came(self, shop: Workshop) -> None:
        shop.finish(self.pairs(shop))
        (shop.photos / "red" / "0.png").unlink()
        with pytest.raises(sp.InvalidParameterError, match=r"DataSource\.grouped.*1 removed"):
            shop.restore(data=shop.photos)
        assert shop.restore(data=self.pairs(shop)).runs[-1].changes == "1 removed"


class TestAnotherMachine:
    def go(self, monkeypatch: pytest.MonkeyPatch, name: str = "an old laptop") -> None:
        monkeypatch.setattr(kind, "numerics_class", lambda provider: name)

    def test_extracts_anew_and_says_so(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(EXTRACTING, 4)
        self.go(monkeypatch)
        assert shop.resumed(shop.restore()) == (golden, PICTURES)
        assert "here it is an old laptop: they are extracted anew" in caplog.text
        assert 'numerics="any"' in caplog.text

    def test_or_takes_what_is_there_if_asked_to(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(EXTRACTING, 4)
        self.go(monkeypatch)
        with caplog.at_level(logging.WARNING):
            assert shop.resumed(shop.restore(numerics="any")) == (golden, PICTURES - 8)
        assert "old laptop" not in caplog.text

    def test_even_after_it_began_to_extract_anew(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(EXTRACTING, 4)
        self.go(monkeypatch)
        shop.work(shop.restore(), EXTRACTING, 1)
        assert shop.resumed(shop.restore(numerics="any")) == (golden, PICTURES - 8)

    def test_begins_a_session_that_had_none_extracted(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As where it is made on one machine of a cluster and worked on by another."""
        shop.work(shop.make(), EXTRACTING)
        self.go(monkeypatch)
        session = shop.restore()
        shop.work(session, EXTRACTING, 4)
        assert (len(session.runs), caplog.text) == (1, "")
        self.go(monkeypatch, "a desktop")
        shop.work(session, EXTRACTING)
        assert "extracted with an old laptop, here it is a desktop" in caplog.text

    def test_goes_on_once_all_is_extracted(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(TRAINING, 3)
        self.go(monkeypatch)
        assert shop.resumed(shop.make()) == (golden, 0)
        assert shop.resumed(shop.restore()) == (golden, 0)

    def test_begins_a_run_of_a_finished_session(
        self, shop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        golden, _ = shop.resumed(shop.make())
        self.go(monkeypatch)
        assert shop.make(numerics="any").runs[-1].is_finished
        session = shop.make()
        changes = session.runs[-1].changes
        assert changes == f"another ONNX Runtime, decoder or processor; {ANEW}"
        assert shop.resumed(session) == (golden, PICTURES)

    def test_is_not_just_anything(self, shop: Workshop) -> None:
        with pytest.raises(sp.InvalidParameterError, match=r"numerics='some'.*'same' or 'any'"):
            shop.make(numerics="some")
