"""Perplexity and divergence of one text, from one pass over its windows.

Perplexity is exp(-sum of the targets' log-probabilities / number of targets), log-probabilities in
nats, summed in float64. `strided` scores every id but the first exactly once; `genai_chunked`
scores the share of the same targets that a backend sees which keeps only the last prefill chunk's
logits: what ModelOpt's script reports for ORT-GenAI when given a chunk size.

The divergence compares both models' distributions at every position of disjoint windows
(`metrics.divergence`). Percentiles are linear-interpolation quantiles over positions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from quantgate.corpus.text import TextCorpus
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer
from quantgate.tasks.base import Task, Work
from quantgate.tasks.collect import collect
from quantgate.tasks.text_pass import (
    DivergenceSamples,
    HiddenSink,
    TextItems,
    TextPass,
    TextSamples,
    Vector,
)
from quantgate.tasks.windows import make_windows
from quantgate.traces import Trace


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Protocol parameters, as in `[tasks.perplexity]` and `[tasks.kl_divergence]`."""

    window: int
    stride: int
    kl_window: int
    max_tokens: int | None


class TextTask(Task[TextItems, TextSamples]):
    """A text by windows, for perplexity and divergence alike."""

    name = "text"

    def __init__(self, corpus: TextCorpus, options: TextOptions) -> None:
        self._corpus = corpus
        self.options = options

    @property
    def corpus_digest(self) -> str:
        """Digest of the text."""
        return self._corpus.digest

    @property
    def parameters(self) -> dict[str, Any]:
        """Protocol parameters."""
        return asdict(self.options)

    def encode(self, tokenizer: Tokenizer, context: int) -> TextItems:
        """The text's ids and windows.

        Raises:
            InvalidMeasurement: `text-short`, or `context-overflow` for a window that doesn't fit.
        """
        options = self.options
        longest = max(options.window, options.kl_window)
        if longest > context:
            raise InvalidMeasurement(
                "context-overflow",
                need=f"windows of at most the context's {context} tokens",
                found=str(longest),
                fix="set a shorter window under [tasks.perplexity] and [tasks.kl_divergence]",
            )
        (ids,) = tokenizer.encode([self._corpus.text])
        ids = ids[: options.max_tokens]
        windows = make_windows(
            len(ids), window=options.window, stride=options.stride, kl_window=options.kl_window
        )
        return TextItems(np.array(ids, dtype=np.int64), windows)

    def score(self, work: Work[TextItems]) -> TextSamples:
        """Score all windows once; a reference is compared with its own kept rows."""
        sink = HiddenSink(work, len(work.items.ids)) if work.keep else None
        text_pass = TextPass(work, sink or work.reference, sink)
        collect(work.backend, work.plan, work.progress, text_pass.consume)
        samples = text_pass.samples()
        if work.keep:
            for name, array in _arrays(samples).items():
                work.keep.save(name, array)
        return samples

    def restore(self, trace: Trace) -> TextSamples:
        """Per-token figures of an earlier run."""
        names = [field.name for field in fields(DivergenceSamples)]
        found = DivergenceSamples(**{name: np.array(trace.arrays[name]) for name in names})
        strided, following = trace.arrays["strided"], trace.arrays["next_token"]
        return TextSamples(np.array(strided), np.array(following), found)


def _arrays(samples: TextSamples) -> dict[str, Vector]:
    arrays = {"strided": samples.strided, "next_token": samples.next_token}
    if samples.divergence:
        found = samples.divergence
        arrays |= {field.name: getattr(found, field.name) for field in fields(found)}
    return arrays
