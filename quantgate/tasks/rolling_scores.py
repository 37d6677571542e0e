"""Figures of rolling perplexity.

With S the sum of all ids' negative log-probabilities in nats, W the raw text's words and B its
bytes: `word_perplexity` = exp(S / W), `byte_perplexity` = exp(S / B), `bits_per_byte` =
S / (B ln 2). Words and bytes are counted before a text is detokenized or tokenized, so models with
different tokenizers can be compared; they equal those of lm-evaluation-harness.

A text that isn't written in words has one word a paragraph, whose perplexity may be beyond what a
float holds and then is infinite, which no gate passes: gate bytes there.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from quantgate import stats
from quantgate.results import Direction, Score
from quantgate.tasks.rolling import RollingItems, RollingSamples

WORD: Final = "word_perplexity"
BYTE: Final = "byte_perplexity"
BITS: Final = "bits_per_byte"
METRICS: Final = (WORD, BYTE, BITS)


def rolling_scores(
    samples: RollingSamples, items: RollingItems, reference: RollingSamples | None
) -> tuple[Score, ...]:
    """The three figures, `word_perplexity` first, which is gated by default.

    Errors are those of the mean negative log-probability, clustered by window, times ids a word or
    byte: the text is taken as given. Those of a perplexity follow by the delta method. A paired
    difference is a logarithm's, in nats a word or byte, but for bits a byte.
    """
    words = sum(document.words for document in items.documents)
    size = sum(document.size for document in items.documents)
    return (
        _perplexity(WORD, "nats/word", _Rate(samples, items, reference, words)),
        _perplexity(BYTE, "nats/byte", _Rate(samples, items, reference, size)),
        _bits(_Rate(samples, items, reference, size * math.log(2))),
    )


def rolling_documents(samples: RollingSamples, items: RollingItems) -> list[dict[str, float]]:
    """Every document's share of the sums, to audit a figure by."""
    ends = np.cumsum([len(line) - 1 for line in items.lines])
    sums = [-part.sum() for part in np.split(samples.logprobs, ends[:-1])]
    return [
        {
            "ids": len(line) - 1,
            "words": document.words,
            "bytes": document.size,
            "nll_nats": float(nll),
        }
        for line, document, nll in zip(items.lines, items.documents, sums, strict=True)
    ]


class _Rate:
    """Nats per unit of the text, of which it has `units`, with its errors."""

    def __init__(
        self,
        samples: RollingSamples,
        items: RollingItems,
        reference: RollingSamples | None,
        units: float,
    ) -> None:
        nll, self.n = -samples.logprobs, items.count
        labels = items.window_labels.tolist()
        self.clusters = len(items.windows)
        scale = self.n / units
        mean, stderr = stats.mean_stderr(nll)
        self.value, self.stderr = mean * scale, stderr * scale
        self.clustered: float | None = None
        self.paired: tuple[float, float] | None = None
        if self.clusters > 1:
            self.clustered = scale * stats.clustered_stderr(nll, labels)
            if reference is not None:
                delta, error = stats.paired(nll, -reference.logprobs, labels)
                self.paired = delta * scale, error * scale

    def score(self, metric: str, unit: str, paired_unit: str, value: float, slope: float) -> Score:
        """A figure that changes by `slope` where the rate changes by one."""
        return Score(
            metric=metric,
            value=value,
            n=self.n,
            unit=unit,
            direction=Direction.LOWER,
            stderr=self.stderr * slope,
            stderr_clustered=None if self.clustered is None else self.clustered * slope,
            clusters=self.clusters,
            paired_delta=self.paired[0] if self.paired else None,
            paired_stderr=self.paired[1] if self.paired else None,
            paired_unit=paired_unit if self.paired else "",
        )


def _perplexity(metric: str, paired_unit: str, rate: _Rate) -> Score:
    try:
        value = math.exp(rate.value)
    except OverflowError:
        value = math.inf
    return rate.score(metric, "perplexity", paired_unit, value, value)


def _bits(rate: _Rate) -> Score:
    return rate.score(BITS, "bits/byte", "bits/byte", rate.value, 1.0)
