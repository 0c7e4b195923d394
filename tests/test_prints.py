"""The built-in prints: which files the package holds, byte for byte."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from silverprint.errors import InvalidParameterError
from silverprint.features.prints import REVISIONS, ScenePrint

PINNED = {
    "scene_print_0.onnx": "51727073ba9f6c836bb9a50c55405c01c7e7477e891c2868268c3d59a05b966b",
}
"""SHA-256 of each file. Once released, a file never changes: models name it by revision only."""

CARD = Path(__file__).resolve().parent.parent / "docs" / "prints.md"


def test_files_are_the_ones_that_were_evaluated() -> None:
    found = {
        entry.name: hashlib.sha256(entry.read_bytes()).hexdigest()
        for entry in (files("silverprint") / "prints").iterdir()
        if entry.name.endswith(".onnx")
    }
    assert found == PINNED


def test_model_card_names_every_file_by_its_digest() -> None:
    if not CARD.is_file():
        pytest.skip("needs the source tree")
    text = CARD.read_text(encoding="utf-8")
    assert [name for name, digest in PINNED.items() if digest not in text] == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_stays_loadable(revision: int) -> None:
    made = ScenePrint(revision)
    record = made.backbone.record
    assert (record["name"], record["revision"]) == ("ScenePrint", revision)
    assert record["licence"] == "Apache-2.0"
    assert made.extract([np.zeros((8, 8, 3), np.uint8)]).shape == (1, made.dimension)


def test_a_revision_that_is_not_here_names_those_that_are() -> None:
    with pytest.raises(InvalidParameterError, match="one of 0"):
        ScenePrint(REVISIONS[-1] + 1)
