"""Many pictures to one feature matrix: read, digest, decode, prepare and run, on every core.

Each worker is a Python thread that takes one picture at a time; reading, decoding, resampling and
the network all run without the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.decode import decode
from silverprint.data.reading import read_picture_and_status
from silverprint.errors import InvalidDataError, InvalidParameterError, TrainingCancelled
from silverprint.features.augmentation import PictureView
from silverprint.features.blocks import (
    ExtractionCounts,
    FeatureBlock,
    FloatMatrix,
    PictureFunction,
    Rows,
    UnfinishedBlock,
)
from silverprint.features.failures import check_failures, check_share, summarise_failures
from silverprint.features.shutdown import stop_at_exit

if TYPE_CHECKING:
    from silverprint.data.decode import Picture

__all__ = [
    "ExtractionCounts",
    "FeatureBlock",
    "FloatMatrix",
    "PictureFunction",
    "Progress",
    "as_pictures",
    "check_block_size",
    "check_failures",
    "check_share",
    "extract_blocks",
    "summarise_failures",
    "worker_count",
]

Progress = Callable[[int, int], None]
Lookup = Callable[[bytes], Rows | None]
"""Rows (1 + v, d) of the picture with this SHA-256 and of its views, if they are known."""

_POLL = 0.1
"""Seconds between looks at the progress, and at Ctrl-C."""


def check_block_size(block_size: object) -> None:
    """Raise InvalidParameterError unless `block_size` is a positive number."""
    if type(block_size) is not int or block_size < 1:
        raise InvalidParameterError("block_size", block_size, "a whole number of at least 1")


def worker_count(threads: int | None) -> int:
    """`threads`, or as many as this process may run at once.

    Raises:
        InvalidParameterError: not a number from 1 to 1024.
    """
    if threads is None:
        return _core.build.threads()
    if type(threads) is not int or not 1 <= threads <= 1024:
        raise InvalidParameterError("threads", threads, "a whole number from 1 to 1024, or None")
    return threads


def extract_blocks(
    pictures: Sequence[Picture],
    function: PictureFunction,
    *,
    block_size: int,
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: _core.runtime.CancelToken | None = None,
    digests: bool = False,
    views: Sequence[PictureView] = (),
    seed: int = 0,
    lookup: Lookup | None = None,
    counts: ExtractionCounts | None = None,
) -> Generator[FeatureBlock, None, None]:
    """Blocks of at most `block_size` pictures, in order; a few are held at a time.

    Pictures that cannot be read are reported in their block. A generator: leaving it stops the
    workers. `progress(done, total)` is called from the caller's thread. `digests` costs about a
    millisecond for each megabyte of file. With `views` each picture is read and decoded once and
    run once more for each of them; what they look like follows from `seed` and the digest.
    `lookup` is asked by the workers: a file whose rows it knows is neither decoded nor run.

    Raises:
        TrainingCancelled: `cancel` was cancelled.
    """
    total = len(pictures)
    if total == 0:
        return
    token = cancel or _core.runtime.CancelToken()
    pipeline = _Pipeline(
        pictures,
        function,
        block_size,
        token,
        digests or bool(views) or lookup is not None,
        views,
        seed,
        lookup,
        counts or ExtractionCounts(),
    )
    reported = 0

    def report(done: int) -> None:
        nonlocal reported
        reported = max(reported, done)
        if progress is not None:
            progress(reported, total)

    pipeline.start(min(worker_count(threads), total))
    try:
        for number in range(-(-total // block_size)):
            block = pipeline.block(number)
            while not block.done.wait(_POLL):
                pipeline.check()
                report(pipeline.processed)
            pipeline.check()
            report(min((number + 1) * block_size, total))
            pipeline.forget(number)
            yield block.finished()
    finally:
        pipeline.stop()


class _Pipeline:
    """What the workers share."""

    def __init__(
        self,
        pictures: Sequence[Picture],
        function: PictureFunction,
        block_size: int,
        cancel: _core.runtime.CancelToken,
        digests: bool,
        views: Sequence[PictureView],
        seed: int,
        lookup: Lookup | None,
        counts: ExtractionCounts,
    ) -> None:
        self._digests = digests
        self._lookup = lookup
        self._counts = counts
        self._views = views
        self._seed = seed
        self._pictures = pictures
        self._function = function
        self._block_size = block_size
        self._caller_cancel = cancel
        # Leaving the generator stops the workers without marking the caller's job as cancelled.
        self._stopped = False
        self._positions = itertools.count()
        self._lock = threading.Lock()
        self._blocks: dict[int, UnfinishedBlock] = {}
        self._room = threading.Semaphore(2 * block_size)
        self._error: BaseException | None = None
        self._workers: list[threading.Thread] = []
        self.processed = 0

    def start(self, workers: int) -> None:
        self._workers = [
            threading.Thread(target=self._work, name=f"silverprint-extract-{i}", daemon=True)
            for i in range(workers)
        ]
        stop_at_exit(self)
        for worker in self._workers:
            worker.start()

    def block(self, number: int) -> UnfinishedBlock:
        with self._lock:
            found = self._blocks.get(number)
            if found is None:
                start = number * self._block_size
                size = min(self._block_size, len(self._pictures) - start)
                shape = (size, 1 + len(self._views), self._function.dimension)
                rows = np.empty(shape, self._function.dtype)
                found = self._blocks[number] = UnfinishedBlock(start, rows, size)
            return found

    def forget(self, number: int) -> None:
        """The block has been handed over: there is room for another."""
        with self._lock:
            del self._blocks[number]
        self._room.release(self._block_size)

    def stop(self) -> None:
        """Let the workers finish their pictures, and wait for them."""
        self._stopped = True
        self._room.release(len(self._workers))
        for worker in self._workers:
            if worker.is_alive():  # at exit some may not have been started
                worker.join()

    def check(self) -> None:
        """Raise what a worker met, or what cancelling means."""
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            self._room.acquire()
            position = next(self._positions)
            if self._stopped or position >= len(self._pictures):
                return
            block = self.block(position // self._block_size)
            try:
                self._process(position, block)
            except InvalidDataError as error:
                with self._lock:
                    block.failures.append((position, error))
            except BaseException as error:
                self._error = self._error or error
                self._stopped = True
                self._wake()
                return
            with self._lock:
                self.processed += 1
                block.remaining -= 1
                if block.remaining == 0:
                    block.done.set()

    def _wake(self) -> None:
        with self._lock:
            for block in self._blocks.values():
                block.done.set()

    def _process(self, position: int, block: UnfinishedBlock) -> None:
        if self._caller_cancel.cancelled:
            raise TrainingCancelled("the extraction was cancelled")
        picture = self._pictures[position]
        row = position - block.start
        name: object = None
        if isinstance(picture, (str, os.PathLike)):
            name = picture
            picture, block.stats[row] = read_picture_and_status(picture)
            self._counts.add(read=1)
        if not isinstance(picture, bytes):
            picture = self._decode(picture, name)
        if self._digests:
            block.digests[row] = _digest(picture)
        known = self._lookup(block.digests[row]) if self._lookup else None
        if known is not None:
            self._counts.add(reused=1)
            block.rows[row] = known
            return
        pixels = self._decode(picture, name) if isinstance(picture, bytes) else picture
        values = self._run(pixels, block.digests[row])
        if not np.isfinite(values).all():
            shown = f"picture {position}" if name is None else name
            raise InvalidDataError(shown, "the network gives numbers that are not finite for it")
        block.rows[row] = values

    def _decode(self, picture: Picture, name: object) -> npt.NDArray[np.uint8]:
        pixels = decode(picture, self._function.rule, name=name)
        self._counts.add(decoded=1)
        return pixels

    def _run(self, pixels: npt.NDArray[np.uint8], digest: bytes) -> Rows:
        self._counts.add(runs=1 + len(self._views))
        if not self._views:
            return self._function.run(pixels, self._caller_cancel)
        views = [view.seeded(self._seed, digest) for view in self._views]
        return self._function.run_views(pixels, self._caller_cancel, views)


def _digest(picture: bytes | npt.NDArray[np.uint8]) -> bytes:
    """SHA-256 of a file's bytes, or of an array's shape and pixels."""
    if isinstance(picture, bytes):
        return hashlib.sha256(picture).digest()
    shape = np.asarray(picture.shape, np.int64).tobytes()
    return hashlib.sha256(shape + picture.tobytes()).digest()


def as_pictures(name: str, value: Any) -> list[Picture]:
    """`value` as a list of pictures.

    Raises:
        InvalidParameterError: it is one picture, or none of what pictures can be.
    """
    single = isinstance(value, (str, bytes, os.PathLike)) or not hasattr(value, "__iter__")
    if single or (isinstance(value, np.ndarray) and value.ndim < 4):
        raise InvalidParameterError(name, type(value).__name__, "a list of pictures")
    return list(value)
