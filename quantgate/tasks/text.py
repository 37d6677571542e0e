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

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantgate.corpus.text import TextCorpus
from quantgate.packages.tokenizer import Tokenizer
from quantgate.sequential.betting import FEWEST_WINDOWS, FIRST_WINDOWS
from quantgate.tasks.base import Ask
from quantgate.tasks.staged import StagedTask
from quantgate.tasks.text_pass import TextItems, TextSamples, merge_samples, read_answers
from quantgate.tasks.windows import DEFAULT, DISJOINT, make_windows, require_context, require_scored

SPANS = 8  # parts of the text that windows are drawn from in proportion


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


class TextTask(StagedTask[TextItems, TextSamples]):
    """A text by windows, for perplexity and divergence alike.

    Strata are spans of the text, in each the windows that count for the same figures.
    """

    name = "text"
    compares = True
    fewest = FEWEST_WINDOWS
    first_share = FIRST_WINDOWS

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

    def strata(self, items: TextItems) -> Sequence[Hashable]:
        """What each window counts for, and the span of the text that it lies in."""
        count = len(items.windows)
        spans = [number * SPANS // count for number in range(count)]
        return [
            (bool(w.targets), bool(w.chunk_targets), bool(w.disjoint), w.whole, span)
            for w, span in zip(items.windows, spans, strict=True)
        ]

    def keys(self, items: TextItems, measurement: str) -> Sequence[int | None]:
        """The beginnings of the windows that count for a protocol, or for the divergence."""
        _, _, protocol = measurement.partition(".")
        return [
            w.begin if (w.scores(protocol) if protocol else w.whole) else None
            for w in items.windows
        ]

    def part(self, items: TextItems, numbers: NDArray[np.int64]) -> TextItems:
        """Some of the windows, over all of the text."""
        return replace(items, windows=tuple(items.windows[number] for number in numbers))

    def merge(
        self, items: TextItems, parts: Sequence[tuple[NDArray[np.int64], TextSamples]]
    ) -> TextSamples:
        """Figures of all parts' windows."""
        del items
        return merge_samples([samples for _, samples in parts])
