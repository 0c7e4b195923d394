"""Many pictures to one feature matrix: read, digest, decode, prepare and run, on every core.

Each worker is a Python thread that takes one picture at a time; reading, decoding, resampling and
the network all run without the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.decode import decode, read_picture
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError, InvalidParameterError, TrainingCancelled
from silverprint.features.augmentation import SeededView, View
from silverprint.features.shutdown import stop_at_exit

if TYPE_CHECKING:
    from silverprint.data.decode import Picture

FloatMatrix = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

_POLL = 0.1
"""Seconds between looks at the progress, and at Ctrl-C."""


class PictureFunction(Protocol):
    """What one picture becomes: a float32 vector, from its uint8 pixels (height, width, 3)."""

    @property
    def rule(self) -> PictureRule: ...

    @property
    def dimension(self) -> int: ...

    def run(
        self, pixels: npt.NDArray[np.uint8], cancel: _core.runtime.CancelToken
    ) -> npt.NDArray[np.float32]: ...

    def run_views(
        self,
        pixels: npt.NDArray[np.uint8],
        cancel: _core.runtime.CancelToken,
        views: Sequence[SeededView],
    ) -> FloatMatrix:
        """The vector of the picture and below it that of each view, float32 (1 + v, d)."""
        ...


@dataclass(frozen=True)
class FeatureBlock:
    """Features of some of the pictures given.

    Attributes:
        positions: int64 (m,), which pictures, counted from 0 in the order given.
        features: float32 (m, d), their rows.
        views: float32 (m, v, d), of the views of each, in the order asked for.
        digests: SHA-256 of each picture's bytes, m of them; none where they were not asked for.
        failures: (position, error) of the pictures that cannot be read.
    """

    positions: npt.NDArray[np.int64]
    features: FloatMatrix
    views: npt.NDArray[np.float32]
    digests: list[bytes]
    failures: list[tuple[int, InvalidDataError]]


@dataclass
class _Block:
    start: int
    rows: npt.NDArray[np.float32]  # (pictures, 1 + views, d)
    digests: list[bytes]
    remaining: int
    done: threading.Event = field(default_factory=threading.Event)
    failures: list[tuple[int, InvalidDataError]] = field(default_factory=list)

    def finished(self) -> FeatureBlock:
        failed = {position for position, _ in self.failures}
        kept = [i for i in range(len(self.digests)) if self.start + i not in failed]
        rows = self.rows[kept] if failed else self.rows
        return FeatureBlock(
            np.asarray(kept, np.int64) + self.start,
            np.ascontiguousarray(rows[:, 0]),
            rows[:, 1:],
            [self.digests[i] for i in kept if self.digests[i]],
            sorted(self.failures, key=lambda failure: failure[0]),
        )


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
    views: Sequence[View] = (),
    seed: int = 0,
) -> Iterator[FeatureBlock]:
    """Blocks of at most `block_size` pictures, in order; a few are held at a time.

    Pictures that cannot be read are reported in their block. A generator: leaving it stops the
    workers. `progress(done, total)` is called from the caller's thread. `digests` costs about a
    millisecond for each megabyte of file. With `views` each picture is read and decoded once and
    run once more for each of them; what they look like follows from `seed` and the digest.

    Raises:
        TrainingCancelled: `cancel` was cancelled.
    """
    total = len(pictures)
    if total == 0:
        return
    token = cancel or _core.runtime.CancelToken()
    pipeline = _Pipeline(pictures, function, block_size, token, digests or bool(views), views, seed)
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
        views: Sequence[View],
        seed: int,
    ) -> None:
        self._digests = digests
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
        self._blocks: dict[int, _Block] = {}
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

    def block(self, number: int) -> _Block:
        with self._lock:
            found = self._blocks.get(number)
            if found is None:
                start = number * self._block_size
                size = min(self._block_size, len(self._pictures) - start)
                shape = (size, 1 + len(self._views), self._function.dimension)
                rows = np.empty(shape, np.float32)
                found = self._blocks[number] = _Block(start, rows, [b""] * size, size)
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

    def _process(self, position: int, block: _Block) -> None:
        if self._caller_cancel.cancelled:
            raise TrainingCancelled("the extraction was cancelled")
        picture = self._pictures[position]
        row = position - block.start
        name: object = picture
        if isinstance(picture, (str, os.PathLike)):
            picture = read_picture(picture)
        if isinstance(picture, bytes):
            if self._digests:
                block.digests[row] = hashlib.sha256(picture).digest()
            pixels = decode(
                picture, self._function.rule, name=name if name is not picture else None
            )
        else:
            pixels = decode(picture)
            if self._digests:
                shape = np.asarray(pixels.shape, np.int64).tobytes()
                block.digests[row] = hashlib.sha256(shape + pixels.tobytes()).digest()
        values = self._run(pixels, block.digests[row])
        if not np.isfinite(values).all():
            shown = name if isinstance(name, (str, os.PathLike)) else f"picture {position}"
            raise InvalidDataError(shown, "the network gives numbers that are not finite for it")
        block.rows[row] = values

    def _run(self, pixels: npt.NDArray[np.uint8], digest: bytes) -> npt.NDArray[np.float32]:
        if not self._views:
            return self._function.run(pixels, self._caller_cancel)
        views = [view.seeded(self._seed, digest) for view in self._views]
        return self._function.run_views(pixels, self._caller_cancel, views)


def as_pictures(name: str, value: Any) -> list[Picture]:
    """`value` as a list of pictures.

    Raises:
        InvalidParameterError: it is one picture, or none of what pictures can be.
    """
    single = isinstance(value, (str, bytes, os.PathLike)) or not hasattr(value, "__iter__")
    if single or (isinstance(value, np.ndarray) and value.ndim < 4):
        raise InvalidParameterError(name, type(value).__name__, "a list of pictures")
    return list(value)


def check_share(name: str, value: object) -> None:
    """Raise InvalidParameterError unless `value` is a share from 0 to 1."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:  # type: ignore[operator]
        raise InvalidParameterError(name, value, "a share from 0 to 1")


def check_failures(
    failures: Sequence[tuple[str, InvalidDataError]],
    totals: Counter[str],
    *,
    origin: object,
    max_unreadable: float,
) -> None:
    """Refuse to go on where too much of a data source cannot be read.

    Args:
        failures: (label, error) of each picture that cannot be read.
        totals: pictures given of each label.
        max_unreadable: share of all pictures that may be unreadable; of one label, four times it.

    Raises:
        InvalidDataError: too many are, grouped by cause, or none of a label is left.
    """
    if not failures:
        return
    by_label = Counter(label for label, _ in failures)
    everything = sum(totals.values())
    summary = summarise_failures([error for _, error in failures])
    if len(failures) == everything:
        raise InvalidDataError(origin, f"none of the {everything} pictures can be read: {summary}")
    if len(failures) > max_unreadable * everything:
        raise InvalidDataError(
            origin,
            f"{len(failures)} of {everything} pictures cannot be read, more than "
            f"max_unreadable={max_unreadable:g} allows: {summary}",
        )
    for label, count in by_label.items():
        if count > min(1.0, 4 * max_unreadable) * totals[label] or count == totals[label]:
            own = summarise_failures([error for name, error in failures if name == label])
            raise InvalidDataError(
                origin,
                f"{count} of {totals[label]} pictures of label {label!r} cannot be read: {own}",
            )


def summarise_failures(errors: Sequence[InvalidDataError]) -> str:
    """Errors grouped by cause, most frequent first, each with a file that shows it."""
    causes: dict[str, list[object]] = {}
    for error in errors:
        causes.setdefault(error.reason, []).append(error.file)
    parts = [
        f"{len(files)} {reason} (such as {files[0]})"
        for reason, files in sorted(causes.items(), key=lambda cause: (-len(cause[1]), cause[0]))
    ]
    return "; ".join(parts)
