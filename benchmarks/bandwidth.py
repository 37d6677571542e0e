"""How many bytes a second this machine's memory moves at best.

Measured as STREAM does (J. D. McCalpin, "Memory Bandwidth and Machine Balance in Current High
Performance Computers", IEEE TCCA Newsletter, December 1995; rules at
https://www.cs.virginia.edu/stream/ref.html): arrays at least four times as large as all last-level
caches together, the best of several runs, and of bytes those that the source reads and writes, not
those that a cache fetches before it overwrites them. In a child process, so that its threads are
fixed before any library starts its own. Of n float32 numbers, in bytes:

* *triad*, a = b + s c: 12 n, two arrays read and one written; PyTorch's `add`, because NumPy takes
  two passes for it, on one thread;
* *sum*: 4 n, one array read;
* *product*, y = x A of one row x and a constant matrix A of n numbers in ONNX Runtime: 4 n, the
  matrix read; what decoding does with every weight.

Reading alone is faster than the triad where writing fetches first, so the ceiling of weights that
are read is the fastest of the three.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.matmul_peak import ort_rate

CACHES_TIMES: Final = 4
SMALLEST, LARGEST = 2**28, 2**30  # bytes of an array
RUNS: Final = 12
SCALAR: Final = 3.0
FLOAT: Final = 4
CPUS: Final = Path("/sys/devices/system/cpu")
_UNITS: Final = {"K": 2**10, "M": 2**20, "G": 2**30}


def measure_bandwidth(threads: int) -> dict[str, float]:
    """Best GB/s (10^9 bytes) by kernel, with `peak` the best of all."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, "-m", "benchmarks.bandwidth", "--threads", str(threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return {**found, "peak": max(found.values())}


def array_bytes(caches: int) -> int:
    """Size of an array, where the last-level caches have `caches` bytes together."""
    return min(max(CACHES_TIMES * caches, SMALLEST), LARGEST)


def last_level_caches(cpus: Path = CPUS) -> int:
    """Bytes of all last-level caches, each counted once; 0 where the system doesn't tell."""
    sizes: dict[str, int] = {}
    for cpu in cpus.glob("cpu[0-9]*"):
        levels = {int((each / "level").read_text()): each for each in cpu.glob("cache/index*")}
        if levels:
            last = levels[max(levels)]
            size = (last / "size").read_text().strip()
            sizes[(last / "shared_cpu_list").read_text()] = int(size[:-1]) * _UNITS[size[-1]]
    return sum(sizes.values())


def rates(threads: int, size: int) -> dict[str, float]:
    """GB/s of each kernel in this process, on arrays of `size` bytes."""
    import torch

    torch.set_num_threads(threads)
    found = {
        name: moved / _best(run) / 1e9 for name, (moved, run) in kernels(size // FLOAT).items()
    }
    side = math.isqrt(size // FLOAT)
    # Two operations for each weight of four bytes.
    found["product"] = ort_rate((1, side, side), threads) * FLOAT / 2
    return found


def kernels(count: int) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Bytes that a kernel moves, and what runs it, on arrays of `count` float32 numbers."""
    import torch

    one, other = torch.full((count,), 1.0), torch.full((count,), 2.0)
    out = torch.zeros(count)
    return {
        "triad": (3 * FLOAT * count, lambda: torch.add(one, other, alpha=SCALAR, out=out)),
        "sum": (FLOAT * count, one.sum),
    }


def _best(run: Callable[[], object]) -> float:
    """Shortest time of `RUNS`, the first left out, in seconds."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def main() -> None:
    """Measure in this process and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(json.dumps(rates(options.threads, array_bytes(last_level_caches()))))


if __name__ == "__main__":
    main()
