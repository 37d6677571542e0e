"""Accuracy gate for quantized ONNX language models, run by pytest."""

__version__ = "0.1.0"
