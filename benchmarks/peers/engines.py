"""The peers' models, made as the peers make them, on the CPU with a given number of threads.

| engine | made by | runs |
|---|---|---|
| `lm-eval-hf` | lm-eval's `hf` | a Hugging Face folder on PyTorch |
| `lm-eval-ort` | lm-eval's `onnxruntime` | a package on ONNX Runtime, batch 1 only |
| `lm-eval-ortgenai` | lm-eval's `onnxruntime-genai` | a package on ORT-GenAI, batch 1 only |
| `olive-ort` | Olive's `ort`, as its `LMEvaluator` calls it | a package on ONNX Runtime |
| `olive-ortgenai` | Olive's `ortgenai` | a package on ORT-GenAI |

Packages must come from `packages.prepare`. None of the ONNX engines has an option for threads:
ORT-GenAI's are in the package, and for ONNX Runtime the session class is replaced by one that sets
them and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.packages import CONFIG

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OLIVE_DISABLE_TELEMETRY": "1",
    "CI": "1",  # Olive sends a start message unless it takes itself to be in CI
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Engine:
    """A loaded model of a peer.

    Attributes:
        lm: lm-eval's model interface.
        threads: intra-op threads read back from where the engine has them.
    """

    lm: Any
    threads: int


def load(
    name: str, model: Path, *, batch_size: int, max_length: int | None, threads: int
) -> Engine:
    """Load an engine.

    Args:
        name: one of `ENGINES`.
        model: a Hugging Face folder, or a prepared package.
        batch_size: sequences at a time.
        max_length: the window, where the model's context isn't meant.
        threads: intra-op threads.
    """
    import torch

    torch.set_num_threads(threads)
    if name != "lm-eval-hf":
        _limit_sessions(threads)
    return ENGINES[name](model, {"batch_size": batch_size, "max_length": max_length})


def work_offline(cache: Path) -> None:
    """Before a peer is imported: no hub, no telemetry, data sets cached in `cache`."""
    os.environ.update(OFFLINE)
    os.environ["HF_DATASETS_CACHE"] = str(cache)
    os.environ["OLIVE_TELEMETRY_CACHE_DIR"] = str(cache)


def _limit_sessions(threads: int) -> None:
    import onnxruntime

    class Limited(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, path: Any, sess_options: Any = None, **more: Any) -> None:
            sess_options = sess_options or onnxruntime.SessionOptions()
            sess_options.intra_op_num_threads = threads
            super().__init__(path, sess_options, **more)

    onnxruntime.InferenceSession = Limited


def _lm_eval_hf(model: Path, options: dict[str, Any]) -> Engine:
    import torch
    from lm_eval.models.huggingface import HFLM

    return Engine(HFLM(pretrained=str(model), device="cpu", **options), torch.get_num_threads())


def _lm_eval_ort(model: Path, options: dict[str, Any]) -> Engine:
    from lm_eval.models.onnxruntime_ort import ONNXRuntimeLM

    lm = ONNXRuntimeLM(pretrained=str(model), execution_provider="cpu", **options)
    return Engine(lm, _session_threads(lm.session))


def _lm_eval_ortgenai(model: Path, options: dict[str, Any]) -> Engine:
    from lm_eval.models.onnxruntime_genai import ONNXRuntimeGenAILM

    lm = ONNXRuntimeGenAILM(pretrained=str(model), execution_provider="cpu", **options)
    return Engine(lm, _genai_threads(model))


def _olive_ort(model: Path, options: dict[str, Any]) -> Engine:
    from olive.evaluator.lmeval_ort import LMEvalORTEvaluator

    filename = _genai_config(model)["model"]["decoder"]["filename"]
    lm = LMEvalORTEvaluator(
        model_path=str(model / filename), ep="CPUExecutionProvider", ep_options=None, **options
    )
    return Engine(lm, _session_threads(lm.prefill.session))


def _olive_ortgenai(model: Path, options: dict[str, Any]) -> Engine:
    import torch
    from olive.evaluator.lmeval_ort import LMEvalORTGenAIEvaluator

    lm = LMEvalORTGenAIEvaluator(
        pretrained=str(model),
        ep="CPUExecutionProvider",
        ep_options=None,
        device=torch.device("cpu"),
        **options,
    )
    return Engine(lm, _genai_threads(model))


def _session_threads(session: Any) -> int:
    return int(session.get_session_options().intra_op_num_threads)


def _genai_config(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / CONFIG).read_text("utf-8"))
    return found


def _genai_threads(model: Path) -> int:
    decoder = _genai_config(model)["model"]["decoder"]
    return int(decoder["session_options"]["intra_op_num_threads"])


ENGINES: dict[str, Callable[[Path, dict[str, Any]], Engine]] = {
    "lm-eval-hf": _lm_eval_hf,
    "lm-eval-ort": _lm_eval_ort,
    "lm-eval-ortgenai": _lm_eval_ortgenai,
    "olive-ort": _olive_ort,
    "olive-ortgenai": _olive_ortgenai,
}
LM_EVAL = tuple(name for name in ENGINES if name.startswith("lm-eval-"))
