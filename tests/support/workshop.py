"""A place with pictures, a small backbone and a session folder, for tests of sessions."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import silverprint as sp
from silverprint._core.runtime import CancelToken
from silverprint.classifier.program import ClassifierProgram
from silverprint.classifier.resuming import program_of
from support.classifier_sets import COLOURS, draw_set
from support.graphs import PLAIN
from support.guests import tiny_extractor
from support.sessions import contents, resumed

PER_LABEL = 6
PICTURES = PER_LABEL * len(COLOURS)


@dataclass(frozen=True)
class Workshop:
    """`photos/`, `tiny.onnx` and `session/` in a folder.

    Blocks of the extraction are two pictures (see the fixture that makes it).
    """

    folder: Path

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def session_folder(self) -> Path:
        return self.folder / "session"

    def draw(self) -> Workshop:
        draw_set(self.photos, dict.fromkeys(COLOURS, PER_LABEL))
        tiny_extractor(self.folder)
        return self

    def extractor(self, name: str = "tiny.onnx") -> sp.CustomFeatureExtractor:
        return sp.CustomFeatureExtractor(self.folder / name, **PLAIN)  # type: ignore[arg-type]

    def parameters(self, **given: Any) -> sp.ModelParameters:
        given.setdefault("max_iterations", 4)
        if "feature_extractor" not in given:
            given["feature_extractor"] = self.extractor()
        return sp.ModelParameters(**given)

    def kept(self, **given: Any) -> sp.SessionParameters:
        """Checkpoints at every second iteration."""
        return sp.SessionParameters(self.session_folder, **{"checkpoint_interval": 2} | given)

    def make(
        self, data: Any = None, parameters: sp.ModelParameters | None = None, **options: Any
    ) -> sp.TrainingSession:
        return sp.ImageClassifier.make_training_session(
            data or self.photos, parameters or self.parameters(), self.kept(), **options
        )

    def restore(self, **options: Any) -> sp.TrainingSession:
        return sp.ImageClassifier.restore_training_session(self.kept(), **options)

    def finish(self, *data: Any, **options: Any) -> sp.ImageClassifier:
        """Make the session, or go on with it, to the end."""
        return sp.ImageClassifier.resume(self.make(*data, **options)).result()

    def work(self, session: sp.TrainingSession, phase: sp.Phase, units: int = 0) -> None:
        """Go on with a session until `units` of that phase are done, save, and leave it."""
        program = program_of(session)
        assert isinstance(program, ClassifierProgram)
        token = CancelToken()
        try:
            while program.phase is not phase:
                program.advance(token)
                program.save()
            for _ in range(units):
                program.advance(token)
            program.save()
        finally:
            program.close()

    def unfinished(self, phase: sp.Phase, units: int, **options: Any) -> None:
        """A session that was left there."""
        self.work(self.make(**options), phase, units)

    def uninterrupted(self, data: Any = None, **given: Any) -> tuple[Any, ...]:
        """What a training without a session gives; see `contents`."""
        trained = sp.ImageClassifier(data or self.photos, self.parameters(**given), progress=False)
        return contents(trained, self.folder)

    def resumed(self, session: sp.TrainingSession) -> tuple[tuple[Any, ...], int]:
        """What going on with a session gives (see `contents`), and how many pictures it decoded."""
        model, program = resumed(session)
        return contents(model, self.folder), program.counts.decoded if program else 0

    def rename(self, old: str, new: str) -> None:
        """Move a picture, or a folder of them, within `photos`."""
        (self.photos / new).parent.mkdir(exist_ok=True)
        (self.photos / old).rename(self.photos / new)

    def remove_session(self) -> None:
        shutil.rmtree(self.session_folder)


def workshop(folder: Path, monkeypatch: Any) -> Workshop:
    """One whose programs extract two pictures at a time."""
    from silverprint.classifier import extraction

    monkeypatch.setattr(extraction, "BLOCK_SIZE", 2)
    return Workshop(folder).draw()
