"""Models in files: checkpoints and ONNX graphs."""
