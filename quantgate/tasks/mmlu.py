"""MMLU: log-likelihoods of the letters and what the model writes instead, from one pass.

The distribution after the prompt, which every letter's request scores, also has the first token
that greedy generation takes. Where its text is more than white space it settles the greedy answer;
only elsewhere, and only if the greedy decision is the one asked for, a second round asks for the
token behind it. ModelOpt's script generates two tokens and so does this; special tokens count as
text here, so one that ends generation is an answer that begins with no letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantgate.answers import Answers
from quantgate.corpus.mmlu import MmluCorpus
from quantgate.metrics.choice import Decisions, decide_by_loglikelihood, decide_by_text
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Loglikelihood
from quantgate.sequential.betting import FEWEST_ANSWERS, FIRST_ANSWERS
from quantgate.tasks.base import Ask
from quantgate.tasks.mmlu_items import GREEDY, MmluItem, MmluItems, MmluOptions, make_items
from quantgate.tasks.staged import StagedTask


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


class MmluTask(StagedTask[MmluItems, MmluSamples]):
    """The questions of a corpus by one protocol; their strata are the subjects."""

    name = "mmlu"
    fewest = FEWEST_ANSWERS
    first_share = FIRST_ANSWERS

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

    def strata(self, items: MmluItems) -> Sequence[str]:
        """The subjects."""
        return items.subjects

    def keys(self, items: MmluItems, measurement: str) -> Sequence[int]:
        """Numbers of the questions once they are sorted by subject."""
        del measurement
        subjects = items.subjects
        places = np.empty(len(subjects), dtype=np.int64)
        order = sorted(range(len(subjects)), key=subjects.__getitem__)
        places[order] = np.arange(len(subjects))
        return [int(place) for place in places]

    def part(self, items: MmluItems, numbers: NDArray[np.int64]) -> MmluItems:
        """Some of the questions; what is excluded stays so."""
        return replace(items, items=tuple(items.items[number] for number in numbers))

    def merge(
        self, items: MmluItems, parts: Sequence[tuple[NDArray[np.int64], MmluSamples]]
    ) -> MmluSamples:
        """Answers in the questions' order; texts only where every part has them."""
        order = np.argsort(np.concatenate([numbers for numbers, _ in parts]))
        rows = [_widened(samples.loglikelihoods, items.widest) for _, samples in parts]
        texts = [text for _, samples in parts for text in samples.texts or ()]
        known = all(samples.texts is not None for _, samples in parts)
        return MmluSamples(
            np.concatenate(rows)[order], tuple(texts[row] for row in order) if known else None
        )

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


def _widened(matrix: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """A part may hold no question with the most options."""
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=np.nan)


def _matrix(items: MmluItems, answers: Answers) -> NDArray[np.float64]:
    """Log-likelihoods `[questions, options]`."""
    matrix = np.full((len(items.items), items.widest), np.nan)
    counts = np.array([len(item.continuations) for item in items.items])
    matrix[np.arange(items.widest) < counts[:, None]] = answers.totals
    return matrix
