"""Gathering features: what is known is not extracted again, and all of it is the same bytes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from silverprint import _core
from silverprint.errors import TrainingCancelled
from silverprint.features import extraction, gathering
from silverprint.features import kind as kinds
from silverprint.features.augmentation import views_of
from silverprint.features.cache import FeatureCache
from silverprint.features.extraction import ExtractionCounts, FeatureBlock, extract_blocks
from silverprint.features.extractor import CustomFeatureExtractor
from silverprint.features.gathering import gather_blocks
from support.caches import an_hour_later, shards
from support.graphs import PLAIN, backbone, saved

Floats = npt.NDArray[np.float32]
CROPS = views_of({"crop"})


@pytest.fixture
def extractor(tmp_path: Path) -> CustomFeatureExtractor:
    return CustomFeatureExtractor(saved(backbone(), tmp_path / "model.onnx"), **PLAIN)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a cache, to which files of this test are old."""
    an_hour_later(monkeypatch)
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Twenty different picture files."""
    return draw(tmp_path / "pictures", range(20))


def draw(folder: Path, numbers: Sequence[int]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in numbers]
    for i, path in zip(numbers, paths, strict=True):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 10, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


class Gathered:
    """All blocks of one gathering, put together."""

    def __init__(
        self,
        pictures: Sequence[Any],
        extractor: CustomFeatureExtractor,
        cache: Path | None = None,
        **options: Any,
    ) -> None:
        self.counts = ExtractionCounts()
        self.blocks: list[FeatureBlock] = list(
            gather_blocks(
                pictures,
                extractor,
                **{
                    "cache": None if cache is None else FeatureCache(cache),
                    "block_size": 6,
                    "threads": 2,
                    "counts": self.counts,
                }
                | options,
            )
        )
        self.rows: dict[int, Floats] = {}
        self.digests: dict[int, bytes] = {}
        self.failures = [failure for block in self.blocks for failure in block.failures]
        for block in self.blocks:
            for i, position in enumerate(block.positions.tolist()):
                assert position not in self.rows
                self.rows[position] = np.concatenate([block.features[i][None], block.views[i]])
                self.digests[position] = block.digests[i]
        assert {*self.rows, *(i for i, _ in self.failures)} == set(range(len(pictures)))

    @property
    def work(self) -> tuple[int, int, int, int]:
        """Files read, pictures decoded, runs of the network, pictures reused."""
        counts = self.counts
        return counts.read, counts.decoded, counts.runs, counts.reused

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Gathered)
        return (
            self.digests == other.digests
            and self.rows.keys() == other.rows.keys()
            and all(np.array_equal(row, other.rows[i]) for i, row in self.rows.items())
        )


# What is extracted, and what is not


def test_the_first_time_all_is_extracted(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    first = Gathered(pictures, extractor, cache)
    assert first.work == (20, 20, 20, 0)
    np.testing.assert_array_equal(
        np.concatenate([first.rows[i] for i in range(20)]), extractor.extract(pictures)
    )
    assert [first.digests[i] for i in range(20)] == [
        hashlib.sha256(path.read_bytes()).digest() for path in pictures
    ]


def test_the_second_time_nothing_is_read_and_no_network_is_loaded(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    first = Gathered(pictures, extractor, cache)
    again = CustomFeatureExtractor(extractor.model_path, **PLAIN)
    second = Gathered(pictures, again, cache)
    assert second.work == (0, 0, 0, 20)
    assert second == first
    assert "function" not in vars(again)


def test_blocks_tell_what_each_file_is_like(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    for _ in range(2):
        for block in Gathered([*pictures, pictures[0].read_bytes()], extractor, cache).blocks:
            for position, status in zip(block.positions.tolist(), block.stats, strict=True):
                if position == 20:
                    assert status is None
                else:
                    assert status is not None
                    assert status.st_mtime_ns == pictures[position].stat().st_mtime_ns
                    assert status.st_size == pictures[position].stat().st_size


def test_only_pictures_that_were_added_are_decoded(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    Gathered(pictures, extractor, cache)
    more = [*draw(pictures[0].parent, range(20, 23)), *pictures]
    found = Gathered(more, extractor, cache)
    assert found.work == (3, 3, 3, 20)
    assert found == Gathered(more, extractor)


def test_pictures_that_were_moved_are_read_and_not_decoded(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    Gathered(pictures, extractor, cache)
    moved = [path.rename(path.with_name(f"moved {path.name}")) for path in pictures[:5]]
    assert Gathered([*moved, *pictures[5:]], extractor, cache).work == (5, 0, 0, 20)
    assert Gathered([*moved, *pictures[5:]], extractor, cache).work == (0, 0, 0, 20)


def test_a_changed_picture_is_extracted_anew(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    Gathered(pictures, extractor, cache)
    (other,) = draw(pictures[0].parent / "other", [77])
    os.replace(other, pictures[3])
    found = Gathered(pictures, extractor, cache)
    assert found.work == (1, 1, 1, 19)
    assert found == Gathered(pictures, extractor)


def test_files_written_just_now_are_read_again(
    pictures: list[Path], extractor: CustomFeatureExtractor, tmp_path: Path
) -> None:
    Gathered(pictures, extractor, tmp_path / "cache")
    assert Gathered(pictures, extractor, tmp_path / "cache").work == (20, 0, 0, 20)


@pytest.mark.parametrize("change", ["graph", "picture rule", "numerics"])
def test_another_kind_of_features_is_extracted(
    change: str,
    pictures: list[Path],
    extractor: CustomFeatureExtractor,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Gathered(pictures, extractor, cache)
    other: Any = extractor
    if change == "graph":
        other = CustomFeatureExtractor(extractor.model_path, output_name="map", **PLAIN)
    elif change == "picture rule":
        other = extractor.with_crop_and_scale("scale_fill")
    else:
        monkeypatch.setattr(kinds, "numerics_class", lambda provider: "another machine")
    assert Gathered(pictures, other, cache).work == (20, 20, 20, 0)
    assert Gathered(pictures, other, cache).work == (0, 0, 0, 20)
    if change != "numerics":
        assert Gathered(pictures, extractor, cache) == first


def test_views_are_kept_too(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    first = Gathered(pictures, extractor, cache, views=CROPS, seed=3)
    assert first.work == (20, 20, 100, 0)
    assert first.rows[0].shape == (5, extractor.dimension)
    second = Gathered(pictures, extractor, cache, views=CROPS, seed=3)
    assert second.work == (0, 0, 0, 20)
    assert second == first
    (block,) = extract_blocks(
        pictures, extractor.function, block_size=20, views=CROPS, seed=3, threads=1
    )
    np.testing.assert_array_equal(
        np.stack([second.rows[i] for i in range(20)]),
        np.concatenate([block.features[:, None], block.views], axis=1),
    )
    # Without views the same rows serve; with another seed the views are others.
    assert Gathered(pictures, extractor, cache).work == (0, 0, 0, 20)
    assert Gathered(pictures, extractor, cache, views=CROPS, seed=4).work == (20, 20, 100, 0)


def test_pictures_that_are_no_files_are_known_by_their_bytes_or_pixels(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    loose = [pictures[0].read_bytes(), np.asarray(Image.open(pictures[1])), pictures[2]]
    assert Gathered(loose, extractor, cache).work == (1, 3, 3, 0)
    found = Gathered(loose, extractor, cache)
    assert (found.counts.runs, found.counts.reused) == (0, 3)
    assert found == Gathered(loose, extractor)
    assert Gathered([pictures[0]], extractor, cache).work == (1, 0, 0, 1)


def test_equal_files_have_equal_rows(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    copy = pictures[0].with_name("copy.png")
    copy.write_bytes(pictures[0].read_bytes())
    for _ in range(2):
        found = Gathered([*pictures, copy], extractor, cache)
        np.testing.assert_array_equal(found.rows[20], found.rows[0])


def test_nothing_is_no_block(extractor: CustomFeatureExtractor, cache: Path) -> None:
    assert Gathered([], extractor, cache).blocks == []
    assert not cache.exists()


# Rows known elsewhere


class Known:
    """Rows of some pictures, all of one value."""

    def __init__(self, paths: Sequence[Path], value: float) -> None:
        self._digests = {hashlib.sha256(path.read_bytes()).digest() for path in paths}
        self._row = np.full((1, 5), value, np.float32)

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, Floats]:
        return {digest: self._row for digest in digests if digest in self._digests}


def test_what_is_known_is_asked_in_order_and_before_the_cache(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    known = [Known(pictures[:4], 1), Known(pictures[2:6], 2)]
    for before in (False, True):  # the files are remembered the second time
        found = Gathered(pictures, extractor, cache, known=known)
        assert found.counts.reused == (20 if before else 6)
        assert [float(found.rows[i][0, 0]) for i in range(6)] == [1, 1, 1, 1, 2, 2]
    # What was known elsewhere was not extracted, so it is not in the cache.
    assert Gathered(pictures, extractor, cache).work == (6, 6, 6, 14)


def test_what_is_known_serves_without_a_cache(
    pictures: list[Path], extractor: CustomFeatureExtractor
) -> None:
    found = Gathered(pictures, extractor, known=[Known(pictures[:4], 1)])
    assert found.work == (20, 16, 16, 4)
    assert float(found.rows[3][0, 0]) == 1


# Failures, progress and stopping


def test_pictures_that_cannot_be_read_are_reported_every_time(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    pictures[4].write_text("not a picture")
    pictures[15].unlink()
    for _ in range(2):
        found = Gathered(pictures, extractor, cache)
        assert [(i, error.file) for i, error in sorted(found.failures)] == [
            (4, pictures[4]),
            (15, pictures[15]),
        ]
        assert len(found.rows) == 18
    assert found.work == (1, 0, 0, 18)


def test_blocks_are_no_larger_than_asked_for(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    for _ in range(2):
        found = Gathered(pictures, extractor, cache, block_size=6)
        assert [len(block.positions) for block in found.blocks] == [6, 6, 6, 2]


@pytest.mark.parametrize("known", [0, 13, 20])
def test_progress_never_falls_and_ends_at_the_total(
    known: int, pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    Gathered(pictures[:known], extractor, cache)
    seen: list[tuple[int, int]] = []
    here = threading.get_ident()

    def progress(done: int, total: int) -> None:
        assert threading.get_ident() == here
        seen.append((done, total))

    Gathered(pictures, extractor, cache, progress=progress)
    assert seen == sorted(seen)
    assert seen[-1] == (20, 20)
    assert {total for _, total in seen} == {20}


@pytest.mark.parametrize("known", [0, 20])
def test_a_cancelled_job_stops(
    known: int, pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    Gathered(pictures[:known], extractor, cache)
    token = _core.runtime.CancelToken()
    blocks = gather_blocks(
        pictures, extractor, cache=FeatureCache(cache), block_size=6, cancel=token
    )
    next(blocks)
    token.cancel()
    with pytest.raises(TrainingCancelled):
        list(blocks)


def test_what_was_extracted_is_kept_when_it_is_left_early(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    blocks = gather_blocks(pictures, extractor, cache=FeatureCache(cache), block_size=6, threads=2)
    next(blocks)
    next(blocks)
    blocks.close()
    assert Gathered(pictures, extractor, cache).counts.reused == 12
    running = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("silverprint-extract") for name in running)


def test_what_was_extracted_is_kept_when_a_worker_fails(
    pictures: list[Path],
    extractor: CustomFeatureExtractor,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, two_blocks_are_out = extraction.decode, threading.Event()

    def decode(picture: Any, rule: Any, *, name: Any) -> Any:
        if name == pictures[13]:
            two_blocks_are_out.wait(30)
            raise RuntimeError("a bug in a decoder")
        return real(picture, rule, name=name)

    monkeypatch.setattr(extraction, "decode", decode)
    blocks = gather_blocks(pictures, extractor, cache=FeatureCache(cache), block_size=6, threads=1)
    next(blocks)
    next(blocks)
    two_blocks_are_out.set()
    with pytest.raises(RuntimeError, match="a bug in a decoder"):
        next(blocks)
    monkeypatch.undo()
    an_hour_later(monkeypatch)
    assert Gathered(pictures, extractor, cache).work == (8, 8, 8, 12)


# The cache


def test_rows_are_written_about_once_a_second(
    pictures: list[Path],
    extractor: CustomFeatureExtractor,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Gathered(pictures, extractor, cache, block_size=1)
    assert len(shards(cache)) == 1
    monkeypatch.setattr(gathering, "_SAVE_INTERVAL", 0.0)
    Gathered(pictures, extractor.with_crop_and_scale("scale_fill"), cache, block_size=4)
    assert len(shards(cache)) == 1 + 5


def test_a_damaged_row_is_extracted_anew(
    pictures: list[Path], extractor: CustomFeatureExtractor, cache: Path
) -> None:
    first = Gathered(pictures, extractor, cache)
    (shard,) = shards(cache)
    data = bytearray(shard.read_bytes())
    data[7] ^= 1
    shard.write_bytes(data)
    for work in [(1, 1, 1, 19), (0, 0, 0, 20)]:
        found = Gathered(pictures, extractor, cache)
        assert found.work == work
        assert found == first


def test_a_cache_that_cannot_be_is_no_obstacle(
    pictures: list[Path],
    extractor: CustomFeatureExtractor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = Gathered(pictures, extractor, tmp_path / "model.onnx" / "cache", block_size=2)
    assert found.work == (20, 20, 20, 0)
    assert len(caplog.records) == 1
