"""Saved Core ML files without fault, and copies of them that can be changed."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from silverprint.export.coreml import ExportOptions, write_backbone, write_classifier
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.pipeline_spec import detector_pipeline
from silverprint.export.coreml.proof import Detector, Expected
from silverprint.export.coreml.reader import read_model
from support.coreml_networks import (
    BOXES,
    LABELS,
    RULE,
    convolutional,
    detector,
    extractor,
    transformer,
)

Array = np.ndarray[Any, Any]

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
_FLOAT16 = 10  # MIL_pb2.DataType


@dataclass(frozen=True)
class Base:
    """A file without fault: how it is written, and what it is compared with."""

    suffix: str
    network: Callable[[], onnx.ModelProto]
    options: ExportOptions
    detects: bool = False
    outputs: tuple[str, ...] = ()

    @property
    def expected(self) -> Expected:
        if self.detects:
            return Expected(RULE, LABELS, options=self.options, detector=Detector(BOXES))
        if self.outputs:
            return Expected(RULE, outputs=self.outputs, options=self.options)
        return Expected(RULE, LABELS, options=self.options)

    def write(self, folder: Path) -> Path:
        path = folder / f"written{self.suffix}"
        if self.detects:
            write_detector(path, self.network(), self.options)
        elif self.outputs:
            write_backbone(
                self.network(), path, picture_rule=RULE, metadata={}, options=self.options
            )
        else:
            write_classifier(
                self.network(),
                path,
                labels=LABELS,
                picture_rule=RULE,
                metadata={},
                options=self.options,
            )
        return path


_F32, _F16 = ExportOptions(precision="float32"), ExportOptions()
BASES = {
    "cnn": Base(".mlpackage", convolutional, _F32),
    "cnn float16": Base(".mlpackage", convolutional, _F16),
    "cnn .mlmodel": Base(".mlmodel", convolutional, _F32),
    "vit": Base(".mlpackage", transformer, _F32),
    "vit float16": Base(".mlpackage", transformer, _F16),
    "vit 8 bits": Base(".mlpackage", transformer, ExportOptions(weights=8)),
    "vit 8 bits iOS18": Base(".mlpackage", transformer, ExportOptions(weights=8, target="iOS18")),
    "vit .mlmodel": Base(".mlmodel", transformer, _F32),
    "vit .mlmodel 8 bits": Base(
        ".mlmodel", transformer, ExportOptions(precision="float32", weights=8)
    ),
    "features": Base(".mlpackage", extractor, _F32, outputs=("features",)),
    "features .mlmodel": Base(".mlmodel", extractor, _F32, outputs=("features",)),
    "detector .mlmodel": Base(".mlmodel", detector, _F32, detects=True),
}


def write_detector(path: Path, graph: onnx.ModelProto, options: ExportOptions) -> None:
    """A pipeline of the network of `graph` and suppression."""
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / f"network{path.suffix}"
        write_backbone(graph, network, picture_rule=RULE, metadata={}, options=options)
        with quiet():
            pipeline = detector_pipeline(read_model(network).spec, LABELS, boxes=BOXES)
    path.write_bytes(pipeline.SerializeToString(deterministic=True))


class Copy:
    """A copy of a saved file, open for changes."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.path = folder / f"copy{source.suffix}"
        if source.is_dir():
            shutil.copytree(source, self.path, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, self.path)
        saved = read_model(self.path)
        self.spec: Any = saved.spec
        self.weights = bytearray(saved.weights)

    def save(self) -> Path:
        content = self.spec.SerializeToString(deterministic=True)
        if self.path.is_dir():
            (self.path / MODEL).write_bytes(content)
            (self.path / WEIGHTS).write_bytes(self.weights)
        else:
            self.path.write_bytes(content)
        return self.path

    # ML Programs

    @property
    def main(self) -> Any:
        return self.spec.mlProgram.functions["main"]

    @property
    def block(self) -> Any:
        return self.main.block_specializations[self.main.opset]

    def operations(self, kind: str) -> list[Any]:
        return [one for one in self.block.operations if one.type == kind]

    def giving(self, name: str) -> Any:
        """The operation whose result is called `name`, with or without coremltools' suffix."""
        wanted = {name, f"{name}_cast_fp16"}
        return next(
            one
            for one in self.block.operations
            if any(value.name in wanted for value in one.outputs)
        )

    def source(self, operation: Any, parameter: str) -> Any:
        return self.giving(operation.inputs[parameter].arguments[0].name)

    def numbers(self, operation: Any, parameter: str) -> Array:
        """A constant in weight.bin, to be changed in place."""
        value = self.source(operation, parameter).attributes["val"]
        _, kind, size, start = struct.unpack_from("<IIQQ", self.weights, value.blobFileValue.offset)
        shape = [side.constant.size for side in value.type.tensorType.dimensions]
        dtype = {1: "<f2", 2: "<f4"}[kind]
        count = size // np.dtype(dtype).itemsize
        return np.frombuffer(self.weights, dtype, count, start).reshape(shape)

    def set(self, operation: Any, parameter: str, values: Any) -> None:
        """Give one operation another constant; others that share the old one keep it."""
        name = f"changed_{parameter}_{len(self.block.operations)}"
        new = type(operation)()
        new.CopyFrom(self.source(operation, parameter))
        new.outputs[0].name = name
        value = new.attributes["val"]
        value.ClearField("blobFileValue")
        tensor = value.immediateValue.tensor
        kind = value.type.tensorType.dataType
        tensor.Clear()
        if isinstance(values, str):
            tensor.strings.values.append(values)
        elif kind == _FLOAT16:
            tensor.bytes.values = np.asarray(values, "<f2").tobytes()
        else:
            array = np.asarray(values)
            field = {"b": "bools", "f": "floats"}.get(array.dtype.kind, "ints")
            getattr(tensor, field).values.extend(array.reshape(-1).tolist())
        place = list(self.block.operations).index(operation)
        self.block.operations.insert(place, new)
        operation.inputs[parameter].arguments[0].name = name

    # NeuralNetworks

    @property
    def network(self) -> Any:
        kind = self.spec.WhichOneof("Type")
        model = self.spec.pipeline.models[0] if kind == "pipeline" else self.spec
        return getattr(model, model.WhichOneof("Type"))

    def layers(self, kind: str) -> list[Any]:
        return [
            getattr(one, kind) for one in self.network.layers if one.WhichOneof("layer") == kind
        ]

    def layer(self, name: str) -> Any:
        return next(one for one in self.network.layers if name in one.output)
