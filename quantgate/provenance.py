"""Where a number comes from: versions, processor, time, commit and the public facts of a CI job.

Nothing heavy is imported: versions are read from the installed distributions' metadata. The
environment is read by an allow-list of names, so no token can reach a report.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from quantgate import __version__
from quantgate.git import head_commit

PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-genai",
    "onnxruntime-genai-cuda",
    "onnxruntime-genai-directml",
    "transformers",
    "tokenizers",
    "numpy",
    "torch",
    "datasets",
)
CI_NAMES = (
    "GITHUB_ACTIONS",
    "GITHUB_BASE_REF",
    "GITHUB_EVENT_NAME",
    "GITHUB_HEAD_REF",
    "GITHUB_JOB",
    "GITHUB_REF_NAME",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_SHA",
    "RUNNER_ARCH",
    "RUNNER_OS",
    "CI_COMMIT_SHA",
    "CI_PIPELINE_ID",
    "BUILD_BUILDID",
    "BUILD_SOURCEVERSION",
)
# Instructions that choose between ONNX Runtime's integer kernels, hence between results.
FLAGS = frozenset((
    "avx", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "fma", "f16c", "sse4_1", "asimd", "asimddp",
    "i8mm", "bf16", "sve", "sve2", "sme", "sme2",
))  # fmt: skip
_LONGEST_FACT = 200
_CI_MARKS = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "BUILDKITE", "JENKINS_URL")
# Of the facts that `collect` gives, what moves no number; `package` is an identity's digest of the
# files, whose change is what gates are for. All else is told: a list of what to tell would miss
# what a backend's identity has new.
_SILENT = frozenset({"os", "time_utc", "git_commit", "ci", "package"})


def collect() -> dict[str, Any]:
    """Return the facts of this process, JSON-ready; what can't be found out is None or absent."""
    return {
        "quantgate": __version__,
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu(),
        "packages": dict(_versions()),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "git_commit": head_commit(Path()),
        "ci": {n: os.environ[n][:_LONGEST_FACT] for n in CI_NAMES if os.environ.get(n)},
    }


def in_ci() -> bool:
    """Say whether a continuous integration service runs this process."""
    return any(
        os.environ.get(name, "").strip().lower() not in {"", "0", "false", "no", "off"}
        for name in _CI_MARKS
    )


def drift(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return lines such as `onnxruntime 1.30.0 -> 1.31.1` for differences that can move a number.

    Takes two results of `collect`, or two backend identities: versions, processor, provider,
    device and options are told; time, kernel release, commit, CI facts and digests are not.
    """
    before, after = (dict(_leaves(_telling(facts))) for facts in (old, new))
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if isinstance(was, list) and isinstance(now, list):
            gone = [f"-{item}" for item in was if item not in now]
            lines.append(" ".join([name, *gone, *(f"+{item}" for item in now if item not in was)]))
        else:
            lines.append(f"{name} {_told(was)} -> {_told(now)}")
    return lines


def _told(value: object) -> str:
    return "absent" if value is None else str(value)


def _telling(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in _SILENT}


def _leaves(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            # A package is known by its own name; everything else keeps the name of its group.
            group = "" if key == "packages" else f"{key} "
            yield from ((group + name, leaf) for name, leaf in _leaves(value))
        else:
            yield key, list(value) if isinstance(value, tuple) else value


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _cpu() -> dict[str, Any]:
    info = _cpu_info()
    words = (info.get("flags") or info.get("Features") or "").split()
    model = info.get("model name") or _cpu_model_elsewhere()
    return {"model": model, "flags": sorted(FLAGS.intersection(words)), "cores": _cores()}


def _cpu_info() -> dict[str, str]:
    """Return the first processor's block of /proc/cpuinfo, empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cpu_model_elsewhere() -> str | None:
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER") or platform.processor() or None
    return platform.processor() or platform.machine() or None


def _cores() -> int | None:
    """Return the processors this process may use, which set the number of threads."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count()
