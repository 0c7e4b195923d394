"""Many pictures at once: order, bytes, bounded memory, failures, progress and stopping."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from silverprint import _core
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError, InvalidParameterError, TrainingCancelled
from silverprint.features import extraction
from silverprint.features.extraction import (
    FeatureBlock,
    check_failures,
    extract_blocks,
    summarise_failures,
)
from silverprint.features.prints import ScenePrint

Pixels = npt.NDArray[np.uint8]


class Colours:
    """A picture's mean colour, so that features tell which picture they are of."""

    rule = PictureRule(8, 8, "scale_fill")
    dimension = 3
    dtype = np.dtype(np.float32)

    def run(self, pixels: Pixels, cancel: Any) -> npt.NDArray[np.float32]:
        if cancel.cancelled:
            raise TrainingCancelled("cancelled")
        return pixels.mean(axis=(0, 1), dtype=np.float32)


def numbered(count: int) -> list[Pixels]:
    """Small pictures; number i has mean colour (i, 2 i, 255 - i)."""
    return [
        np.full((4, 5, 3), (i % 100, 2 * (i % 100), 255 - i % 100), np.uint8) for i in range(count)
    ]


def blocks(pictures: Sequence[Any], **options: Any) -> list[FeatureBlock]:
    return list(extract_blocks(pictures, Colours(), **({"block_size": 4, "threads": 2} | options)))


def workers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("silverprint-extract")]


@pytest.fixture
def folder(tmp_path: Path) -> list[Path]:
    """Ten picture files, of which number 3 is text, number 6 is missing and number 8 is text."""
    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for i, (path, pixels) in enumerate(zip(paths, numbered(10), strict=True)):
        if i in (3, 8):
            path.write_text("not a picture")
        elif i != 6:
            Image.fromarray(pixels).save(path)
    return paths


# Order and content


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 23])
def test_blocks_come_in_order_and_hold_every_picture_once(count: int, threads: int | None) -> None:
    found = blocks(numbered(count), threads=threads)
    assert [len(block.features) for block in found] == [4] * (count // 4) + [count % 4] * (
        count % 4 > 0
    )
    positions = np.concatenate([block.positions for block in found])
    assert positions.dtype == np.int64
    np.testing.assert_array_equal(positions, np.arange(count))
    features = np.concatenate([block.features for block in found])
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[:, 0], np.arange(count))
    assert all(block.failures == [] for block in found)
    assert workers() == []


def test_nothing_makes_no_blocks() -> None:
    assert blocks([]) == []


def test_extract_gives_the_same_bytes_for_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20 + i, 30, 3), np.uint8) for i in range(12)]
    made = ScenePrint()
    whole = made.extract(pictures)
    assert whole.shape == (12, made.dimension)
    assert whole.dtype == np.float32
    for threads in (1, 2, 5):
        assert made.extract(pictures, threads=threads).tobytes() == whole.tobytes()
        streamed = list(made.stream(pictures, block_size=5, threads=threads))
        assert [len(block.features) for block in streamed] == [5, 5, 2]
        assert np.concatenate([block.features for block in streamed]).tobytes() == whole.tobytes()
    assert made.extract(pictures[::-1]).tobytes() == whole[::-1].tobytes()


def test_every_kind_of_picture_will_do(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    kinds = [path, str(path), path.read_bytes(), Image.fromarray(pixels), pixels]
    features = ScenePrint().extract(kinds)
    np.testing.assert_array_equal(features, np.tile(features[0], (len(kinds), 1)))


def test_no_pictures_give_no_rows() -> None:
    made = ScenePrint()
    assert made.extract([]).shape == (0, made.dimension)
    assert list(made.stream([])) == []


def test_digests_are_of_the_files_bytes(folder: list[Path]) -> None:
    (block,) = blocks(folder[:3], block_size=8, digests=True)
    assert block.digests == [hashlib.sha256(path.read_bytes()).digest() for path in folder[:3]]
    (same,) = blocks([folder[0].read_bytes()], digests=True)
    assert same.digests == block.digests[:1]
    (without,) = blocks(folder[:3], block_size=8)
    assert without.digests == []


def test_digests_of_pixels_depend_on_shape_and_content() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    pictures = [pixels, pixels.reshape(4, 3, 3), pixels + 1, pixels.copy(), Image.fromarray(pixels)]
    (block,) = blocks(pictures, block_size=8, digests=True)
    first, turned, changed, copied, image = block.digests
    assert first == copied == image
    assert len({first, turned, changed}) == 3


# Memory


def test_memory_does_not_grow_with_the_number_of_pictures() -> None:
    class Wide(Colours):
        dimension = 20_000

        def run(self, pixels: Pixels, cancel: Any) -> npt.NDArray[np.float32]:
            return np.zeros(self.dimension, np.float32)

    def peak(count: int) -> int:
        picture = np.zeros((2, 2, 3), np.uint8)
        tracemalloc.start()
        try:
            for _ in extract_blocks([picture] * count, Wide(), block_size=8, threads=2):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what is imported at first use is not counted
    block = 8 * Wide.dimension * 4
    # Two in the pipeline, the one being handed over, and the one before, which the loop still has.
    assert peak(40 * 8) < 5 * block


def test_workers_wait_for_a_slow_consumer() -> None:
    started: list[int] = []
    full, overfull = threading.Event(), threading.Event()

    class Counting(Colours):
        def run(self, pixels: Pixels, cancel: Any) -> npt.NDArray[np.float32]:
            started.append(len(started))
            if len(started) == 12:
                full.set()
            if len(started) > 12:
                overfull.set()
            return super().run(pixels, cancel)

    stream = extract_blocks(numbered(100), Counting(), block_size=4, threads=1)
    next(stream)
    assert full.wait(30)  # the block handed over, and two more
    assert not overfull.wait(0.1)
    stream.close()


# Pictures that cannot be read


def test_failures_stand_in_their_block_with_their_position(folder: list[Path]) -> None:
    for threads in (1, 3):
        first, second, third = blocks(folder, threads=threads, digests=True)
        assert [(position, error.file) for position, error in first.failures] == [(3, folder[3])]
        assert [position for position, _ in second.failures] == [6]
        assert [position for position, _ in third.failures] == [8]
        assert first.positions.tolist() == [0, 1, 2]
        assert second.positions.tolist() == [4, 5, 7]
        assert third.positions.tolist() == [9]
        assert second.features[:, 0].tolist() == [4, 5, 7]
        assert [len(block.digests) for block in (first, second, third)] == [3, 3, 1]
        assert "no such file" in str(second.failures[0][1])


def test_a_block_of_failures_only_is_a_block_too(folder: list[Path]) -> None:
    (block,) = blocks([folder[3], folder[8]])
    assert block.features.shape == (0, 3)
    assert block.digests == []
    assert [position for position, _ in block.failures] == [0, 1]


def test_extract_raises_and_names_the_one_file(folder: list[Path]) -> None:
    with pytest.raises(InvalidDataError) as caught:
        ScenePrint().extract(folder[:5])
    assert caught.value.file == folder[3]
    with pytest.raises(InvalidDataError, match=r"6\.png: no such file"):
        ScenePrint().extract(folder[4:8])


def test_extract_groups_many_failures_by_cause(folder: list[Path]) -> None:
    with pytest.raises(InvalidDataError) as caught:
        ScenePrint().extract(folder)
    message = str(caught.value)
    assert "3 of 10 pictures cannot be read" in message
    assert f"(such as {folder[3]}); 1 no such file (such as {folder[6]})" in message


def test_a_picture_of_a_wrong_type_is_a_failure_too() -> None:
    pictures: list[Any] = [*numbered(2), 7, None, np.zeros((4, 4)), b""]
    (block,) = blocks(pictures, block_size=8)
    assert block.positions.tolist() == [0, 1]
    assert [position for position, _ in block.failures] == [2, 3, 4, 5]


@pytest.mark.parametrize("pictures", ["photos", b"bytes", Path("photos"), 7])
def test_one_picture_is_no_list_of_pictures(pictures: Any) -> None:
    for call in (ScenePrint().extract, ScenePrint().stream):
        with pytest.raises(InvalidParameterError, match="a list of pictures"):
            call(pictures)


@pytest.mark.parametrize("threads", [0, -1, 1025, 1.5, "2", True])
def test_a_wrong_number_of_threads(threads: Any) -> None:
    with pytest.raises(InvalidParameterError, match="threads="):
        ScenePrint().extract(numbered(2), threads=threads)
    with pytest.raises(InvalidParameterError, match="threads="):
        list(ScenePrint().stream(numbered(2), threads=threads))


@pytest.mark.parametrize("block_size", [0, -1, 1.5, True])
def test_a_wrong_block_size(block_size: Any) -> None:
    with pytest.raises(InvalidParameterError, match="block_size="):
        ScenePrint().stream(numbered(2), block_size=block_size)


# How much may be unreadable


def failures(**counts: int) -> list[tuple[str, InvalidDataError]]:
    return [
        (label, InvalidDataError(f"{label}/{i}.jpg", "truncated"))
        for label, count in counts.items()
        for i in range(count)
    ]


def check(totals: dict[str, int], max_unreadable: float = 0.05, **counts: int) -> None:
    check_failures(
        failures(**counts), Counter(totals), origin="photos/", max_unreadable=max_unreadable
    )


@pytest.mark.parametrize(
    ("totals", "counts"),
    [
        ({"cat": 50, "dog": 50}, {}),
        ({"cat": 50, "dog": 50}, {"cat": 5}),  # 5 % of all, 10 % of a label
        ({"cat": 100, "dog": 20}, {"dog": 4}),  # 20 % of a label
        ({}, {}),
    ],
)
def test_a_few_unreadable_pictures_are_no_error(
    totals: dict[str, int], counts: dict[str, int]
) -> None:
    check(totals, **counts)


@pytest.mark.parametrize(
    ("totals", "counts", "message"),
    [
        (
            {"cat": 50, "dog": 50},
            {"cat": 3, "dog": 3},
            "6 of 100 pictures cannot be read, more than max_unreadable=0.05 allows: 6 truncated",
        ),
        (
            {"cat": 100, "dog": 20},
            {"dog": 5},
            "5 of 20 pictures of label 'dog' cannot be read: 5 truncated (such as dog/0.jpg)",
        ),
        ({"cat": 100, "dog": 1}, {"dog": 1}, "1 of 1 pictures of label 'dog' cannot be read"),
        ({"cat": 3, "dog": 2}, {"cat": 3, "dog": 2}, "none of the 5 pictures can be read"),
    ],
)
def test_too_many_unreadable_pictures_are_an_error(
    totals: dict[str, int], counts: dict[str, int], message: str
) -> None:
    with pytest.raises(InvalidDataError) as caught:
        check(totals, **counts)
    assert caught.value.file == "photos/"
    assert message in caught.value.reason


def test_the_share_allowed_can_be_set() -> None:
    totals = {"cat": 50, "dog": 50}
    with pytest.raises(InvalidDataError):
        check(totals, 0.0, cat=1)
    check(totals, 0.5, cat=49)
    check(totals, 1.0, cat=49, dog=49)
    # Whatever is allowed, a label without any picture left is an error.
    with pytest.raises(InvalidDataError, match="label 'cat'"):
        check(totals, 1.0, cat=50)
    with pytest.raises(InvalidDataError, match="none of the 100"):
        check(totals, 1.0, cat=50, dog=50)


def test_the_summary_starts_with_the_most_frequent_cause() -> None:
    errors = [InvalidDataError(f"{i}.jpg", reason) for i, reason in enumerate("babcab")]
    assert summarise_failures(errors) == (
        "3 b (such as 0.jpg); 2 a (such as 1.jpg); 1 c (such as 3.jpg)"
    )


# Progress, stopping, and errors


@pytest.mark.parametrize("extract", [ScenePrint().extract, ScenePrint().stream])
def test_progress_never_falls_and_ends_at_the_total(extract: Callable[..., Any]) -> None:
    seen: list[tuple[int, int]] = []
    here = threading.get_ident()

    def progress(done: int, total: int) -> None:
        assert threading.get_ident() == here
        seen.append((done, total))

    for _ in extract(numbered(30), threads=2, progress=progress):
        pass
    assert seen == sorted(seen)
    assert seen[-1] == (30, 30)
    assert {total for _, total in seen} == {30}


def test_progress_of_blocks_never_falls_and_ends_at_the_total() -> None:
    seen: list[int] = []
    blocks(numbered(50), threads=3, progress=lambda done, total: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == 50


def test_leaving_early_stops_the_workers() -> None:
    stream = extract_blocks(numbered(500), Colours(), block_size=4, threads=3)
    next(stream)
    assert len(workers()) == 3
    stream.close()
    assert workers() == []


def test_an_error_of_the_progress_function_stops_the_workers() -> None:
    def progress(done: int, total: int) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        blocks(numbered(100), progress=progress)
    assert workers() == []


def test_cancelling_between_blocks_raises() -> None:
    token = _core.runtime.CancelToken()
    stream = extract_blocks(numbered(500), Colours(), block_size=4, threads=2, cancel=token)
    next(stream)
    token.cancel()
    with pytest.raises(TrainingCancelled):
        for _ in stream:
            pass
    assert workers() == []


def test_cancelling_reaches_a_run_under_way() -> None:
    token, inside = _core.runtime.CancelToken(), threading.Event()

    class Slow(Colours):
        def run(self, pixels: Pixels, cancel: Any) -> npt.NDArray[np.float32]:
            inside.set()
            while True:
                super().run(pixels, cancel)

    threading.Thread(target=lambda: (inside.wait(), token.cancel())).start()
    with pytest.raises(TrainingCancelled):
        list(extract_blocks(numbered(9), Slow(), block_size=4, threads=2, cancel=token))
    assert workers() == []


def test_a_cancelled_job_does_not_hide_behind_unreadable_pictures(folder: list[Path]) -> None:
    token = _core.runtime.CancelToken()
    token.cancel()
    with pytest.raises(TrainingCancelled):
        blocks([folder[3]] * 3, cancel=token)


def test_leaving_early_does_not_cancel_the_callers_job() -> None:
    token = _core.runtime.CancelToken()
    stream = extract_blocks(numbered(50), Colours(), block_size=4, threads=2, cancel=token)
    next(stream)
    stream.close()
    assert not token.cancelled


def test_a_bug_in_a_worker_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    real = extraction.decode

    def decode(picture: Any, *arguments: Any, **options: Any) -> Any:
        if picture[0, 0, 0] == 17:
            raise RuntimeError("a bug in a decoder")
        return real(picture, *arguments, **options)

    monkeypatch.setattr(extraction, "decode", decode)
    for threads in (1, 4):
        with pytest.raises(RuntimeError, match="a bug in a decoder"):
            blocks(numbered(100), threads=threads)
        assert workers() == []


def test_several_streams_at_once_do_not_mix() -> None:
    pictures = numbered(40)
    streams = [extract_blocks(pictures, Colours(), block_size=size, threads=2) for size in (3, 7)]
    found: list[list[float]] = [[], []]
    open_streams = [0, 1]
    while open_streams:
        for i in list(open_streams):
            block = next(streams[i], None)
            if block is None:
                open_streams.remove(i)
            else:
                found[i].extend(block.features[:, 0].tolist())
    assert found == [list(range(40))] * 2


def test_an_extractor_serves_many_threads_at_once() -> None:
    made, pictures = ScenePrint(), numbered(6)
    expected, results = made.extract(pictures).tobytes(), []
    callers = [
        threading.Thread(target=lambda: results.append(made.extract(pictures, threads=2).tobytes()))
        for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [expected] * 4
