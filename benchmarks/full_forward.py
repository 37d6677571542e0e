"""The usual way to score an ONNX decoder, which the benchmarks hold quantgate against.

A session on the package's own model file as it is, one sequence at a time, no cache kept: every
run yields the logits of every position, `[1, S, V]`. Only the logits are asked for, although many
scripts ask for the `present` outputs too, so the comparison errs on this side's favour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.packages.io_names import layer_names
from quantgate.packages.package import OnnxPackage
from quantgate.tasks.mmlu_items import MmluItems


class FullForward:
    """One session on an unedited package.

    Args:
        package: a checked package.
        threads: intra-op threads, the same as quantgate's sessions get.
    """

    def __init__(self, package: OnnxPackage, *, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(package.config.model_path), options, providers=["CPUExecutionProvider"]
        )
        self._config = package.config
        inputs = {value.name: value for value in self._session.get_inputs()}
        self._takes_positions = package.config.position_ids in inputs
        self._empty = {
            name: self._empty_cache(value)
            for name, value in inputs.items()
            if name in layer_names(package.config.names.past, package.config.layers)
        }

    def _empty_cache(self, value: Any) -> NDArray[Any]:
        heads, width = value.shape[1], value.shape[3]
        size = width if isinstance(width, int) else self._config.head_size
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        return np.zeros((1, heads, 0, size), dtype=kinds[value.type])

    def logits(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """Logits of all positions, `[1, S, V]`, in the graph's own type."""
        tokens = np.asarray(ids, dtype=np.int64)[None]
        feed = {
            self._config.names.input_ids: tokens,
            self._config.names.attention_mask: np.ones_like(tokens),
            **self._empty,
        }
        if self._takes_positions:
            feed[self._config.position_ids] = np.arange(tokens.shape[1], dtype=np.int64)[None]
        (logits,) = self._session.run([self._config.logits], feed)
        return np.asarray(logits)


def last_row_logprobs(logits: NDArray[Any], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-probabilities of `tokens` after the last position of `[1, S, V]`."""
    row = logits[0, -1].astype(np.float64)
    shifted = row - row.max()
    found: NDArray[np.float64] = shifted[tokens] - np.log(np.exp(shifted).sum())
    return found


def one_by_one(
    model: FullForward, contexts: Sequence[Sequence[int]], tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Log-probabilities of `tokens` after each of `contexts`, `[contexts, tokens]`."""
    return np.array([last_row_logprobs(model.logits(ids), tokens) for ids in contexts])


def letter_ids(items: MmluItems) -> NDArray[np.int64]:
    """Ids of the answers' letters.

    Raises:
        SystemExit: a letter is several tokens, which the logits of one forward can't score.
    """
    letters = items.items[0].continuations
    if any(len(ids) != 1 for ids in letters):
        raise SystemExit("one forward per question needs letters of one token each")
    return np.array([ids[0] for ids in letters], dtype=np.int64)
