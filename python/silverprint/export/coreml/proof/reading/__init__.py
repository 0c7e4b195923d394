"""From ONNX, ML Program and NeuralNetwork to expressions, with a small table for each."""
