"""A package with some of its matrices rounded to four bits, as a selective quantizer leaves it."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
from onnx import helper, numpy_helper

from tests.tiny_models import BLOCK, quantize_4bit, save_model


def mix(source: Path, target: Path, *outputs: str) -> Path:
    """Copy `source` to `target` with the MatMuls that yield `outputs` as MatMulNBits.

    Raises:
        KeyError: no MatMul yields one of them.
    """
    shutil.copytree(source, target)
    path = target / "model.onnx"
    model = onnx.load(str(path))
    (target / "model.onnx.data").unlink()
    matmuls = {each.output[0]: each for each in model.graph.node if each.op_type == "MatMul"}
    tensors = {each.name: each for each in model.graph.initializer}
    for output in outputs:
        node = matmuls[output]
        matrix = numpy_helper.to_array(tensors[node.input[1]])
        packed, scales = quantize_4bit(matrix)
        names = [f"{output}.packed", f"{output}.scales"]
        for array, name in zip((packed, scales), names, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        rounded = helper.make_node(
            "MatMulNBits",
            [node.input[0], *names],
            [output],
            name=node.name,
            domain="com.microsoft",
            K=matrix.shape[0],
            N=matrix.shape[1],
            bits=4,
            block_size=BLOCK,
        )
        model.graph.initializer.remove(tensors[node.input[1]])
        node.CopyFrom(rounded)
    save_model(model, path)
    return target
