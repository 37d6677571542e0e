"""Model packages: an ONNX graph with its external data, `genai_config.json` and tokenizer."""
