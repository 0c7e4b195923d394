"""Sessions of every format that was ever written are gone on with.

tests/formats/session-N was made by make_session.py on another machine: where its pictures and its
backbone were, there is nothing now.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from silverprint.training.session import SessionView
from support.sessions import parameters, resumed

FORMATS = Path(__file__).parent / "formats"


@pytest.fixture(params=[1])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a stored sample, with its pictures and its backbone."""
    return shutil.copytree(FORMATS / f"session-{request.param}", tmp_path / "sample")


def gone_on_with(sample: Path, name: str) -> sp.TrainingSession:
    """What was begun elsewhere, with the pictures and the backbone where they are now."""
    return sp.ImageClassifier.make_training_session(
        sample / "pictures",
        parameters(sample),
        sp.SessionParameters(sample / name, checkpoint_interval=2),
        numerics="any",
    )


def is_expected(model: sp.ImageClassifier, sample: Path, which: str) -> bool:
    """Whether a model answers as that of the finished training, or of its checkpoint, did."""
    expected: dict[str, Any] = json.loads((sample / "expected.json").read_text())
    found = model.probabilities(sorted(map(str, sample.rglob("*.png"))))
    return np.allclose(found, expected[which], atol=1e-4)


def test_an_unfinished_one(sample: Path) -> None:
    session = gone_on_with(sample, "unfinished")
    assert (session.number, session.phase, session.iteration) == (1, sp.Phase.TRAINING, 3)
    checkpoint = session.checkpoints[-1]
    assert (checkpoint.phase, checkpoint.iteration) == (sp.Phase.TRAINING, 2)
    assert is_expected(sp.ImageClassifier(checkpoint=checkpoint), sample, "checkpoint")
    model, program = resumed(session)
    assert is_expected(model, sample, "probabilities")
    assert program is not None
    assert program.counts.decoded == 0


def test_a_finished_one(sample: Path) -> None:
    view = SessionView(sample / "finished")
    assert view.runs[0].is_finished
    assert (view.runs[0].pictures, view.runs[0].accuracy) == (8, 1.0)
    session = gone_on_with(sample, "finished")
    model, program = resumed(session)
    assert is_expected(model, sample, "probabilities")
    assert program is None or program.counts.decoded == 0


@pytest.mark.parametrize("name", ["unfinished", "finished"])
def test_restored_once_its_backbone_has_a_place_again(sample: Path, name: str) -> None:
    kept = sp.SessionParameters(sample / name)
    with pytest.raises(
        sp.BackboneError, match=r"silverprint-session/tiny\.onnx.*name its new place"
    ):
        sp.ImageClassifier.restore_training_session(kept, data=sample / "pictures")
    gone_on_with(sample, name)
    moved = (sample / "pictures").rename(sample / "photos")
    session = sp.ImageClassifier.restore_training_session(kept, data=moved, numerics="any")
    model, _ = resumed(session)
    assert is_expected(model, sample, "probabilities")
