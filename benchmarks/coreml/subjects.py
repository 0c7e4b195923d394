"""What is converted: classifiers as ONNX files, the pictures they see, the answers expected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import independent
from coreml.architectures import ARCHITECTURES, CLASSES
from shared_sets import find_sets, sources

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Subject:
    """A classifier as an ONNX file.

    Attributes:
        name: of the network.
        family: the group that it belongs to.
        origin: what wrote the file, and its opset.
        file: the ONNX file.
        size: height and width of its input, in pixels.
        labels: in the order of its scores.
        mean, std: of red, green and blue on the scale of 0..255, to be applied before its input;
            None where the graph takes levels of 0..255 and gives probabilities, not logits.
    """

    name: str
    family: str
    origin: str
    file: str
    size: int
    labels: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def key(self) -> str:
        """A name for files."""
        return Path(self.file).stem

    def given(self, levels: Array) -> Array:
        """One picture as the graph takes it, float32 (1, 3, size, size)."""
        if self.mean is None or self.std is None:
            return levels[None]
        mean, std = (
            np.reshape(one, (1, 3, 1, 1)).astype(np.float32) for one in (self.mean, self.std)
        )
        return (levels[None] - mean) / std

    def probabilities(self, scores: Array) -> Array:
        """What the graph gives for one picture, as probabilities, float64 (labels,)."""
        flat = np.ravel(scores).astype(np.float64)
        if self.mean is None:
            return flat
        powers = np.exp(flat - flat.max())
        return powers / powers.sum()


def from_zoo(folder: Path) -> list[Subject]:
    """The files that `zoo.py` wrote, in its order."""
    import onnx

    found = []
    for one in ARCHITECTURES:
        for exporter in one.exporters:
            path = folder / f"{one.name}-{exporter}.onnx"
            if not path.is_file():
                continue
            model = onnx.load(path)
            entries = {entry.key: entry.value for entry in model.metadata_props}
            mean, std = (tuple(json.loads(entries[key])) for key in ("mean", "std"))
            found.append(
                Subject(
                    name=one.name,
                    family=one.family,
                    origin=f"{exporter}, {model.opset_import[0].version}",
                    file=str(path),
                    size=int(entries["input_size"]),
                    labels=tuple(f"class {number}" for number in range(CLASSES)),
                    mean=mean,
                    std=std,
                )
            )
    return found


def from_backbones(data: Path, work: Path) -> list[Subject]:
    """Classifiers of silverprint on each shared backbone, trained on one of the shared sets."""
    import silverprint as sp

    fit, _ = sources(find_sets(data, ["eurocoins"])[0])
    heads = {
        "logistic regression": sp.LogisticRegressor(),
        "perceptron": sp.MultilayerPerceptron(),
    }
    found = []
    for backbone in sorted((data / "weights").glob("*.onnx")):
        for head, classifier in heads.items():
            parameters = sp.ModelParameters(
                feature_extractor=sp.CustomFeatureExtractor(backbone, output_name="features"),
                classifier=classifier,
            )
            model = sp.ImageClassifier(fit, parameters, progress=False)
            path = work / f"{backbone.stem}-{head.split()[0]}.onnx"
            model.write(path)
            found.append(
                Subject(
                    name=path.stem,
                    family="shared backbone",
                    origin=f"silverprint, {head}",
                    file=str(path),
                    size=model.record.rule.height,
                    labels=tuple(model.labels),
                )
            )
    return found


def pictures(data: Path, count: int) -> list[Path]:
    """Test pictures of every shared set in turn."""
    parts = [independent.read_split(folder)[1].paths for folder in find_sets(data)]
    found = []
    for number in range(count):
        paths = parts[number % len(parts)]
        found.append(paths[number // len(parts) * len(parts) % len(paths)])
    return found


def levels(paths: Sequence[Path], size: int) -> Array:
    """Pictures as an app hands them over: RGB, 0..255, float32 (n, 3, size, size)."""
    from silverprint import _core
    from silverprint.data.decode import decode
    from silverprint.data.rule import PictureRule

    rule = PictureRule(size, size, "center_crop")
    shape = (rule.height, rule.width, rule.crop_and_scale)
    return np.stack([_core.image.prepare(decode(path, rule), *shape) for path in paths])


def reference(subject: Subject, levels: Array) -> Array:
    """Probabilities by onnxruntime, float64 (n, labels).

    Without its optimisations: one of them changes what a Pad before a MaxPool gives.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(subject.file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = [session.run(None, {name: subject.given(picture)})[0] for picture in levels]
    return np.stack([subject.probabilities(row) for row in rows])
