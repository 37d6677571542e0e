"""Perplexity and divergence of one text, from one pass over its windows.

Perplexity is exp(-sum of the targets' log-probabilities / number of targets), log-probabilities in
nats, summed in float64. `strided` scores every id but the first exactly once; `genai_chunked`
scores the share of the same targets that a backend sees which keeps only the last prefill chunk's
logits: what ModelOpt's script reports for ORT-GenAI when given a chunk size. `disjoint` cuts the
text into windows that share nothing and scores all but the first id of each. (`rolling` works on
documents and is a task of its own, `tasks.rolling`.)

The divergence compares both models' distributions at every position of disjoint windows
(`metrics.divergence`). Percentiles are linear-interpolation quantiles over positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantgate.corpus.text import TextCorpus
from quantgate.packages.tokenizer import Tokenizer
from quantgate.tasks.base import Ask, Task
from quantgate.tasks.text_pass import TextItems, TextSamples, read_answers
from quantgate.tasks.windows import DEFAULT, DISJOINT, make_windows, require_context, require_scored


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Protocol parameters, as in `[tasks.perplexity]` and `[tasks.kl_divergence]`."""

    window: int
    stride: int
    kl_window: int
    max_tokens: int | None
    protocols: tuple[str, ...] = DEFAULT

    def describe(self, protocol: str) -> str:
        """A perplexity protocol with its parameters."""
        if protocol == DISJOINT:
            return f"{protocol} {self.window}"
        return f"{protocol} {self.window}/{self.stride}"


class TextTask(Task[TextItems, TextSamples]):
    """A text by windows, for perplexity and divergence alike."""

    name = "text"
    compares = True

    def __init__(self, corpus: TextCorpus, options: TextOptions) -> None:
        self._corpus = corpus
        self.options = options

    @property
    def corpus_digest(self) -> str:
        """Digest of the text."""
        return self._corpus.digest

    def encode(self, tokenizer: Tokenizer, context: int) -> TextItems:
        """The text's ids and windows.

        Raises:
            InvalidMeasurement: `text-short`, `nothing-scored`, or `context-overflow` for a window
                that doesn't fit.
        """
        options = self.options
        require_context(max(options.window, options.kl_window), context)
        (ids,) = tokenizer.encode([self._corpus.text])
        ids = ids[: options.max_tokens]
        windows = make_windows(
            len(ids),
            window=options.window,
            stride=options.stride,
            kl_window=options.kl_window,
            protocols=options.protocols,
        )
        require_scored(windows, options.protocols)
        return TextItems(np.array(ids, dtype=np.int64), windows)

    def score(self, items: TextItems, ask: Ask, tokenizer: Tokenizer) -> TextSamples:
        """Score all windows once."""
        del tokenizer
        return read_answers(items, ask(items.requests))
