"""Core ML files of any ONNX model: written, and proven to compute what the model does.

``ImageClassifier.write`` does the same with a model that is at hand.
"""

from silverprint.coreml.exporting import export
from silverprint.coreml.verifying import verify
from silverprint.export.coreml import ExportOptions, PackageSummary, available
from silverprint.export.coreml.proof import Proof

__all__ = ["ExportOptions", "PackageSummary", "Proof", "available", "export", "verify"]
