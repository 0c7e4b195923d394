"""From an ONNX graph to the protobuf of a Core ML model."""
