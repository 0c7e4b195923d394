"""From a folder of labelled photos to a trained image classifier, as Core ML and ONNX files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from silverprint import _core
from silverprint.errors import (
    BackboneError,
    CorruptSessionError,
    ExportError,
    IncompatibleParametersError,
    InvalidDataError,
    InvalidParameterError,
    ModifiedTrainingDataError,
    OnnxRuntimeError,
    SessionInUseError,
    SilverprintError,
    TrainingCancelled,
)

if TYPE_CHECKING:
    from silverprint import coreml
    from silverprint.classifier.classifier import ImageClassifier
    from silverprint.classifier.load import load
    from silverprint.classifier.parameters import (
        LogisticRegressor,
        ModelParameters,
        MultilayerPerceptron,
    )
    from silverprint.data.annotations.bounding_box import BoundingBox
    from silverprint.data.annotations.source import AnnotatedSource
    from silverprint.data.rule import PictureRule
    from silverprint.data.source import DataSource
    from silverprint.data.splits import Split
    from silverprint.features.extractor import CustomFeatureExtractor
    from silverprint.features.prints import ScenePrint
    from silverprint.inspect.cmake import get_cmake_dir
    from silverprint.inspect.config import show_config
    from silverprint.model.metadata import ModelMetadata
    from silverprint.model.metrics import ClassifierMetrics
    from silverprint.training.checkpoint import Checkpoint
    from silverprint.training.events import JobEvent
    from silverprint.training.job import Job
    from silverprint.training.progress import Phase, Progress
    from silverprint.training.session import SessionParameters, TrainingSession

__version__: str = _core.build.version

# Loaded on first touch: `import silverprint` costs numpy and the extension.
_HOMES = {
    "AnnotatedSource": "data.annotations.source",
    "BoundingBox": "data.annotations.bounding_box",
    "Checkpoint": "training.checkpoint",
    "ClassifierMetrics": "model.metrics",
    "CustomFeatureExtractor": "features.extractor",
    "DataSource": "data.source",
    "ImageClassifier": "classifier.classifier",
    "Job": "training.job",
    "JobEvent": "training.events",
    "LogisticRegressor": "classifier.parameters",
    "ModelMetadata": "model.metadata",
    "ModelParameters": "classifier.parameters",
    "MultilayerPerceptron": "classifier.parameters",
    "Phase": "training.progress",
    "PictureRule": "data.rule",
    "Progress": "training.progress",
    "ScenePrint": "features.prints",
    "SessionParameters": "training.session",
    "Split": "data.splits",
    "TrainingSession": "training.session",
    "get_cmake_dir": "inspect.cmake",
    "load": "classifier.load",
    "show_config": "inspect.config",
}

__all__ = [
    "AnnotatedSource",
    "BackboneError",
    "BoundingBox",
    "Checkpoint",
    "ClassifierMetrics",
    "CorruptSessionError",
    "CustomFeatureExtractor",
    "DataSource",
    "ExportError",
    "ImageClassifier",
    "IncompatibleParametersError",
    "InvalidDataError",
    "InvalidParameterError",
    "Job",
    "JobEvent",
    "LogisticRegressor",
    "ModelMetadata",
    "ModelParameters",
    "ModifiedTrainingDataError",
    "MultilayerPerceptron",
    "OnnxRuntimeError",
    "Phase",
    "PictureRule",
    "Progress",
    "ScenePrint",
    "SessionInUseError",
    "SessionParameters",
    "SilverprintError",
    "Split",
    "TrainingCancelled",
    "TrainingSession",
    "coreml",
    "get_cmake_dir",
    "load",
    "show_config",
]


def __getattr__(name: str) -> object:
    if name == "coreml":
        return import_module("silverprint.coreml")
    if name not in _HOMES:
        from silverprint.errors import nearest

        raise AttributeError(
            f"module 'silverprint' has no attribute {name!r}{nearest(name, __all__)}"
        )
    value = getattr(import_module(f"silverprint.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
