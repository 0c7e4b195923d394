"""Rows of feature maps on their way: through the extraction with views for detection, into a matrix
of half precision in memory or in a file, and back after an interruption."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from silverprint import _core
from silverprint.errors import BackboneError, CorruptSessionError, TrainingCancelled
from silverprint.features.blocks import ExtractionCounts, FeatureBlock
from silverprint.features.extraction import extract_blocks
from silverprint.features.feature_set import FeatureSet
from silverprint.features.gathering import gather_blocks
from silverprint.features.kind import kind_of, view_names
from silverprint.features.map_extractors import CustomMapExtractor
from silverprint.features.matrix import FLOAT16, FLOAT32, FeatureMatrix, map_matrix
from silverprint.features.scene_views import scene_views
from silverprint.training.progress import Phase
from silverprint.training.store.reuse import reuse_features
from silverprint.training.store.run import RunStore, checkpoints_of, new_run
from silverprint.training.store.store import SessionStore
from support.graphs import PLAIN, constant_map, map_backbone, saved

VIEWS = scene_views(4)
SEED = 5


@pytest.fixture
def extractor(tmp_path: Path) -> CustomMapExtractor:
    return CustomMapExtractor(saved(map_backbone(), tmp_path / "m.onnx"), size=(64, 64), **PLAIN)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Nine picture files of different sizes."""
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    for i, path in enumerate(paths):
        pixels = np.random.default_rng(i).integers(0, 256, (30 + i, 40, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def gathered(
    pictures: list[Path], extractor: CustomMapExtractor, **options: Any
) -> list[FeatureBlock]:
    given = {"block_size": 4, "threads": 2, "views": VIEWS, "seed": SEED}
    return list(gather_blocks(pictures, extractor, **(given | options)))


def feature_set(
    pictures: list[Path], extractor: CustomMapExtractor, file: Path | None = None
) -> FeatureSet:
    return FeatureSet(pictures, len(VIEWS), extractor.dimension, file, FLOAT16)


# Extraction


def test_rows_of_pictures_and_their_views_come_in_half_precision(
    pictures: list[Path], extractor: CustomMapExtractor
) -> None:
    blocks = gathered(pictures, extractor)
    rows = np.concatenate([block.rows for block in blocks])
    assert rows.shape == (9, 4, extractor.dimension)
    assert rows.dtype == np.float16
    cancel = _core.runtime.CancelToken()
    for path, found in zip(pictures, rows, strict=True):
        digest = hashlib.sha256(path.read_bytes()).digest()
        seeded = [view.seeded(SEED, digest) for view in VIEWS]
        pixels = np.asarray(Image.open(path))
        expected = extractor.function.run_views(pixels, cancel, seeded)
        assert found.tobytes() == expected.tobytes()
    assert (blocks[0].features == blocks[0].rows[:, 0]).all()
    assert (blocks[0].views == blocks[0].rows[:, 1:]).all()


def test_rows_are_the_same_bytes_for_any_threads_and_blocks(
    pictures: list[Path], extractor: CustomMapExtractor
) -> None:
    first = b"".join(block.rows.tobytes() for block in gathered(pictures, extractor))
    for options in ({"threads": 1}, {"threads": 5, "block_size": 2}, {"block_size": 99}):
        again = gathered(pictures, extractor, **options)
        assert b"".join(block.rows.tobytes() for block in again) == first
    other = gathered(pictures, extractor, seed=SEED + 1)
    assert b"".join(block.rows.tobytes() for block in other) != first


def test_pictures_that_cannot_be_read_are_reported(
    pictures: list[Path], extractor: CustomMapExtractor
) -> None:
    pictures[5].write_bytes(b"no picture")
    blocks = gathered(pictures, extractor)
    assert [i for block in blocks for i, _ in block.failures] == [5]
    assert sum(len(block.rows) for block in blocks) == 8


def test_a_number_beyond_half_precision_ends_the_extraction(
    pictures: list[Path], tmp_path: Path
) -> None:
    path = saved(constant_map(np.float32([1e5])), tmp_path / "large.onnx")
    extractor = CustomMapExtractor(path, size=(32, 32), strides=(32,), **PLAIN)
    with pytest.raises(BackboneError, match="tensor 'stride32' reaches 100000"):
        gathered(pictures, extractor)


def test_numbers_that_are_not_finite_are_a_failure_of_their_picture(
    pictures: list[Path], tmp_path: Path
) -> None:
    path = saved(constant_map(np.float32([np.nan])), tmp_path / "none.onnx")
    extractor = CustomMapExtractor(path, size=(32, 32), strides=(32,), **PLAIN)
    (block,) = extract_blocks(pictures, extractor.function, block_size=9)
    assert len(block.rows) == 0
    assert {str(error.reason) for _, error in block.failures} == {
        "the network gives numbers that are not finite for it"
    }


def test_cancelling_stops_between_views(extractor: CustomMapExtractor) -> None:
    cancel = _core.runtime.CancelToken()
    cancel.cancel()
    with pytest.raises(TrainingCancelled):
        extractor.function.run_views(np.zeros((8, 8, 3), np.uint8), cancel, [("scene", 1, 0)])


def test_kinds_and_views_have_names_of_their_own(extractor: CustomMapExtractor) -> None:
    kind = kind_of(extractor)
    assert kind.fingerprint == extractor.backbone.record["fingerprint"]
    assert kind.dimension == extractor.dimension
    assert kind.key != kind_of(extractor.with_strides((16, 32))).key
    assert view_names(VIEWS[:2], 7) == ("", "scene 1 seed 7", "scene 2 seed 7")


# The matrix


@pytest.fixture(params=["memory", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path | None]:
    return lambda: tmp_path / "rows.f16" if request.param == "file" else None


def test_a_set_holds_the_rows_in_half_precision(
    pictures: list[Path], extractor: CustomMapExtractor, place: Callable[[], Path | None]
) -> None:
    made, blocks = feature_set(pictures, extractor, place()), gathered(pictures, extractor)
    for block in reversed(blocks):
        made.add(block)
    assert made.missing == []
    rows = np.concatenate([block.rows for block in blocks])
    assert made.rows.dtype == np.float16
    assert made.rows.tobytes() == rows.tobytes()
    assert made.records["checksum"].tolist() == [zlib.crc32(row.tobytes()) for row in rows]
    assert made.damaged() == []
    assert made.digests == [digest for block in blocks for digest in block.digests]
    file = place()
    if file is not None:
        assert file.stat().st_size == rows.nbytes
        shape = rows.shape
        assert np.array_equal(map_matrix(file, shape, FLOAT16), rows)  # type: ignore[arg-type]
        assert map_matrix(file, shape) is None  # of float32 it would be twice as long
    made.close()


def test_what_is_done_is_taken_over_and_what_is_damaged_is_found(
    pictures: list[Path], extractor: CustomMapExtractor, tmp_path: Path
) -> None:
    file = tmp_path / "rows.f16"
    first, blocks = feature_set(pictures, extractor, file), gathered(pictures, extractor)
    first.add(blocks[0])
    done = first.take_new()
    first.close()

    again = feature_set(pictures, extractor, file)
    again.restore(done)
    assert again.missing == [4, 5, 6, 7, 8]
    assert again.damaged() == []
    with file.open("r+b") as stream:
        stream.seek(2 * 4 * extractor.dimension * 2 + 11)  # in the rows of picture 2
        byte = stream.read(1)[0]
        stream.seek(-1, 1)
        stream.write(bytes([byte ^ 1]))
    assert again.damaged() == [2]
    again.forget([2])

    # What is known is not extracted again.
    counts = ExtractionCounts()
    for block in gathered(pictures, extractor, known=[again.known()], counts=counts):
        again.add(block)
    assert (counts.reused, counts.decoded) == (3, 6)
    assert again.damaged() == again.missing == []
    assert again.rows.tobytes() == b"".join(block.rows.tobytes() for block in blocks)
    again.close()


def test_a_file_that_was_cut_short_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "rows.f16"
    matrix = FeatureMatrix((3, 2, 4), file, FLOAT16)
    assert file.stat().st_size == 3 * 2 * 4 * 2
    file.write_bytes(b"")
    with pytest.raises(CorruptSessionError, match="was cut short"):
        matrix.array()
    matrix.close()


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32])
def test_a_matrix_is_filled_in_any_order(tmp_path: Path, dtype: np.dtype[Any]) -> None:
    rows = np.arange(7 * 2 * 3).reshape(7, 2, 3).astype(dtype)
    matrix = FeatureMatrix(rows.shape, tmp_path / "rows", dtype)
    for places in ([6], [0, 1, 4], [2, 3, 5]):
        positions: npt.NDArray[np.int64] = np.array(places)
        matrix.write(positions, rows[positions])
    assert matrix.array().dtype == dtype
    np.testing.assert_array_equal(matrix.array(), rows)
    matrix.close()


# A session


def test_a_session_keeps_the_rows_and_another_takes_them_over(
    pictures: list[Path], extractor: CustomMapExtractor, tmp_path: Path
) -> None:
    blocks = gathered(pictures, extractor)

    def opened(run: RunStore) -> FeatureSet:
        return run.feature_set("training", pictures, len(VIEWS), extractor.dimension, {}, FLOAT16)

    store = SessionStore.create(tmp_path / "session")
    for block in blocks:  # each by a job of its own
        with store.writer() as writer:
            if not store.read().keys() & new_run(1, {}).keys():
                writer.commit(new_run(1, {}))
            run = RunStore(writer, 1, store.read())
            features = opened(run)
            assert features.done == block.positions[0]
            features.add(block)
            run.put_features("training", features.take_new(), features.done)
            run.commit(Phase.TRAINING, 0, {})
            features.close()
    file = tmp_path / "session" / "features" / "0001-training.f16"
    assert file.read_bytes() == b"".join(block.rows.tobytes() for block in blocks)
    (checkpoint,) = checkpoints_of(tmp_path / "session", store.read(), 1)
    assert checkpoint.url == file

    other = SessionStore.create(tmp_path / "other")
    assert reuse_features(other, store) == 9
    taken = tmp_path / "other" / "features" / "reused0000.f16"
    assert taken.read_bytes() == file.read_bytes()
