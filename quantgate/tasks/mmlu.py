"""MMLU: log-likelihoods of the letters and what the model writes instead, from one pass.

The distribution after the prompt, which every letter's request scores, also has the first token
that greedy generation takes. Where its text is more than white space it settles the greedy answer;
only elsewhere, and only if the greedy decision is the one asked for, a second round asks for the
token behind it. ModelOpt's script generates two tokens and so does this; special tokens count as
text here, so one that ends generation is an answer that begins with no letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantgate.answers import Answers
from quantgate.corpus.mmlu import MmluCorpus
from quantgate.metrics.choice import Decisions, decide_by_loglikelihood, decide_by_text
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Loglikelihood
from quantgate.tasks.base import Ask, Task
from quantgate.tasks.mmlu_items import GREEDY, MmluItem, MmluItems, MmluOptions, make_items


@dataclass(frozen=True, slots=True)
class MmluSamples:
    """What a model answered, in the items' order.

    Attributes:
        loglikelihoods: of the letters in nats, float64 `[questions, options]`; NaN where a question
            has fewer options than another.
        texts: what greedy generation writes after each prompt, its second token only where the
            first is white space; None where such second tokens weren't asked for.
    """

    loglikelihoods: NDArray[np.float64]
    texts: tuple[str, ...] | None

    def decisions(self, items: Sequence[MmluItem], decision: str) -> Decisions:
        """Decide each question by `loglikelihood` or `greedy`.

        Raises:
            ValueError: greedy, without the texts.
        """
        gold = np.array([item.question.answer for item in items], dtype=np.int64)
        if decision != GREEDY:
            return decide_by_loglikelihood(self.loglikelihoods, gold)
        if self.texts is None:
            raise ValueError("greedy answers need second tokens that weren't asked for")
        return decide_by_text(self.texts, [item.question.letters for item in items], gold)


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

    def encode(self, tokenizer: Tokenizer, context: int) -> MmluItems:
        """Prompts and letters as ids."""
        return make_items(self._corpus, self.options, tokenizer, context)

    def score(self, items: MmluItems, ask: Ask, tokenizer: Tokenizer) -> MmluSamples:
        """Score every letter of every question, and read what the model would write."""
        answers = ask(items.requests)
        return MmluSamples(_matrix(items, answers), self._texts(items, answers, ask, tokenizer))

    def _texts(
        self, items: MmluItems, answers: Answers, ask: Ask, tokenizer: Tokenizer
    ) -> tuple[str, ...] | None:
        first = answers.top[answers.offsets[items.firsts]].tolist()
        words = {token: tokenizer.decode([token]) for token in set(first)}
        texts = [words[token] for token in first]
        blank = [number for number, text in enumerate(texts) if not text.strip()]
        if blank and self.options.decision != GREEDY:
            return None
        if blank:
            answers = ask(
                [_second(items.items[number], first[number]) for number in blank],
                lambda index: items.items[blank[index]].question.id,
            )
            second = answers.top[answers.offsets[:-1]].tolist()
            for number, token in zip(blank, second, strict=True):
                texts[number] = tokenizer.decode([first[number], token])
        return tuple(texts)


def _second(item: MmluItem, token: int) -> Loglikelihood:
    """Asks what follows `token`: the most likely one is read, the one scored is of no account."""
    return Loglikelihood((*item.context, token), item.continuations[0][:1])


def _matrix(items: MmluItems, answers: Answers) -> NDArray[np.float64]:
    """Log-likelihoods `[questions, options]`."""
    matrix = np.full((len(items.items), items.widest), np.nan)
    counts = np.array([len(item.continuations) for item in items.items])
    matrix[np.arange(items.widest) < counts[:, None]] = answers.totals
    return matrix
