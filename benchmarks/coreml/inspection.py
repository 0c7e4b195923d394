"""Reads a saved Core ML file back, executes it by silverprint's executor, and says what it is."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coreml.subjects import Array, Subject

Rounding = Literal["none", "float16"]

_SMALLEST = 2.0**-14
"""Smaller probabilities do not count: float16 holds few digits of them."""

_TIE = 1e-4
"""Two labels whose probabilities differ by less are equal to float32."""


@dataclass(frozen=True)
class Face:
    """What an app sees of a file.

    Attributes:
        image: the input is an image, not a multi-array.
        labels: it knows the labels, in the right order.
        names: `image`, `target`, `targetProbability`, as Create ML calls them.
    """

    image: bool
    labels: bool
    names: bool


@dataclass(frozen=True)
class Agreement:
    """A file against onnxruntime, on the same pictures.

    Attributes:
        error: largest difference of the logits (log-probabilities, less their mean), as a share
            of the largest.
        probability: largest difference of a probability.
        same: pictures with the same best label.
        clear: pictures whose best label is none by chance: no near tie.
        clear_same: of those, the ones with the same label.
        seconds: of execution.
    """

    error: float
    probability: float
    same: int
    clear: int
    clear_same: int
    seconds: float


def operators(path: Path) -> Counter[str]:
    """How often the file has each operator (ML Program) or layer (NeuralNetwork)."""
    spec = _spec(path)
    if spec.WhichOneof("Type") == "mlProgram":
        main = spec.mlProgram.functions["main"]
        found = (one.type for one in main.block_specializations[main.opset].operations)
        return Counter(kind for kind in found if kind != "const")
    network = getattr(spec, spec.WhichOneof("Type"))
    return Counter(layer.WhichOneof("layer") for layer in network.layers)


def size(path: Path) -> int:
    """Bytes on disk."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def face(path: Path, subject: Subject) -> Face:
    """What the description of the file says."""
    spec = _spec(path)
    description = spec.description
    kinds = [one.type.WhichOneof("Type") for one in description.input]
    names = {one.name for one in (*description.input, *description.output)}
    return Face(
        image=kinds == ["imageType"],
        labels=_labels(spec) == list(subject.labels),
        names=names == {"image", "target", "targetProbability"},
    )


def compare(
    path: Path, subject: Subject, levels: Array, expected: Array, rounding: Rounding
) -> Agreement:
    """Execute the file on `levels` and hold it against `expected`, probabilities of each label."""
    from silverprint.export.coreml.execute import prepare
    from silverprint.export.coreml.reader import read_model

    saved = read_model(path)
    begin = time.perf_counter()
    run = prepare(saved, rounding=rounding)
    feature = saved.spec.description.input[0]
    is_image = feature.type.WhichOneof("Type") == "imageType"
    rows = []
    for picture in levels:
        given = picture[None] if is_image else subject.given(picture)
        rows.append(_probabilities(run({feature.name: given}), subject))
    seconds = time.perf_counter() - begin
    found = np.stack(rows)
    counts = expected >= _SMALLEST
    ours, theirs = (_centred(one, counts) for one in (found, expected))
    best = np.sort(expected, axis=1)
    clear = best[:, -1] - best[:, -2] > _TIE
    same = found.argmax(axis=1) == expected.argmax(axis=1)
    return Agreement(
        error=float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), _SMALLEST)),
        probability=float(np.abs(found - expected).max()),
        same=int(same.sum()),
        clear=int(clear.sum()),
        clear_same=int((same & clear).sum()),
        seconds=seconds,
    )


def _centred(probabilities: Array, counts: Array) -> Array:
    """Logits, less their mean in each row; 0 where they do not count."""
    logs = np.log(np.maximum(probabilities, _SMALLEST / 2))
    means = np.mean(logs, axis=1, keepdims=True, where=counts)
    return np.where(counts, logs - means, 0.0)


def _probabilities(answer: dict[str, Any], subject: Subject) -> Array:
    """In the order of the labels, from a dictionary or from what the ONNX graph gives."""
    for value in answer.values():
        if isinstance(value, dict):
            return np.array([value[label] for label in subject.labels], np.float64)
    arrays = [np.ravel(value) for value in answer.values() if isinstance(value, np.ndarray)]
    (scores,) = [one for one in arrays if one.size == len(subject.labels)]
    return subject.probabilities(scores)


def _labels(spec: Any) -> list[str]:
    kind = spec.WhichOneof("Type")
    if kind == "neuralNetworkClassifier":
        return list(spec.neuralNetworkClassifier.stringClassLabels.vector)
    if kind == "mlProgram":
        main = spec.mlProgram.functions["main"]
        for one in main.block_specializations[main.opset].operations:
            if one.type == "classify":
                texts = one.inputs["classes"].arguments[0].value.immediateValue.list.values
                return [text.immediateValue.tensor.strings.values[0] for text in texts]
    return []


def _spec(path: Path) -> Any:
    from silverprint.export.coreml.reader import read_model

    return read_model(path).spec
