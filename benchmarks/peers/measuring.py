"""What one side of a comparison measures of its own process.

Standard library only: it runs in quantgate's environment and in the peers' alike.

Memory is that of this process alone. On Linux the peak comes from the kernel's high-water mark,
which is set back once the model is loaded, so that a peak while loading doesn't hide the peak of
evaluation. Elsewhere `getrusage` is all there is, and both peaks are the same.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
PACKAGES = (
    "lm-eval",
    "numpy",
    "olive-ai",
    "onnxruntime",
    "onnxruntime-genai",
    "pytest-quantgate",
    "tokenizers",
    "torch",
    "transformers",
)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Meter:
    """Wall and processor seconds of the calls it wraps, added up.

    Attributes:
        seconds: wall time.
        cpu_seconds: processor time of all threads of this process in that time.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def wrap(self, function: Callable[P, R]) -> Callable[P, R]:
        """The same function, its time added to this meter."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            started, cpu_started = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started
                self.cpu_seconds += time.process_time() - cpu_started

        return timed

    @property
    def busy_threads(self) -> float:
        """Threads at work on average: what shows that a thread count is in force."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0


@dataclass
class Memory:
    """Peak memory around loading: make one before the timed work, ask `facts` after it.

    What was read and tokenised before counts as loaded.
    """

    loading_peak: float
    loaded: float

    @classmethod
    def after_loading(cls) -> Memory:
        """Note what loading took and let the next peak start from here.

        What loading left behind is collected now: walking a library's million objects takes a
        tenth of a second, which would fall into the timed work of some sides and not of others.
        """
        gc.collect()
        found = cls(peak_mib(), rss_mib())
        if CLEAR.exists():
            CLEAR.write_text(RESET_PEAK, "ascii")
        return found

    def facts(self) -> dict[str, float]:
        """JSON-ready figures in MiB; `beyond_mib` is what the work added."""
        peak = peak_mib()
        return {
            "loading_peak_mib": self.loading_peak,
            "loaded_mib": self.loaded,
            "peak_mib": peak,
            "beyond_mib": peak - self.loaded,
        }


@dataclass
class FromFirst:
    """The memory around a work that begins somewhere inside a library.

    Attributes:
        made: when the work began, or None.
    """

    made: Memory | None = None

    def begin(self) -> None:
        """The timed work begins, or goes on."""
        if self.made is None:
            self.made = Memory.after_loading()

    @property
    def found(self) -> Memory:
        """When the work began.

        Raises:
            SystemExit: it never did.
        """
        if self.made is None:
            raise SystemExit("nothing was scored")
        return self.made


def rss_mib() -> float:
    """Resident memory now; where the system doesn't tell, its peak so far."""
    return _status("VmRSS") or _usage()


def peak_mib() -> float:
    """Peak resident memory since the start or the latest reset."""
    return _status("VmHWM") or _usage()


def _status(name: str) -> float:
    if not STATUS.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in STATUS.read_text("utf-8").splitlines())
    return int(lines[name].split()[0]) / 1024


def _usage() -> float:
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def versions() -> dict[str, str]:
    """Versions of what is installed here and bears on a figure."""
    found: dict[str, str] = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def thread_facts(asked: int, found: Any, meter: Meter) -> dict[str, Any]:
    """Threads asked for, read back from the engine (None where it can't tell), and at work."""
    return {
        "asked": asked,
        "set": found,
        "busy": meter.busy_threads,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def side_facts(
    *,
    loading: Meter,
    scoring: Meter,
    memory: Memory,
    asked: int,
    found: Any,
    encode_seconds: float = 0.0,
) -> dict[str, Any]:
    """What every record tells of how it was measured; see `record`.

    Args:
        loading: of the loading.
        scoring: of the evaluation loop.
        memory: made when loading had ended.
        asked: threads asked for.
        found: threads read back from the engine.
        encode_seconds: time of tokenisation.
    """
    return {
        "versions": versions(),
        "threads": thread_facts(asked, found, scoring),
        "load_seconds": loading.seconds,
        "encode_seconds": encode_seconds,
        "seconds": scoring.seconds,
        "memory": memory.facts(),
    }


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
