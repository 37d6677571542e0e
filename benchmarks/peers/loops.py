"""The loops that scripts in use have: full logits of every window, on three runtimes.

Each loop has `threads`, read back from the runtime; `logits(ids)`, those of all places of a window;
and `nll(ids, first)`: the summed negative log-likelihood, in nats, of the tokens of a window from
place `first` (at least 1) to its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.peers.packages import CONFIG

if TYPE_CHECKING:
    import torch

IGNORED = -100


class Loop(Protocol):
    """A window by full logits."""

    threads: int

    def logits(self, ids: list[int]) -> torch.Tensor:
        """Logits of all places, `[len(ids), V]`, in the model's own type."""
        ...

    def nll(self, ids: list[int], first: int) -> float:
        """Summed negative log-likelihood of `ids[first:]`."""
        ...


class TorchLoop:
    """A Hugging Face model, called with `labels` where a likelihood is wanted."""

    def __init__(self, model: Path, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self._model: Any = AutoModelForCausalLM.from_pretrained(model).eval()
        self.threads = torch.get_num_threads()

    def logits(self, ids: list[int]) -> torch.Tensor:
        import torch

        with torch.no_grad():
            found: torch.Tensor = self._model(torch.tensor([ids])).logits[0]
        return found

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

    def logits(self, ids: list[int]) -> torch.Tensor:
        import torch

        feed = {value.name: self._value(value, ids) for value in self._session.get_inputs()}
        (found,) = self._session.run([self._logits], feed)
        return torch.from_numpy(found[0])

    def nll(self, ids: list[int], first: int) -> float:
        return _nll(self.logits(ids), ids, first)

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

    def logits(self, ids: list[int]) -> torch.Tensor:
        import numpy as np
        import torch

        parameters = self._genai.GeneratorParams(self._model)
        parameters.set_search_options(max_length=len(ids) + 1, batch_size=1)
        generator = self._genai.Generator(self._model, parameters)
        generator.append_tokens(np.array([ids], dtype=np.int32))
        return torch.from_numpy(generator.get_output("logits")[0])

    def nll(self, ids: list[int], first: int) -> float:
        return _nll(self.logits(ids), ids, first)


def strided_nll(loop: Loop, ids: list[int], window: int, stride: int) -> tuple[float, int]:
    """Summed negative log-likelihood, in nats, of all ids but the first, and their number.

    Windows of `window` ids begin at every `stride`; each scores what the one before didn't reach.
    """
    spans = list(_strided(len(ids), window, stride))
    parts = [loop.nll(ids[begin:end], first - begin) for begin, first, end in spans]
    return sum(parts), sum(end - first for _, first, end in spans)


def _strided(count: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Begin, first scored token, and end of each window; the first token of all isn't scored."""
    scored = 1
    for begin in range(0, count, stride):
        end = min(begin + window, count)
        yield begin, scored, end
        scored = end
        if end == count:
            return


def _decoder(package: Path) -> dict[str, Any]:
    config = json.loads((package / CONFIG).read_text("utf-8"))
    found: dict[str, Any] = config["model"]["decoder"]
    return found


def _nll(logits: torch.Tensor, ids: list[int], first: int) -> float:
    import torch

    logprobs = torch.log_softmax(logits.float(), dim=-1)
    targets = torch.tensor(ids[first:])
    return -float(logprobs[first - 1 : -1].gather(1, targets[:, None]).double().sum())


LOOPS: dict[str, Callable[[Path, int], Loop]] = {
    "loop-torch": TorchLoop,
    "loop-ort": OrtLoop,
    "loop-ortgenai": GenaiLoop,
}
