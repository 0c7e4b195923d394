"""ONNX graphs, made to begin at ``image`` and made ready for translation."""
