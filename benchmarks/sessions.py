"""Sessions and the feature cache: what they cost, and what they save.

trashnet is trained without either, with both, and once more with nothing, or with ten pictures
added; then a session of many features is opened.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import common
import shared_sets
from common import note, say, spread, table

_ROUNDS = 5
_ADDED = 10
_MANY, _DIMENSION = 100_000, 1280

_OPENING = """
import sys, time
from pathlib import Path
import numpy, psutil
import silverprint as sp
import silverprint.classifier.classifier
from silverprint.features.matrix import map_matrix
process = psutil.Process()
before = process.memory_info().rss
begin = time.perf_counter()
session = sp.ImageClassifier.restore_training_session(sp.SessionParameters(sys.argv[1]))
seconds = time.perf_counter() - begin
assert len(session.data) == int(sys.argv[2])
opened = process.memory_info().rss
matrix = map_matrix(Path(sys.argv[1], "features/0001-training.f32"),
                    (int(sys.argv[2]), 1, int(sys.argv[3])))
matrix.sum(dtype="f8")
print(seconds, opened - before, process.memory_info().rss - before)
"""


@dataclass(frozen=True)
class Trained:
    """Wall seconds of a training, of its phases, and what the extraction had to do."""

    seconds: float
    extraction: float
    decoded: int
    runs: int
    model: bytes


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    args = common.start(parser)
    rounds = 2 if args.quick else args.rounds
    say(f"## Sessions and the feature cache, {args.threads} threads\n")
    (folder,) = shared_sets.find_sets(args.data, ["flowers" if args.quick else "trashnet"])
    with tempfile.TemporaryDirectory(prefix="silverprint-sessions-") as work:
        extractors = shared_sets.extractors(args.data)
        for name, extractor in extractors.items():
            trainings(folder, name, extractor, Path(work), rounds, args.threads)
        opening(Path(work), 5_000 if args.quick else _MANY, rounds)


def trainings(
    folder: Path, name: str, extractor: Any, work: Path, rounds: int, threads: int
) -> None:
    """The table of one extractor."""
    import silverprint as sp

    every, _ = shared_sets.sources(folder)
    fewer = sp.DataSource(every.items[::2], every.origin)
    more = sp.DataSource(
        tuple(sorted({*fewer.items, *every.items[1 : 2 * _ADDED : 2]}, key=lambda i: (i[1], i[0]))),
        every.origin,
    )
    parameters = sp.ModelParameters(feature_extractor=extractor)
    cache, kept = work / "cache", work / "session"
    found: dict[str, list[Trained]] = {}

    def run(what: str, data: Any, cached: bool, session: Path | None) -> None:
        place = cache if cached else None
        found.setdefault(what, []).append(train(data, parameters, place, session, threads))

    for number in range(rounds):
        note(f"{name}, round {number + 1} of {rounds}")
        run("neither session nor cache", every, False, None)
        run("session and cache, both new", every, True, kept)
        shutil.rmtree(kept)
        run("new session, cache filled", every, True, kept)
        run("finished session, nothing changed", every, True, kept)
        shutil.rmtree(kept)
        run("half of the pictures", fewer, True, kept)
        shutil.rmtree(cache)
        run(f"finished session, {_ADDED} added, no cache", more, False, kept)
        shutil.rmtree(kept)
    assert len({one.model for what in list(found)[:4] for one in found[what]}) == 1
    plain = [one.seconds for one in found["neither session nor cache"]]
    say(f"### {folder.name}, {name}: {len(every)} pictures\n")
    say(f"{rounds} rounds, median (lowest–highest); the share is taken round by round.\n")
    rows = [
        [
            what,
            spread([one.seconds for one in ones], 2, " s"),
            spread([one.seconds / p for one, p in zip(ones, plain, strict=True)], 3),
            spread([1000 * one.extraction for one in ones], 0, " ms"),
            _same([one.decoded for one in ones]),
            _same([one.runs for one in ones]),
        ]
        for what, ones in found.items()
    ]
    header = ["", "whole training", "of the first line", "extraction phase", "decodes", "runs"]
    say(table(header, rows))


def train(
    data: Any, parameters: Any, cache: Path | None, session: Path | None, threads: int
) -> Trained:
    """One training, from the data source to the model."""
    import silverprint as sp
    from silverprint.classifier.program import ClassifierProgram
    from silverprint.classifier.resuming import program_of
    from silverprint.features.cache import FeatureCache
    from silverprint.training.job import Job

    os.environ["SILVERPRINT_CACHE"] = "off" if cache is None else str(cache)
    begin = time.perf_counter()
    if session is None:
        program: Any = ClassifierProgram(
            data, parameters, threads=threads, cache=FeatureCache.default()
        )
    else:
        made = sp.ImageClassifier.make_training_session(
            data, parameters, sp.SessionParameters(session), threads=threads
        )
        program = program_of(made)
    job: Any = Job(program, sp.ImageClassifier._made)
    starts = {}
    for event in job:
        if event.kind == "phase":
            starts[event.progress.phase] = event.progress.elapsed
    model = job.result()
    seconds = time.perf_counter() - begin
    extraction = 0.0
    if sp.Phase.EXTRACTING_FEATURES in starts:
        extraction = starts[sp.Phase.TRAINING] - starts[sp.Phase.EXTRACTING_FEATURES]
    counts = getattr(program, "counts", None)
    return Trained(
        seconds,
        extraction,
        counts.decoded if counts else 0,
        counts.runs if counts else 0,
        model._model,
    )


def opening(work: Path, pictures: int, rounds: int) -> None:
    """Opening a session that holds many features."""
    folder = work / "many"
    note(f"a session of {pictures} pictures")
    make_session(folder, pictures)
    seconds, opened, mapped = [], [], []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", _OPENING, str(folder), str(pictures), str(_DIMENSION)],
            capture_output=True,
            text=True,
            check=True,
        )
        values = [float(value) for value in done.stdout.split()]
        seconds.append(values[0])
        opened.append(values[1] / 1e6)
        mapped.append(values[2] / 1e6)
    matrix = pictures * _DIMENSION * 4 / 1e6
    say(f"### Opening a session of {pictures} × {_DIMENSION} features\n")
    rows = [
        ["seconds", spread(seconds, 3)],
        ["resident memory more, opened", spread(opened, 0, " MB")],
        ["resident memory more, all features read", spread(mapped, 0, " MB")],
        ["the feature matrix", f"{matrix:.0f} MB"],
    ]
    say(table(["", ""], rows))
    if statistics.median(mapped) > matrix + 300:
        say("**More than the matrix and 300 MB.**\n")


def make_session(folder: Path, pictures: int) -> None:
    """A session past its extraction, of features that nothing was extracted for."""
    import silverprint as sp
    from silverprint.classifier.extraction import TRAINING_PART, feature_identity
    from silverprint.features.blocks import FeatureBlock
    from silverprint.training.store.run import RunStore

    items = tuple(
        (Path(f"/pictures/{i % 10}/{i:06}.jpg"), f"label {i % 10}") for i in range(pictures)
    )
    data = sp.DataSource(tuple(sorted(items, key=lambda item: (item[1], item[0]))), "drawn")
    parameters = sp.ModelParameters()
    session = sp.ImageClassifier.make_training_session(
        data, parameters, sp.SessionParameters(folder)
    )
    rng = np.random.default_rng(0)
    with session.store.writer() as writer:
        run = RunStore(writer, 1, session.store.read())
        paths = [path for path, _ in data.items]
        identity = feature_identity(parameters, TRAINING_PART)
        features = run.feature_set(TRAINING_PART, paths, 0, _DIMENSION, identity)
        for start in range(0, pictures, 250):
            count = min(250, pictures - start)
            rows = rng.normal(size=(count, _DIMENSION)).astype(np.float32)
            digests = [rng.bytes(32) for _ in range(count)]
            views = np.empty((count, 0, _DIMENSION), np.float32)
            positions = np.arange(start, start + count)
            features.add(FeatureBlock(positions, rows, views, digests, [None] * count, []))
            run.put_features(TRAINING_PART, features.take_new(), features.done)
        run.commit(sp.Phase.TRAINING, 0, {})


def _same(values: list[int]) -> str:
    return " / ".join(map(str, sorted(set(values))))


if __name__ == "__main__":
    main()
