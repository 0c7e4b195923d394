"""The shared classification sets, each with its fixed split, for silverprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import independent

if TYPE_CHECKING:
    from silverprint import DataSource
    from silverprint.features.extractor import FeatureExtractor

QUICK_SETS = ["eurocoins", "flowers"]


def find_sets(data: Path, names: list[str] | None = None) -> list[Path]:
    """The folders with a split.csv: those named, or all."""
    found = sorted(path.parent for path in (data / "classification").glob("*/split.csv"))
    unknown = sorted(set(names or ()) - {folder.name for folder in found})
    if unknown:
        raise SystemExit(f"no such sets: {', '.join(unknown)}")
    return [folder for folder in found if names is None or folder.name in names]


def sources(folder: Path) -> tuple[DataSource, DataSource]:
    """The training and the test part."""
    import silverprint as sp

    found = []
    for part in independent.read_split(folder):
        by_label: dict[str, list[Path]] = {}
        for path, label in zip(part.paths, part.labels, strict=True):
            by_label.setdefault(label, []).append(path)
        found.append(sp.DataSource.files_by_label(by_label))
    return found[0], found[1]


def extractors(data: Path) -> dict[str, FeatureExtractor]:
    """The shared backbone and the built-in print."""
    import silverprint as sp

    mobilenet = data / "weights" / "mobilenetv2_float.onnx"
    return {
        "MobileNetV2": sp.CustomFeatureExtractor(mobilenet, output_name="features"),
        "ScenePrint": sp.ScenePrint(),
    }


@dataclass(frozen=True)
class SplitFeatures:
    """Features float32 (n, d) of both parts, and indices of labels int32 (n,)."""

    labels: tuple[str, ...]
    train: np.ndarray
    train_truth: np.ndarray
    test: np.ndarray
    test_truth: np.ndarray


def split_features(folder: Path, extractor: FeatureExtractor, threads: int) -> SplitFeatures:
    """Both parts of a set, extracted."""
    train, test = sources(folder)
    index_of = {label: i for i, label in enumerate(train.labels)}
    arrays = []
    for part in (train, test):
        arrays.append(extractor.extract([path for path, _ in part.items], threads=threads))
        arrays.append(np.array([index_of[label] for _, label in part.items], np.int32))
    return SplitFeatures(train.labels, *arrays)
