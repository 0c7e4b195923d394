"""Features of real pictures in any number: MobileNetV2 on random crops, labels of the pictures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from common import note

_DISTILL_CLASSES = 14
_BLOCK = 256
_SMALLEST_AREA = 0.3
# Scenes, dishes and cars are one class each; elsewhere the name of the thing is the class.
_CATEGORY = re.compile(
    r"(?P<one>car|coco|food)_|pack_(?:test|train)_(?P<pack>.+)_\d+\.|(?P<rest>.+?)(?:_image)?_[^_]*\."
)


@dataclass(frozen=True)
class LabelledFeatures:
    """Features float32 (n, d) and labels int32 (n,), to train on and apart from these."""

    train: np.ndarray
    train_labels: np.ndarray
    other: np.ndarray
    other_labels: np.ndarray


def load_features(
    data: Path, work: Path, rows: int, classes: int, threads: int, seed: int = 0
) -> LabelledFeatures:
    """`rows` crops in `classes` classes of equal size, and a tenth as many beside them.

    Of the 50 classes (all of data/classification and the largest of data/distill) evenly spaced
    ones are taken. Made once and kept in `work`.
    """
    names = ("train", "train_labels", "other", "other_labels")
    file = work / f"features_{rows}x{classes}.npz"
    if not file.exists():
        arrays = _make(data, rows, classes, threads, seed)
        np.savez(file, **dict(zip(names, arrays, strict=True)))
    with np.load(file) as stored:
        return LabelledFeatures(*(stored[name] for name in names))


def picture_classes(data: Path) -> list[list[Path]]:
    """The pictures of each of the 50 classes."""
    folders = sorted(path for path in (data / "classification").glob("*/*") if path.is_dir())
    found = [sorted(folder.glob("*.jpg")) for folder in folders]
    categories: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((data / "distill").glob("*.jpg")):
        match = _CATEGORY.match(path.name)
        if match:
            categories[next(filter(None, match.groups()))].append(path)
    largest = sorted(categories, key=lambda name: (-len(categories[name]), name))
    return found + [categories[name] for name in largest[:_DISTILL_CLASSES]]


def _make(data: Path, rows: int, classes: int, threads: int, seed: int) -> list[np.ndarray]:
    from silverprint.features.extractor import CustomFeatureExtractor

    everything = picture_classes(data)
    chosen = [everything[i * len(everything) // classes] for i in range(classes)]
    others = max(rows // 10 // classes, 1)
    each = -(-rows // classes) + others
    extractor = CustomFeatureExtractor(
        data / "weights" / "mobilenetv2_float.onnx", "features", crop_and_scale="scale_fill"
    )
    note(f"features of {each * classes} crops in {classes} classes")
    features = np.empty((classes * each, extractor.dimension), np.float32)
    block: list[np.ndarray] = []
    done = 0
    for crop in _crops(chosen, each, seed):
        block.append(crop)
        if len(block) == _BLOCK or done + len(block) == len(features):
            features[done : done + len(block)] = extractor.extract(block, threads=threads)
            done += len(block)
            block.clear()
    labels = np.repeat(np.arange(classes, dtype=np.int32), each)
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(each) + i * each for i in range(classes)])
    is_other = np.tile(np.arange(each) < others, classes)
    train, other = random.permutation(order[~is_other])[:rows], order[is_other]
    return [features[train], labels[train], features[other], labels[other]]


def _crops(classes: list[list[Path]], each: int, seed: int) -> Iterator[np.ndarray]:
    """`each` crops of each class, uint8 (h, w, 3), spread over its pictures."""
    for number, paths in enumerate(classes):
        for i, path in enumerate(paths):
            random = np.random.default_rng([seed, number, i])
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            for _ in range(i, each, len(paths)):
                share = np.sqrt(random.uniform(_SMALLEST_AREA, 1))
                height, width = (max(int(side * share), 1) for side in pixels.shape[:2])
                top = int(random.integers(pixels.shape[0] - height + 1))
                left = int(random.integers(pixels.shape[1] - width + 1))
                crop = pixels[top : top + height, left : left + width]
                yield crop[:, ::-1] if random.integers(2) else crop
