"""One side of the memory benchmark, in a process of its own; `perplexity_memory` starts it.

Peaks are those of this process alone. On Linux they come from the kernel's high-water mark of the
address space, which is set back once the model is loaded, so that a peak while loading doesn't
hide the peak of evaluation; `getrusage` would carry over the parent's peak from before the exec.
Elsewhere `getrusage` is all there is, and both peaks are the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.packages.package import OnnxPackage, open_package
from quantgate.tasks.windows import Window, make_windows

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"

Evaluate = Callable[[NDArray[np.int64], list[Window]], float]


def full_logits(package: OnnxPackage, threads: int) -> Evaluate:
    """Mean negative log-probability the usual way.

    Each window's logits `[1, S, V]`, log-softmax over all rows in float32, the scored targets
    picked out: with torch, as the scripts in use do, or with NumPy where torch isn't installed.
    """
    from benchmarks.full_forward import FullForward

    log_softmax = _log_softmax(threads)
    session = FullForward(package, threads=threads)
    session.logits([0])

    def evaluate(ids: NDArray[np.int64], windows: list[Window]) -> float:
        total = 0.0
        for window in windows:
            logprobs = log_softmax(session.logits(ids[window.begin : window.end])[0])
            targets = np.array(window.targets)
            total -= float(logprobs[targets - 1 - window.begin, ids[targets]].sum(dtype=np.float64))
        return total / sum(len(window.targets) for window in windows)

    return evaluate


def _log_softmax(threads: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    try:
        import torch
    except ImportError:
        return _numpy_log_softmax
    torch.set_num_threads(threads)
    return lambda logits: torch.log_softmax(torch.from_numpy(logits).float(), dim=-1).numpy()


def _numpy_log_softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    shifted = logits.astype(np.float32) - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def packed(package: OnnxPackage, threads: int) -> Evaluate:
    """Mean negative log-probability by quantgate's plan, backend and metric."""
    from benchmarks.mmlu_rounds import load_ours
    from quantgate.metrics.loglikelihood import token_logprobs
    from quantgate.plan import make_plan
    from quantgate.requests import LoglikelihoodRolling
    from quantgate.tasks.collect import RowBlock, collect

    backend = load_ours(package, threads)

    def evaluate(ids: NDArray[np.int64], windows: list[Window]) -> float:
        scored = [
            range(w.targets.start - 1 - w.begin, w.targets.stop - 1 - w.begin) for w in windows
        ]
        spans = [tuple(ids[w.begin : w.end].tolist()) for w in windows]
        requests = [LoglikelihoodRolling(*pair) for pair in zip(spans, scored, strict=True)]
        begins = np.array([window.begin for window in windows])
        sums: list[float] = []

        def consume(block: RowBlock) -> None:
            targets = ids[begins[block.requests] + block.positions + 1]
            sums.append(float(token_logprobs(block.logits, block.rows, targets).sum()))

        collect(backend, make_plan(requests, backend.limits), lambda _: None, consume)
        return -sum(sums) / sum(map(len, scored))

    return evaluate


SIDES = {"full logits": full_logits, "quantgate": packed}


def main() -> None:
    """Load, evaluate, and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--ids", type=Path, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--stride", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    ids: NDArray[np.int64] = np.load(options.ids)
    ledger = make_windows(
        len(ids), window=options.window, stride=options.stride, kl_window=options.window
    )
    windows = [window for window in ledger if window.targets]
    evaluate = SIDES[options.side](open_package(options.package), options.threads)
    loading, loaded = peak_mib(), rss_mib()
    reset_peak()
    started = time.perf_counter()
    mean = evaluate(ids, windows)
    seconds = time.perf_counter() - started
    evaluating = peak_mib()
    found = {
        "perplexity": float(np.exp(mean)),
        "scored": sum(len(window.targets) for window in windows),
        "seconds": seconds,
        "loading_peak_mib": loading,
        "loaded_mib": loaded,
        "peak_mib": evaluating,
        "torch": "torch" in sys.modules,
    }
    print(json.dumps(found))


def rss_mib() -> float:
    """Resident memory now; where the system doesn't tell, its peak so far."""
    return _status("VmRSS") or _usage()


def peak_mib() -> float:
    """Peak resident memory since the start or the latest `reset_peak`."""
    return _status("VmHWM") or _usage()


def reset_peak() -> None:
    """Let the next peak start from now, where the system allows it."""
    if CLEAR.exists():
        CLEAR.write_text(RESET_PEAK, "ascii")


def _status(name: str) -> float:
    if not STATUS.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in STATUS.read_text("utf-8").splitlines())
    return int(lines[name].split()[0]) / 1024


def _usage() -> float:
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
