"""The rival of extraction: plain Pillow and onnxruntime, well written, at any of its settings."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image

BATCHES = (1, 4, 8)


@dataclass(frozen=True)
class Setting:
    """How the rival runs.

    Attributes:
        callers: threads that decode and call the session.
        intra_op: threads inside the session.
        draft: let libjpeg decode at a fraction of the size.
        batch: pictures per call.
    """

    callers: int
    intra_op: int
    draft: bool
    batch: int

    def __str__(self) -> str:
        decode = "scaled" if self.draft else "full"
        return f"{self.callers} × {self.intra_op} threads, {decode} decode, batch {self.batch}"


def settings(threads: int) -> list[Setting]:
    """Every setting that uses `threads` threads."""
    ways = dict.fromkeys([(1, threads), (threads, 1)])
    return [
        Setting(callers, intra_op, draft, batch)
        for draft, (callers, intra_op), batch in itertools.product((False, True), ways, BATCHES)
    ]


@dataclass(frozen=True)
class Network:
    """A backbone with nothing but ``features`` left to compute, and its normalisation."""

    graph: bytes
    size: int
    mean: np.ndarray
    std: np.ndarray


def load_network(path: Path) -> Network:
    model = onnx.load(path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    others = [output for output in model.graph.output if output.name != "features"]
    for output in others:
        model.graph.output.remove(output)
    mean, std = (
        np.array(entries[key].strip("[]").replace(",", " ").split(), np.float32)
        for key in ("mean", "std")
    )
    return Network(model.SerializeToString(), int(entries["input_size"]), mean, std)


class PlainExtractor:
    """Features of picture files, whole picture stretched to the size of the network."""

    def __init__(self, network: Network, setting: Setting) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = setting.intra_op
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            network.graph, options, providers=["CPUExecutionProvider"]
        )
        self._setting = setting
        self._size = (network.size, network.size)
        self._scale = (1 / network.std)[:, None, None]
        self._shift = (-network.mean / network.std)[:, None, None]
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(setting.callers)

    def extract(self, paths: Sequence[Path]) -> np.ndarray:
        """Features, float32 (n, d)."""
        batch = self._setting.batch
        parts = [paths[i : i + batch] for i in range(0, len(paths), batch)]
        run = map if self._setting.callers == 1 else self._pool.map
        return np.concatenate(list(run(self._features, parts)))

    def _features(self, paths: Sequence[Path]) -> np.ndarray:
        if not hasattr(self._local, "images"):
            self._local.images = np.empty((self._setting.batch, 3, *self._size), np.float32)
        images = self._local.images[: len(paths)]
        for path, image in zip(paths, images, strict=True):
            pixels = self._pixels(path)
            np.multiply(pixels.transpose(2, 0, 1), self._scale, out=image)
            image += self._shift
        return self._session.run(["features"], {"image": images})[0]

    def _pixels(self, path: Path) -> np.ndarray:
        with Image.open(path) as image:
            if self._setting.draft:
                image.draft("RGB", self._size)
            # convert() copies even where there is nothing to convert.
            rgb = image if image.mode == "RGB" else image.convert("RGB")
            return np.asarray(rgb.resize(self._size, Image.Resampling.BILINEAR))


class NaiveExtractor:
    """What one writes first: a loop over the files, onnxruntime as it comes."""

    def __init__(self, network: Network) -> None:
        self._session = ort.InferenceSession(network.graph, providers=["CPUExecutionProvider"])
        self._network = network

    def extract(self, paths: Sequence[Path]) -> np.ndarray:
        """Features, float32 (n, d)."""
        rows = []
        size = (self._network.size, self._network.size)
        for path in paths:
            image = Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR)
            tensor = (np.array(image, np.float32) - self._network.mean) / self._network.std
            tensor = np.ascontiguousarray(tensor.transpose(2, 0, 1)[None])
            rows.append(self._session.run(["features"], {"image": tensor})[0][0])
        return np.stack(rows)
