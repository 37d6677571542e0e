"""How many floating-point operations a second this machine does at best, and how many are needed.

The *peak* is measured, not looked up: the best rate of single-precision matrix products with the
same number of threads, in ONNX Runtime (a graph of one MatMul, 1024^3 and the model's own weight
shapes behind 256 tokens) and in NumPy (its BLAS, in a child process, since its threads are fixed
when it is loaded). The fastest of all is the peak.

Useful work of a plan, in floating-point operations:

    2 * (linear * computed tokens + hidden * vocabulary * scored rows + pair * visible pairs)

`linear`: multiply-adds of the body's projections for a token; `pair`: those of attention for one
(token, visible token) pair over all layers; visible pairs: a token at position p sees p + 1 tokens
(the masked rest of a packed row is computed too, and counts as waste, not as work). Norms,
rotations, soft-max and copies are not counted.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantgate.packages.graph import split
from quantgate.packages.package import OnnxPackage
from quantgate.packages.shape import read_shape
from quantgate.plan import Plan

Shape = tuple[int, int, int]

SQUARE: Shape = (1024, 1024, 1024)
TOKENS = 256
SECONDS_EACH = 0.5


@dataclass(frozen=True)
class UsefulWork:
    """Floating-point operations that a plan can't do without; formula above.

    Attributes:
        body: of all layers.
        head: of the scored rows' logits.
    """

    body: float
    head: float


def useful_flops(plan: Plan, package: OnnxPackage) -> float:
    """All of the useful work of `plan`."""
    work = useful_work(plan, package)
    return work.body + work.head


def useful_work(plan: Plan, package: OnnxPackage) -> UsefulWork:
    """The useful work of `plan`, by part of the model."""
    config = package.config
    graph = split(package.graph, logits=config.logits, position_ids=config.position_ids)
    cost = read_shape(package, graph.body).cost
    hidden: int = graph.head.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    scored = sum(len(row.wanted) for group in plan.groups for row in group.rows)
    pairs = sum(
        len(group.prefix) * (len(group.prefix) + 1) // 2
        + sum(sum(row.positions) + len(row.positions) for row in group.rows)
        for group in plan.groups
    )
    return UsefulWork(
        body=2.0 * (cost.linear * plan.computed + cost.pair * pairs),
        head=2.0 * hidden * config.vocab_size * scored,
    )


def measure_peak(package: OnnxPackage, *, threads: int) -> dict[str, float]:
    """Best GFLOP/s by way of measuring, with `peak` the best of all."""
    found = {"onnxruntime 1024x1024x1024": ort_rate(SQUARE, threads)}
    for inner, outer in _weight_shapes(package):
        name = f"onnxruntime {TOKENS}x{inner}x{outer}"
        found[name] = ort_rate((TOKENS, inner, outer), threads)
    found["numpy 1024x1024x1024"] = _numpy_in_child(threads)
    return {**found, "peak": max(found.values())}


def _weight_shapes(package: OnnxPackage) -> list[tuple[int, int]]:
    """Distinct `[K, N]` of the projections, the vocabulary's left out."""
    graph = package.graph.graph
    dims = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = set()
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            sizes = {attribute.name: attribute.i for attribute in node.attribute}
            shapes.add((sizes["K"], sizes["N"]))
        elif node.op_type == "MatMul" and node.input[1] in dims:
            shapes.add(dims[node.input[1]])
    return sorted(shape for shape in shapes if package.config.vocab_size not in shape)


def ort_rate(shape: Shape, threads: int) -> float:
    """GFLOP/s of ONNX Runtime's MatMul with a constant right side, as weights are."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rows, inner, outer = shape
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((inner, outer), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "peak",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [rows, inner])],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [rows, outer])],
        [numpy_helper.from_array(weights, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"a": generator.standard_normal((rows, inner), dtype=np.float32)}
    return _best_rate(shape, lambda: session.run(None, feed))


def numpy_rate(shape: Shape) -> float:
    """GFLOP/s of NumPy's matrix product, with the threads its BLAS was loaded with."""
    rows, inner, outer = shape
    generator = np.random.default_rng(0)
    left = generator.standard_normal((rows, inner), dtype=np.float32)
    right = generator.standard_normal((inner, outer), dtype=np.float32)
    out = np.empty((rows, outer), dtype=np.float32)
    return _best_rate(shape, lambda: np.matmul(left, right, out=out))


def _best_rate(shape: Shape, run: Callable[[], object]) -> float:
    run()
    return 2e-9 * math.prod(shape) / min(_times(run))


def _times(run: Callable[[], object]) -> Iterator[float]:
    end = time.perf_counter() + SECONDS_EACH
    while (start := time.perf_counter()) < end:
        run()
        yield time.perf_counter() - start


def _numpy_in_child(threads: int) -> float:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, "-m", "benchmarks.matmul_peak"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    print(numpy_rate(SQUARE))
