"""Core ML model packages, written and checked on Linux and macOS alike.

Importing this costs nothing; coremltools and onnx2coreml are loaded by the first export.
"""

from __future__ import annotations

from silverprint.export.coreml.library import available
from silverprint.export.coreml.package import PackageSummary, write_mlpackage

__all__ = ["PackageSummary", "available", "write_mlpackage"]
