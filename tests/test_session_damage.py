"""Whatever is damaged in a session, it is found: repaired or told of, and nothing else is lost.

`outcome` goes on with a damaged session and checks what comes of it. The short version flips a
sample of bits; `pytest -m long` flips thousands, in small files each.
"""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

import silverprint as sp
from silverprint.training.store.documents import Documents, Key
from silverprint.training.store.store import DATABASE
from support.sessions import (
    Training,
    advance,
    contents,
    resumed,
    save_always,
    session_of,
    short_training,
)

EXTRACTED = 6
SESSIONS = ("extracting", "training", "finished")


@pytest.fixture(scope="module")
def training() -> Iterator[Training]:
    """With three sessions in its folder: `SESSIONS`."""
    with short_training() as training, pytest.MonkeyPatch.context() as patch:
        save_always(patch)
        folder = training.folder
        advance(session_of(folder, "extracting"), sp.Phase.EXTRACTING_FEATURES, EXTRACTED)
        advance(session_of(folder, "training"), sp.Phase.TRAINING, 3)
        resumed(session_of(folder, "finished"))
        yield training


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    monkeypatch.setattr(logging.getLogger("silverprint"), "level", logging.ERROR)


@pytest.fixture
def copy(training: Training) -> Iterator[Callable[[str], Path]]:
    """Makes a copy of one of the sessions, in place of the one before."""
    with tempfile.TemporaryDirectory(dir=training.folder, ignore_cleanup_errors=True) as place:
        numbers = count()

        def copied(name: str) -> Path:
            number = next(numbers)
            shutil.rmtree(Path(place, str(number - 1)), ignore_errors=True)
            return shutil.copytree(training.folder / name, Path(place, str(number)))

        yield copied


def files_of(session: Path) -> list[str]:
    return sorted(str(p.relative_to(session)) for p in session.rglob("*") if p.is_file())


def outcome(training: Training, folder: Path, damaged: str) -> str:
    """What going on with a session gives: "the same", or "an error" that says what to do.

    A checkpoint that is whole stays whole; one that is not is told of.
    """
    checkpoints = folder / "checkpoints"
    before = {path.name: path.read_bytes() for path in checkpoints.glob("*")}
    error: OSError | None = None
    try:
        session = session_of(training.folder, folder)
        for checkpoint in session.checkpoints:
            if checkpoint.phase is not sp.Phase.TRAINING:
                continue
            if str(checkpoint.url).endswith(damaged):
                with pytest.raises(sp.CorruptSessionError, match="bring it back"):
                    sp.ImageClassifier(checkpoint=checkpoint)
            else:
                model = sp.ImageClassifier(checkpoint=checkpoint)
                assert model._model == training.models[checkpoint.iteration]
        model, _ = resumed(session)
        assert contents(model, training.folder) == training.contents
    except OSError as caught:
        error = caught
    assert before.items() <= {p.name: p.read_bytes() for p in checkpoints.glob("*")}.items()
    if error is None:
        return "the same"
    assert str(error).startswith(str(folder))
    assert "bring it back" in str(error) or "see that the disk" in str(error)
    return "an error"


# ---- one flipped bit


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_some_flipped_bit(training: Training, copy: Callable[[str], Path]) -> None:
    choice = random.Random(0)
    outcomes = set()
    for _ in range(150):
        session = copy(choice.choice(SESSIONS))
        name = choice.choice([DATABASE, *files_of(session)])
        flip(session / name, choice.randrange(8 * (session / name).stat().st_size))
        outcomes.add((outcome(training, session, name), name == DATABASE))
    assert outcomes == {("the same", False), ("the same", True), ("an error", True)}


@pytest.mark.long
@pytest.mark.parametrize("name", SESSIONS)
def test_each_flipped_bit(training: Training, copy: Callable[[str], Path], name: str) -> None:
    """Of the database and the model, which are larger, three thousand."""
    choice = random.Random(name)
    for file in files_of(training.folder / name):
        bits = range(8 * (training.folder / name / file).stat().st_size)
        for bit in bits if len(bits) < 10_000 else choice.sample(bits, 3000):
            session = copy(name)
            flip(session / file, bit)
            found = outcome(training, session, file)
            assert found == "the same" or file == DATABASE, (file, bit)


@pytest.mark.parametrize(
    ("schema", "damaged"), [(b"name TEXT", b"name TEXU"), (b"PRIMARY KEY", b"PRIMARY KE\xd9")]
)
def test_a_damaged_table_is_found_before_anything_is_written(
    training: Training, copy: Callable[[str], Path], schema: bytes, damaged: bytes
) -> None:
    session = copy("extracting")
    before = (session / DATABASE).read_bytes().replace(schema, damaged)
    (session / DATABASE).write_bytes(before)
    assert outcome(training, session, DATABASE) == "an error"
    assert (session / DATABASE).read_bytes() == before


# ---- whole files


@pytest.mark.parametrize("name", SESSIONS)
def test_a_file_that_was_cut(training: Training, copy: Callable[[str], Path], name: str) -> None:
    for file in files_of(training.folder / name):
        size = (training.folder / name / file).stat().st_size
        for left in (0, 1, size // 2, size - 1):
            session = copy(name)
            (session / file).write_bytes((session / file).read_bytes()[:left])
            found = outcome(training, session, file)
            assert found == ("an error" if file == DATABASE else "the same"), (file, left)


@pytest.mark.parametrize("name", SESSIONS)
def test_a_file_that_is_gone(training: Training, copy: Callable[[str], Path], name: str) -> None:
    for file in files_of(training.folder / name):
        session = copy(name)
        (session / file).unlink()
        found = outcome(training, session, file)
        assert found == ("an error" if file == DATABASE else "the same"), file


@pytest.mark.parametrize("cut", [False, True])
def test_only_damaged_features_are_extracted_anew(
    training: Training, copy: Callable[[str], Path], cut: bool
) -> None:
    session = copy("training")
    (features,) = (session / "features").iterdir()
    if cut:
        features.write_bytes(features.read_bytes()[:-1])
    else:
        flip(features, 0)
    _, program = resumed(session_of(training.folder, session))
    assert program is not None
    assert program.counts.decoded == 1


def test_damaged_features_are_not_taken_over_by_another_run(
    training: Training, copy: Callable[[str], Path]
) -> None:
    session = copy("finished")
    (features,) = (session / "features").iterdir()
    flip(features, 0)
    model, program = resumed(session_of(training.folder, session, iterations=3))
    assert program is not None
    assert program.counts.decoded == 1
    whole, _ = resumed(session_of(training.folder, copy("finished"), iterations=3))
    assert contents(model, training.folder) == contents(whole, training.folder)


def test_a_model_that_is_gone_is_made_of_the_features(
    training: Training, copy: Callable[[str], Path]
) -> None:
    session = copy("finished")
    shutil.rmtree(session / "models")
    model, program = resumed(session_of(training.folder, session))
    assert contents(model, training.folder) == training.contents
    assert program is not None
    assert program.counts.decoded == 0


def test_a_session_without_its_database_is_not_taken_for_none(
    training: Training, copy: Callable[[str], Path]
) -> None:
    session = copy("training")
    (session / DATABASE).unlink()
    with pytest.raises(sp.CorruptSessionError, match="bring it back from a copy"):
        sp.ImageClassifier.restore_training_session(sp.SessionParameters(session))


def test_a_session_of_a_newer_silverprint_is_left_alone(
    training: Training, copy: Callable[[str], Path]
) -> None:
    session = copy("training")
    key = Key(0, "session")
    with Documents(session / DATABASE).transaction() as documents:
        body = documents.get(key)
        assert body is not None
        documents.put(key, body.replace(b'"format_version":1', b'"format_version":2'))
    before = {file: (session / file).read_bytes() for file in files_of(session)}
    with pytest.raises(sp.SilverprintError, match=r"format 2.*pip install --upgrade silverprint"):
        session_of(training.folder, session)
    assert before == {file: (session / file).read_bytes() for file in files_of(session)}
