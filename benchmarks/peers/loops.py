"""The perplexity loops that scripts in use have: full logits of every window, on three runtimes.

Each loop has `threads`, read back from the runtime, and `nll(ids, first)`: the summed negative
log-likelihood, in nats, of the tokens of a window from place `first` (at least 1) to its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.peers.packages import CONFIG

IGNORED = -100


class Loop(Protocol):
    """A window's likelihood by full logits."""

    threads: int

    def nll(self, ids: list[int], first: int) -> float:
        """Summed negative log-likelihood of `ids[first:]`."""
        ...


class TorchLoop:
    """A Hugging Face model called with `labels`."""

    def __init__(self, model: Path, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self._model: Any = AutoModelForCausalLM.from_pretrained(model).eval()
        self.threads = torch.get_num_threads()

    def nll(self, ids: list[int], first: int) -> float:
        import torch

        tokens = torch.tensor([ids])
        labels = tokens.clone()
        labels[:, :first] = IGNORED
        with torch.no_grad():
            mean = self._model(tokens, labels=labels).loss
        return float(mean) * (len(ids) - first)


class OrtLoop:
    """The package's model file in a session, an empty cache, one window a run."""

    def __init__(self, package: Path, threads: int) -> None:
        import onnxruntime
        import torch

        torch.set_num_threads(threads)
        decoder = _decoder(package)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(package / decoder["filename"]), options, providers=["CPUExecutionProvider"]
        )
        self._logits = decoder["outputs"]["logits"]
        self.threads = self._session.get_session_options().intra_op_num_threads

    def nll(self, ids: list[int], first: int) -> float:
        feed = {value.name: self._value(value, ids) for value in self._session.get_inputs()}
        (logits,) = self._session.run([self._logits], feed)
        return _nll(logits[0], ids, first)

    def _value(self, value: Any, ids: list[int]) -> Any:
        import numpy as np

        if value.name == "input_ids":
            return np.array([ids], dtype=np.int64)
        if value.name == "attention_mask":
            return np.ones((1, len(ids)), dtype=np.int64)
        if value.name == "position_ids":
            return np.arange(len(ids), dtype=np.int64)[None]
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        return np.zeros((1, value.shape[1], 0, value.shape[3]), dtype=kinds[value.type])


class GenaiLoop:
    """A Generator a window, its prompt appended at once, the logits of all places read."""

    def __init__(self, package: Path, threads: int) -> None:
        import onnxruntime_genai
        import torch

        torch.set_num_threads(threads)
        self._genai = onnxruntime_genai
        self._model = onnxruntime_genai.Model(onnxruntime_genai.Config(str(package)))
        self.threads = int(_decoder(package)["session_options"]["intra_op_num_threads"])

    def nll(self, ids: list[int], first: int) -> float:
        import numpy as np

        parameters = self._genai.GeneratorParams(self._model)
        parameters.set_search_options(max_length=len(ids) + 1, batch_size=1)
        generator = self._genai.Generator(self._model, parameters)
        generator.append_tokens(np.array([ids], dtype=np.int32))
        return _nll(generator.get_output("logits")[0], ids, first)


def _decoder(package: Path) -> dict[str, Any]:
    config = json.loads((package / CONFIG).read_text("utf-8"))
    found: dict[str, Any] = config["model"]["decoder"]
    return found


def _nll(logits: Any, ids: list[int], first: int) -> float:
    import torch

    logprobs = torch.log_softmax(torch.from_numpy(logits).float(), dim=-1)
    targets = torch.tensor(ids[first:])
    return -float(logprobs[first - 1 : -1].gather(1, targets[:, None]).double().sum())


LOOPS: dict[str, Callable[[Path, int], Loop]] = {
    "loop-torch": TorchLoop,
    "loop-ort": OrtLoop,
    "loop-ortgenai": GenaiLoop,
}
