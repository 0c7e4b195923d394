"""Backbone and head as one ONNX graph, and back from the file that holds it.

The graph takes ``image`` and gives ``targetProbability`` [N, C] and ``target_index`` [N]. Labels
and records stand as JSON in the metadata entry "silverprint", which names its format version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError, InvalidParameterError
from silverprint.features.external_data import tensors
from silverprint.features.graph import FEATURES, OURS
from silverprint.model.endings import CORE_ML
from silverprint.model.metadata import RECORD_KEY, ModelMetadata
from silverprint.model.metrics import ClassifierMetrics

if TYPE_CHECKING:
    import onnx

PROBABILITIES = "targetProbability"
INDEX = "target_index"
FORMAT_VERSION = 1

_IR_VERSION = 10
"""The newest that ONNX Runtime 1.19 reads."""


@dataclass(frozen=True)
class ClassifierRecord:
    """What a model file says beside its graph. It holds no path and no file name.

    Attributes:
        labels: in the order of the probabilities.
        rule: the picture rule.
        extractor: name, revision, tensor, licence and fingerprint of the backbone.
        head: kind and settings of the head.
        training: picture counts by label, and seed.
        training_metrics, validation_metrics: without mistakes; None where there are none.
        metadata: the author's words.
    """

    labels: tuple[str, ...]
    rule: PictureRule
    extractor: dict[str, Any]
    head: dict[str, Any]
    training: dict[str, Any]
    training_metrics: ClassifierMetrics | None
    validation_metrics: ClassifierMetrics | None
    metadata: ModelMetadata

    def to_json(self) -> str:
        """Compact JSON with sorted keys: equal records, equal text."""
        record = {
            "format_version": FORMAT_VERSION,
            "kind": "classifier",
            "labels": list(self.labels),
            "picture_rule": self.rule.to_json(),
            "extractor": self.extractor,
            "head": self.head,
            "training": self.training,
            "training_metrics": self.training_metrics and self.training_metrics.to_json(),
            "validation_metrics": self.validation_metrics and self.validation_metrics.to_json(),
            "metadata": self.metadata.to_dict(),
        }
        return json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ClassifierRecord:
        """The record that `to_json` wrote.

        Raises:
            ValueError: the text is not such a record; says why.
        """
        record = json.loads(text)
        version = record["format_version"]
        if type(version) is not int:
            raise ValueError("format_version is not a whole number; the file is damaged")
        if version < 1:
            raise ValueError(
                f"written in format {version}, which there is not; the file is damaged"
            )
        if version > FORMAT_VERSION:
            raise ValueError(
                f"written in format {version}, this silverprint reads {FORMAT_VERSION}: "
                "pip install --upgrade silverprint"
            )
        if record["kind"] != "classifier":
            raise ValueError(f"holds a {record['kind']}, not a classifier")
        labels = record["labels"]
        texts = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not texts or len(set(labels)) != len(labels) or not labels:
            raise ValueError("its labels are not a list of different texts; the file is damaged")
        _check_fields("extractor", record["extractor"], {"name": str})
        _check_fields("head", record["head"], {"l2": float})
        _check_fields("training", record["training"], {"counts": dict})
        _check_fields("counts", record["training"]["counts"], dict.fromkeys(labels, int))

        def metrics(key: str) -> ClassifierMetrics | None:
            return ClassifierMetrics.from_json(labels, record[key]) if record[key] else None

        return cls(
            tuple(labels),
            PictureRule.from_json(record["picture_rule"]),
            record["extractor"],
            record["head"],
            record["training"],
            metrics("training_metrics"),
            metrics("validation_metrics"),
            ModelMetadata.from_dict(record["metadata"]),
        )


def _check_fields(name: str, value: object, needed: Mapping[str, type]) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"its {name} is not an object; the file is damaged")
    for key, kind in needed.items():
        if not isinstance(value[key], (kind, int) if kind is float else kind):
            raise ValueError(f"{name}.{key} is not {kind.__name__}; the file is damaged")


Layer = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Weights (inputs, outputs) and bias (outputs,)."""


@dataclass(frozen=True)
class Head:
    """Linear layers on standardised features, rectified between them, then a softmax.

    Attributes:
        layers: first to last; one is a logistic regression.
        mean, deviation: (d,), of the features; x' = (x - mean) / deviation. Rows of the first
            weights whose feature is constant are 0, whatever its deviation.
        temperature: what the scores are divided by before the softmax (Guo et al., ICML 2017).
    """

    layers: tuple[Layer, ...]
    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    temperature: float = 1.0

    def folded(self) -> tuple[Layer, ...]:
        """The same layers on raw features, temperature included; computed in double precision."""
        wide = [(w.astype(np.float64), b.astype(np.float64)) for w, b in self.layers]
        weights, bias = wide[0]
        used = np.any(weights != 0, axis=1)
        scale = np.where(used, 1.0 / np.where(used, self.deviation, 1.0), 0.0)
        weights = weights * scale[:, None]
        wide[0] = weights, bias - self.mean @ weights
        weights, bias = wide[-1]
        wide[-1] = weights / self.temperature, bias / self.temperature
        return tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in wide)


def compose(backbone: bytes, head: Head, record: ClassifierRecord) -> bytes:
    """The classifier as a serialized ONNX model; equal arguments give equal bytes."""
    import onnx
    from onnx import helper

    model = onnx.ModelProto.FromString(backbone)
    graph = model.graph
    graph.name = "silverprint_classifier"
    scores = _add_layers(graph, head.folded())
    graph.node.extend(
        [
            helper.make_node("Softmax", [scores], [PROBABILITIES], OURS + "softmax", axis=1),
            helper.make_node(
                "ArgMax", [PROBABILITIES], [INDEX], OURS + "answer", axis=1, keepdims=0
            ),
        ]
    )
    batch = graph.input[0].type.tensor_type.shape.dim[0]
    first = batch.dim_value if batch.HasField("dim_value") else batch.dim_param
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(
            PROBABILITIES, onnx.TensorProto.FLOAT, [first, len(record.labels)]
        )
    )
    graph.output.append(helper.make_tensor_value_info(INDEX, onnx.TensorProto.INT64, [first]))
    model.producer_name = "silverprint"
    model.producer_version = ""
    model.ir_version = min(max(model.ir_version, 7), _IR_VERSION)
    return with_record(model, record)


def _add_layers(graph: onnx.GraphProto, layers: tuple[Layer, ...]) -> str:
    """Append the layers to `graph`; returns the name of the scores."""
    from onnx import helper, numpy_helper

    tensor = FEATURES
    for number, (weights, bias) in enumerate(layers, start=1):
        last = number == len(layers)
        name = "head" if last else f"hidden_{number}"
        graph.initializer.append(numpy_helper.from_array(weights, f"{OURS}{name}_weights"))
        graph.initializer.append(numpy_helper.from_array(bias, f"{OURS}{name}_bias"))
        output = OURS + ("scores" if last else f"{name}_sums")
        inputs = [tensor, f"{OURS}{name}_weights", f"{OURS}{name}_bias"]
        graph.node.append(helper.make_node("Gemm", inputs, [output], OURS + name))
        tensor = output
        if not last:
            tensor = OURS + name + "_units"
            graph.node.append(
                helper.make_node("Relu", [output], [tensor], OURS + name + "_rectified")
            )
    return tensor


def with_record(model: onnx.ModelProto, record: ClassifierRecord) -> bytes:
    """`model` serialized, with `record` in its metadata."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = RECORD_KEY, record.to_json()
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def is_classifier(path: Path) -> bool:
    """Whether the file is a model that silverprint wrote, whole or damaged."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except (OSError, DecodeError):
        return False
    return any(entry.key == RECORD_KEY for entry in model.metadata_props)


def read_classifier(path: Path) -> tuple[bytes, ClassifierRecord]:
    """The graph and record of a model file written by silverprint.

    Raises:
        InvalidDataError: the file is missing, damaged, of another origin or a newer format.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.suffix in CORE_ML:
        raise InvalidDataError(path, "a Core ML file; silverprint.load(path) reads it")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidDataError(path, f"cannot be read ({error.strerror})") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InvalidDataError(path, "not an ONNX file, or cut short") from error
    if any(tensor.data_location == tensor.EXTERNAL for tensor in tensors(model.graph)):
        raise InvalidDataError(path, "points at weights in other files; a model is one file")
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if RECORD_KEY not in entries:
        raise InvalidDataError(
            path,
            "not written by silverprint; an ONNX backbone becomes a classifier by training: "
            "CustomFeatureExtractor",
        )
    try:
        record = ClassifierRecord.from_json(entries[RECORD_KEY])
        _check_outputs(model, record)
    except InvalidParameterError as error:
        raise InvalidDataError(path, str(error)) from error
    except KeyError as error:
        raise InvalidDataError(path, f"its record lacks {error}; the file is damaged") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidDataError(path, str(error)) from error
    except RecursionError as error:
        raise InvalidDataError(path, "its record is nested too deeply; it is damaged") from error
    return data, record


def _check_outputs(model: onnx.ModelProto, record: ClassifierRecord) -> None:
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.output
    }
    if (shapes.get(PROBABILITIES) or [0])[-1] != len(record.labels):
        raise ValueError("its graph and its labels do not belong together; the file is damaged")
