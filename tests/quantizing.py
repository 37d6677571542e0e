"""Packages as other quantizers than the model builder's usual one leave them."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.tiny_models import BLOCK, save_model

FP4, NF4 = 0, 1
TENSORS = ("model.onnx", "model.onnx.data")


def bnb4(source: Path, target: Path, *, quant_type: int = NF4, left: Collection[str] = ()) -> Path:
    """Copy `source` to `target` with every MatMul, but those named in `left`, as MatMulBnb4."""
    from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer

    model = onnx.load(str(source / "model.onnx"))
    quantizer = MatMulBnb4Quantizer(model, quant_type, 64, nodes_to_exclude=list(left))
    quantizer.process()
    return _write(quantizer.model.model, source, target)


def dequantized(source: Path, target: Path, *, turned: bool, left: Collection[str] = ()) -> Path:
    """Copy `source` to `target` with the weights of every MatMul behind DequantizeLinear.

    Args:
        source: a package.
        target: a folder that isn't there yet.
        turned: the weights are stored as `[N, K]` and a Transpose follows, as the model builder
            writes what was quantized before.
        left: names of MatMuls that stay as they are.
    """
    model = onnx.load(str(source / "model.onnx"))
    graph = model.graph
    tensors = {each.name: each for each in graph.initializer}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "MatMul" and node.input[1] in tensors and node.name not in left:
            matrix = numpy_helper.to_array(tensors[node.input[1]])
            graph.initializer.remove(tensors.pop(node.input[1]))
            graph.initializer.extend(_rounded(f"{node.name}.w", matrix, turned=turned))
            graph.node.extend(_dequantizer(f"{node.name}.w", turned=turned))
            node.input[1] = f"{node.name}.w.float"
        graph.node.append(node)
    return _write(model, source, target)


def _rounded(name: str, matrix: NDArray[np.float32], *, turned: bool) -> list[TensorProto]:
    """Round-to-nearest blocks along K, four signed bits each, and their scales."""
    size, columns = matrix.shape
    blocks = matrix.T.reshape(columns, size // BLOCK, BLOCK)
    scales = np.abs(blocks).max(axis=-1, keepdims=True) / 7
    levels = np.rint(blocks / scales).astype(np.int8).reshape(columns, size)
    kept = scales.astype(np.float32)[..., 0]
    if not turned:
        levels, kept = levels.T, kept.T
    nibbles = levels.reshape(-1).astype(np.uint8) & 15
    packed = (nibbles[0::2] | (nibbles[1::2] << 4)).tobytes()
    return [
        helper.make_tensor(name, TensorProto.INT4, levels.shape, packed, raw=True),
        numpy_helper.from_array(np.ascontiguousarray(kept), f"{name}.scales"),
    ]


def _dequantizer(name: str, *, turned: bool) -> list[onnx.NodeProto]:
    out = f"{name}.rows" if turned else f"{name}.float"
    made = [
        helper.make_node(
            "DequantizeLinear",
            [name, f"{name}.scales"],
            [out],
            name=f"{name}/DequantizeLinear",
            axis=-1 if turned else 0,
            block_size=BLOCK,
        )
    ]
    if turned:
        made.append(
            helper.make_node(
                "Transpose", [out], [f"{name}.float"], name=f"{name}/Transpose", perm=[1, 0]
            )
        )
    return made


def _write(model: onnx.ModelProto, source: Path, target: Path) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*TENSORS))
    save_model(model, target / "model.onnx")
    return target
