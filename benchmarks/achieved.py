"""What quantgate achieves on this machine: useful operations and bytes of weights a second.

*Scoring*: useful operations of body and head (`matmul_peak` has the formula) over the seconds in
their runs, and over all seconds from requests to answers.

*Decoding*: with one sequence, every projection's weights are read once for each token, so their
bytes times the tokens are what is read. The KV cache, which is read too, isn't counted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.asking import ask, forget, warm_up
from benchmarks.matmul_peak import useful_work
from benchmarks.peers.breakdown import timed_calls
from benchmarks.peers.measuring import Meter
from benchmarks.random_work import SEED
from quantgate.backends.base import BackendSpec
from quantgate.execution.inline import InlineSession
from quantgate.execution.orders import GenerateOrder
from quantgate.packages.head import PROJECTIONS
from quantgate.packages.package import OnnxPackage
from quantgate.plan import make_plan
from quantgate.requests import Request

PROMPT_TOKENS: Final = 128


@dataclass(frozen=True)
class Scored:
    """One scoring, warm.

    Attributes:
        tokens: computed.
        body_flops: useful operations of the body.
        head_flops: those of the head.
        body_seconds: in the body's runs.
        head_seconds: in the head's.
        seconds: from requests to answers.
    """

    tokens: int
    body_flops: float
    head_flops: float
    body_seconds: float
    head_seconds: float
    seconds: float

    @property
    def body_gflops(self) -> float:
        """GFLOP/s of the body while it ran."""
        return self.body_flops / self.body_seconds / 1e9

    @property
    def gflops(self) -> float:
        """GFLOP/s of all of it."""
        return (self.body_flops + self.head_flops) / self.seconds / 1e9

    @property
    def outside(self) -> float:
        """Share of the time in which neither body nor head ran."""
        return 1 - (self.body_seconds + self.head_seconds) / self.seconds


@dataclass(frozen=True)
class Decoded:
    """One generation, warm.

    Attributes:
        weight_bytes: read for each token.
        tokens_per_s: of those after the first.
    """

    weight_bytes: int
    tokens_per_s: float

    @property
    def gb_per_s(self) -> float:
        """10^9 bytes of weights a second."""
        return self.weight_bytes * self.tokens_per_s / 1e9


def measure_scoring(
    package: OnnxPackage, requests: Sequence[Request], threads: int, rounds: int
) -> Scored:
    """Score `requests` once untimed and `rounds` times timed; the round of median time."""
    session = InlineSession(BackendSpec("ort", str(package.folder), threads=threads))
    plan = make_plan(requests, session.limits)
    work = useful_work(plan, package)
    warm_up(session)
    found = []
    for number in range(rounds + 1):
        forget(session)  # a run has every subject once, each with a beginning of its own
        whole = Meter()
        with timed_calls("ort") as runs:
            whole.wrap(ask)(session, requests, package.config.vocab_size)
        body, head = runs["body"].seconds, runs["head"].seconds
        if number:
            found.append(Scored(plan.computed, work.body, work.head, body, head, whole.seconds))
    session.close()
    return sorted(found, key=lambda each: each.seconds)[len(found) // 2]


def measure_decoding(package: OnnxPackage, new: int, threads: int, rounds: int) -> Decoded:
    """Generate `new` tokens once untimed and `rounds` times timed; the median rate."""
    session = InlineSession(BackendSpec("ort", str(package.folder), threads=threads))
    random = np.random.default_rng(SEED)
    prompt = tuple(random.integers(0, package.config.vocab_size, PROMPT_TOKENS).tolist())
    order = GenerateOrder((prompt,), new, (), len(prompt) + new)
    times = [session.generate(order).step_s for _ in range(rounds + 1)]
    session.close()
    rate = statistics.median(len(steps) / float(steps.sum()) for steps in times[1:])
    return Decoded(projection_bytes(package), rate)


def projection_bytes(package: OnnxPackage) -> int:
    """Bytes of the weights that projections read, scales included, each tensor once.

    An embedding counts where it is the head as well; else single rows of it are looked up.
    """
    from onnx import helper

    graph = package.graph.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    transposed = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Transpose"}
    read = {
        transposed.get(name, name)
        for node in graph.node
        if node.op_type in PROJECTIONS
        for name in node.input[1:]
    }
    return sum(
        math.prod(tensors[name].dims)
        * np.dtype(helper.tensor_dtype_to_np_dtype(tensors[name].data_type)).itemsize
        for name in read & tensors.keys()
    )
