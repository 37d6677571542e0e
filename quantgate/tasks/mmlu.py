"""MMLU: log-likelihoods of the letters, decisions, and the figures made of them.

Accuracy is over the question set fixed before the run: micro (over questions), macro (mean of the
subjects' accuracies), per category and per subject. Standard errors are plain and clustered by
subject. A candidate's difference to its reference is paired question by question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.corpus.mmlu import MmluCorpus
from quantgate.corpus.questions import LETTERS
from quantgate.metrics.choice import Decisions, decide_by_loglikelihood
from quantgate.metrics.loglikelihood import token_logprobs
from quantgate.packages.tokenizer import Tokenizer
from quantgate.tasks.base import Task, Work
from quantgate.tasks.collect import RowBlock, collect
from quantgate.tasks.mmlu_items import MmluItem, MmluItems, MmluOptions, make_items
from quantgate.traces import Trace

FLIPS_LISTED = 200


@dataclass(frozen=True, slots=True)
class MmluSamples:
    """Log-likelihoods of the letters in nats, float64 `[questions, 4]`, in the items' order."""

    loglikelihoods: NDArray[np.float64]

    def decisions(self, items: Sequence[MmluItem]) -> Decisions:
        """Decide each question."""
        gold = np.array([item.question.answer for item in items])
        return decide_by_loglikelihood(self.loglikelihoods, gold)


class MmluTask(Task[MmluItems, MmluSamples]):
    """The questions of a corpus by one protocol."""

    name = "mmlu"

    def __init__(self, corpus: MmluCorpus, options: MmluOptions) -> None:
        self._corpus = corpus
        self.options = options

    @property
    def corpus_digest(self) -> str:
        """Digest of the selected questions and shots."""
        return self._corpus.digest

    @property
    def parameters(self) -> dict[str, Any]:
        """Protocol parameters."""
        return asdict(self.options)

    def encode(self, tokenizer: Tokenizer, context: int) -> MmluItems:
        """Prompts and letters as ids."""
        return make_items(self._corpus, self.options, tokenizer, context)

    def score(self, work: Work[MmluItems]) -> MmluSamples:
        """Score every letter of every question."""
        totals = _Totals(work.items)
        collect(work.backend, work.plan, work.progress, totals.consume)
        if work.keep:
            work.keep.save("loglikelihoods", totals.values)
        return MmluSamples(totals.values)

    def restore(self, trace: Trace) -> MmluSamples:
        """Log-likelihoods of an earlier run."""
        return MmluSamples(np.array(trace.arrays["loglikelihoods"]))


class _Totals:
    """Sums each continuation's log-probabilities as blocks come in."""

    def __init__(self, items: MmluItems) -> None:
        self._lengths = np.array([len(item.context) for item in items.items])
        self._targets = _targets(items)
        self.values = np.zeros(self._targets.shape[:2])

    def consume(self, block: RowBlock) -> None:
        """Add one block's rows."""
        item, letter = np.divmod(block.requests, len(LETTERS))
        step = block.positions - (self._lengths[item] - 1)
        # A row may serve a longer continuation of the same ids; only a letter's own steps count.
        longest = self._targets.shape[2]
        inside = (step >= 0) & (step < longest)
        token = self._targets[item, letter, np.clip(step, 0, longest - 1)]
        own = inside & (token >= 0)
        logprobs = token_logprobs(block.logits, block.rows[own], token[own])
        np.add.at(self.values, (item[own], letter[own]), logprobs)


def _targets(items: MmluItems) -> NDArray[np.int64]:
    """Continuation ids `[items, letters, longest]`, filled up with -1."""
    longest = max(len(ids) for item in items.items for ids in item.continuations)
    targets = np.full((len(items.items), len(LETTERS), longest), -1, dtype=np.int64)
    for number, item in enumerate(items.items):
        for letter, ids in enumerate(item.continuations):
            targets[number, letter, : len(ids)] = ids
    return targets
