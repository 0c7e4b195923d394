"""Core ML files, written and proven on Linux and macOS alike.

Importing this costs nothing; coremltools and onnx2coreml are loaded by the first export.
"""

from __future__ import annotations

from silverprint.export.coreml.foreign import Adopted, adopt_backbone, adopt_classifier
from silverprint.export.coreml.library import available
from silverprint.export.coreml.options import ExportOptions
from silverprint.export.coreml.package import (
    PackageSummary,
    write_backbone,
    write_classifier,
)

__all__ = [
    "Adopted",
    "ExportOptions",
    "PackageSummary",
    "adopt_backbone",
    "adopt_classifier",
    "available",
    "write_backbone",
    "write_classifier",
]
