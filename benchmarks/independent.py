"""An image classifier without silverprint: Pillow, onnxruntime and scikit-learn, as one writes it.

Trains on the training part of a folder with a split.csv (path,label,part), prints the accuracy on
the test part. `accuracy.py` holds our figures against these.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image, ImageOps
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

CROP_AND_SCALE = ("center_crop", "scale_fill", "scale_fit")
L2_GRID = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
"""Penalties to choose from, of mean log loss + l2/2 |W|²: in scikit-learn, C = 1 / (l2 n)."""

_PATIENCE = 2


@dataclass(frozen=True)
class Part:
    """Pictures of one part of a split, and their labels."""

    paths: list[Path]
    labels: list[str]


@dataclass(frozen=True)
class Features:
    """float32 (n, d), and the n labels."""

    features: np.ndarray
    labels: np.ndarray


def read_split(folder: Path) -> tuple[Part, Part]:
    """The training and the test part of `folder`/split.csv."""
    parts = {"train": Part([], []), "test": Part([], [])}
    with (folder / "split.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            parts[row["part"]].paths.append(folder / row["path"])
            parts[row["part"]].labels.append(row["label"])
    return parts["train"], parts["test"]


class Backbone:
    """An ONNX network with ``mean``, ``std`` and ``input_size`` in its metadata."""

    def __init__(self, path: Path, threads: int) -> None:
        entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        self._size = int(entries["input_size"])
        self._mean, self._std = (
            np.array(entries[key].strip("[]").replace(",", " ").split(), np.float32)
            for key in ("mean", "std")
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._pool = ThreadPoolExecutor(threads)

    def features(self, paths: list[Path], crop_and_scale: str) -> np.ndarray:
        """float32 (n, d)."""
        rows = self._pool.map(lambda path: self._features(path, crop_and_scale), paths)
        return np.stack(list(rows))

    def _features(self, path: Path, crop_and_scale: str) -> np.ndarray:
        size, bilinear = (self._size, self._size), Image.Resampling.BILINEAR
        with Image.open(path) as file:
            image = file.convert("RGB")
        if crop_and_scale == "center_crop":
            image = ImageOps.fit(image, size, bilinear)
        elif crop_and_scale == "scale_fit":
            image = ImageOps.pad(image, size, bilinear, color=(0, 0, 0))
        else:
            image = image.resize(size, bilinear)
        tensor = (np.asarray(image, np.float32) - self._mean) / self._std
        return self._session.run(
            ["features"], {"image": np.ascontiguousarray(tensor.transpose(2, 0, 1)[None])}
        )[0][0]


@contextmanager
def _quiet() -> Iterator[None]:
    # On vectors of this length several BLAS threads only wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


@_quiet()
def choose_l2(data: Features) -> float:
    """The penalty with the least log loss in stratified five-fold cross-validation.

    Goes from strong to weak and stops once it has got worse `_PATIENCE` times in a row.
    """
    features, labels = data.features, data.labels
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(features, labels))
    scaled = []
    for train, held in folds:
        scaler = StandardScaler().fit(features[train])
        scaled.append((scaler.transform(features[train]), scaler.transform(features[held])))
    models = [_regression(tol=1e-4) for _ in folds]
    best, least, worse = L2_GRID[0], np.inf, 0
    for l2 in L2_GRID:
        losses = []
        for (train, held), (x, x_held), model in zip(folds, scaled, models, strict=True):
            model.C = 1 / (l2 * len(train))
            model.fit(x, labels[train])
            answers = model.predict_proba(x_held)
            losses.append(log_loss(labels[held], answers, labels=model.classes_))
        loss, worse = float(np.mean(losses)), worse + 1
        if loss < least:
            best, least, worse = l2, loss, 0
        if worse >= _PATIENCE:
            break
    return best


@_quiet()
def accuracy(train: Features, test: Features, l2: float) -> float:
    """Accuracy on `test` of a regression with this penalty on `train`."""
    scaler = StandardScaler().fit(train.features)
    model = _regression(tol=1e-6)
    model.C = 1 / (l2 * len(train.labels))
    model.fit(scaler.transform(train.features), train.labels)
    return float(model.score(scaler.transform(test.features), test.labels))


def _regression(tol: float) -> LogisticRegression:
    return LogisticRegression(solver="lbfgs", max_iter=2000, tol=tol, warm_start=True)


def load(folder: Path, backbone: Backbone, crop_and_scale: str) -> tuple[Features, Features]:
    """Features of the training and the test part of `folder`."""
    train, test = (
        Features(backbone.features(part.paths, crop_and_scale), np.array(part.labels))
        for part in read_split(folder)
    )
    return train, test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds split.csv")
    parser.add_argument("backbone", type=Path, help="ONNX file with an output `features`")
    parser.add_argument("--crop-and-scale", choices=CROP_AND_SCALE, default="scale_fill")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    backbone = Backbone(args.backbone, args.threads)
    train, test = load(args.folder, backbone, args.crop_and_scale)
    l2 = choose_l2(train)
    score = accuracy(train, test, l2)
    print(f"{args.folder.name}: accuracy {score:.4f}, l2 {l2:g}")


if __name__ == "__main__":
    main()
