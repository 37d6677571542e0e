"""Suites, figures, runtimes and devices in a reader's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quantgate.report import cells
from quantgate.report.commands import is_case
from quantgate.report.digest import Judged

SUITES: Final = {
    "mmlu": "MMLU",
    "perplexity": "perplexity",
    "kl_divergence": "KL divergence",
    "agreement": "agreement of runtimes",
    "generation": "greedy answers",
    "speed": "speed",
    "memory": "memory",
}
RUNTIMES: Final = {"ort": "ONNX Runtime", "ortgenai": "ONNX Runtime GenAI", "torch": "PyTorch"}
# The figure that a suite is named after.
_FIGURES: Final = {
    ("mmlu", "accuracy"): "MMLU accuracy",
    ("perplexity", "perplexity"): "perplexity",
    ("kl_divergence", "kl_mean"): "KL divergence",
}
_DEVICES: Final = {
    "cpu": "CPU",
    "cuda": "NVIDIA GPU by CUDA",
    "tensorrt": "NVIDIA GPU by TensorRT",
    "nvtensorrtrtx": "NVIDIA GPU by TensorRT RTX",
    "dml": "GPU by DirectML",
    "rocm": "AMD GPU by ROCm",
    "webgpu": "GPU by WebGPU",
    "openvino": "OpenVINO",
    "qnn": "Qualcomm NPU by QNN",
    "ryzenai": "Ryzen AI",
}


def suite_words(task: str) -> str:
    """A task's suite in words; "" for an unknown one."""
    return SUITES.get(task.partition(".")[0], "")


def figure_words(judged: Judged) -> str:
    """A figure in words: `MMLU accuracy`, `KL divergence`, `speed generation_speedup`."""
    decision = judged.decision
    suite = decision.task.partition(".")[0]
    known = f"{SUITES[suite]} {decision.metric}" if suite in SUITES else cells.measured(judged)
    return _FIGURES.get((suite, decision.metric), known)


def place_words(case_id: str) -> str:
    """Runtime and device of a case: `ONNX Runtime, CPU`; "" where its id is none."""
    if not is_case(case_id):
        return ""
    _, _, backend, provider = case_id.split("-")
    return f"{RUNTIMES.get(backend, backend)}, {_DEVICES.get(provider, provider)}"


def listed(words: Sequence[str]) -> str:
    """The words in a row: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
