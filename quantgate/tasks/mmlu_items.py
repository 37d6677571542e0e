"""MMLU questions as token ids: contexts, the letters' continuations, and what didn't fit."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantgate.corpus.mmlu import MmluCorpus
from quantgate.corpus.questions import LETTERS, Question
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Loglikelihood
from quantgate.tasks.letters import Ids, letter_continuations, letter_merges
from quantgate.tasks.prompts import prompt, shots_of

LOGLIKELIHOOD = "loglikelihood"
GREEDY = "greedy"
GENERATED = 2  # tokens, as ModelOpt's script generates


@dataclass(frozen=True, slots=True)
class MmluOptions:
    """Protocol parameters, as in `[tasks.mmlu]`."""

    template: str
    shots: int
    decision: str
    overflow: str

    @property
    def protocol(self) -> str:
        """Name with parameters."""
        return f"{self.template} {self.shots}-shot {self.decision}, overflow {self.overflow}"

    @property
    def generates(self) -> int:
        """Tokens that may be generated after a prompt."""
        return GENERATED if self.decision == GREEDY else 1


@dataclass(frozen=True, slots=True)
class MmluItem:
    """One question, ready to score.

    Attributes:
        question: the question.
        context: the prompt's token ids.
        continuations: those of its options' letters in this context.
        shots: number of shots that the context holds.
        generates: tokens that the protocol may generate after the context.
    """

    question: Question
    context: Ids
    continuations: tuple[Ids, ...]
    shots: int
    generates: int

    @property
    def requests(self) -> list[Loglikelihood]:
        """One request per letter."""
        return [Loglikelihood(self.context, ids) for ids in self.continuations]

    @property
    def longest(self) -> int:
        """Tokens the longest request reads."""
        return len(self.context) - 1 + max(self.generates, *map(len, self.continuations))


@dataclass(frozen=True, slots=True)
class MmluItems:
    """All questions of a run: those to score and the ids of those excluded by policy.

    `categorized` tells whether their subjects are MMLU's, which have categories.
    """

    items: tuple[MmluItem, ...]
    excluded: tuple[str, ...]
    categorized: bool = True

    @property
    def requests(self) -> list[Loglikelihood]:
        """One request per question and letter."""
        return [request for item in self.items for request in item.requests]

    @property
    def contexts(self) -> list[Ids]:
        """Context of every item."""
        return [item.context for item in self.items]

    def name(self, request: int) -> str:
        """The question's id."""
        return self.items[bisect_right(self.firsts, request) - 1].question.id

    @property
    def subjects(self) -> list[str]:
        """Subject of every question."""
        return [item.question.subject for item in self.items]

    @property
    def firsts(self) -> list[int]:
        """Number of each item's first request."""
        counts = [len(item.continuations) for item in self.items]
        return [0, *itertools.accumulate(counts[:-1])]

    @property
    def widest(self) -> int:
        """Options of the question that has the most."""
        return max(len(item.continuations) for item in self.items)

    @property
    def digest(self) -> str:
        """SHA-256 over every scored item's ids and the ids of the excluded questions."""
        digest = hashlib.sha256()
        for item in self.items:
            for ids in (item.context, *item.continuations):
                digest.update(np.asarray(ids, dtype="<i8").tobytes() + b"|")
        digest.update("\n".join(self.excluded).encode())
        return digest.hexdigest()


def make_items(
    corpus: MmluCorpus, options: MmluOptions, tokenizer: Tokenizer, context: int
) -> MmluItems:
    """Encode every question of `corpus` for a model that reads at most `context` tokens.

    Raises:
        UsageFault: a subject has too few shots.
        InvalidMeasurement: `context-overflow` under the policy `error`, or where not even a
            prompt without shots fits.
    """
    most = max((question.letters for question in corpus.questions), key=len)
    letters = letter_continuations(tokenizer, most)
    items = _encode(corpus, options, tokenizer, letters, [options.shots] * len(corpus.questions))
    _require_letters_follow(items, options, corpus, tokenizer)
    if options.overflow == "drop_shots":
        items = _drop_shots(items, corpus, options, tokenizer, context)
    long = [item for item in items if item.longest > context]
    if long and options.overflow != "exclude":
        raise _overflow(long[0], context, options)
    kept = tuple(item for item in items if item.longest <= context)
    if not kept:
        raise _overflow(long[0], context, options)
    excluded = tuple(item.question.id for item in long)
    return MmluItems(kept, excluded, corpus.categorized)


def _encode(
    corpus: MmluCorpus,
    options: MmluOptions,
    tokenizer: Tokenizer,
    letters: tuple[Ids, ...],
    shots: Sequence[int],
) -> list[MmluItem]:
    prompts = []
    for question, k in zip(corpus.questions, shots, strict=True):
        solved = shots_of(options.template, corpus, question, options.shots)
        prompts.append(prompt(options.template, solved[options.shots - k :], question))
    return [
        MmluItem(question, context, letters[: len(question.options)], k, options.generates)
        for question, context, k in zip(
            corpus.questions, tokenizer.encode(prompts), shots, strict=True
        )
    ]


def _require_letters_follow(
    items: list[MmluItem], options: MmluOptions, corpus: MmluCorpus, tokenizer: Tokenizer
) -> None:
    """Prove on one whole prompt a subject that the letters' ids follow the context's unchanged."""
    firsts = {item.question.subject: item for item in reversed(items)}.values()
    texts = []
    for item in firsts:
        solved = shots_of(options.template, corpus, item.question, options.shots)
        texts.append(f"{prompt(options.template, solved, item.question)} {LETTERS[0]}")
    for item, ids in zip(firsts, tokenizer.encode(texts), strict=True):
        if ids != item.context + item.continuations[0]:
            raise letter_merges(LETTERS[0], item.context[-4:], ids[len(item.context) - 4 :])


def _drop_shots(
    items: list[MmluItem],
    corpus: MmluCorpus,
    options: MmluOptions,
    tokenizer: Tokenizer,
    context: int,
) -> list[MmluItem]:
    """Drop whole shots, the oldest first, until each item fits or has none left."""
    letters = max((item.continuations for item in items), key=len)

    def too_long(item: MmluItem) -> bool:
        return item.longest > context and item.shots > 0

    while any(map(too_long, items)):
        shots = [item.shots - too_long(item) for item in items]
        items = _encode(corpus, options, tokenizer, letters, shots)
    return items


def _overflow(item: MmluItem, context: int, options: MmluOptions) -> InvalidMeasurement:
    return InvalidMeasurement(
        "context-overflow",
        need=f"question {item.question.id} within the context of {context} tokens",
        found=f"{item.longest} tokens with {item.shots} shots (overflow = {options.overflow!r})",
        fix='set overflow = "drop_shots" or "exclude" under [tasks.mmlu]',
    )
