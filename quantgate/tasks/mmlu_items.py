"""MMLU questions as token ids: contexts, the letters' continuations, and what didn't fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantgate.corpus.mmlu import MmluCorpus
from quantgate.corpus.questions import LETTERS, Question
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Loglikelihood
from quantgate.tasks.prompts import prompt

Ids = tuple[int, ...]
ANSWER_TAIL = "\nAnswer:"


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


@dataclass(frozen=True, slots=True)
class MmluItem:
    """One question, ready to score.

    `continuations` are the letters' token ids in this context; `shots` is the number of shots that
    the context holds.
    """

    question: Question
    context: Ids
    continuations: tuple[Ids, ...]
    shots: int

    @property
    def requests(self) -> list[Loglikelihood]:
        """One request per letter."""
        return [Loglikelihood(self.context, ids) for ids in self.continuations]

    @property
    def longest(self) -> int:
        """Tokens the longest request reads."""
        return len(self.context) + max(map(len, self.continuations)) - 1


@dataclass(frozen=True, slots=True)
class MmluItems:
    """All questions of a run: those to score and the ids of those excluded by policy."""

    items: tuple[MmluItem, ...]
    excluded: tuple[str, ...]

    @property
    def requests(self) -> list[Loglikelihood]:
        """One request per question and letter."""
        return [request for item in self.items for request in item.requests]

    @property
    def contexts(self) -> list[Ids]:
        """Context of every item."""
        return [item.context for item in self.items]

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
    letters = letter_continuations(tokenizer)
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
    return MmluItems(kept, tuple(item.question.id for item in long))


def letter_continuations(tokenizer: Tokenizer) -> tuple[Ids, ...]:
    """Token ids of ` A` to ` D` after `Answer:`, by encoding both together.

    The ids before the letter must not change when the letter follows, or the letter's share of a
    merged token couldn't be told.

    Raises:
        InvalidMeasurement: `letter-merges`.
    """
    texts = [ANSWER_TAIL, *(f"{ANSWER_TAIL} {letter}" for letter in LETTERS)]
    tail, *with_letters = tokenizer.encode(texts)
    for letter, ids in zip(LETTERS, with_letters, strict=True):
        if ids[: len(tail)] != tail or len(ids) == len(tail):
            raise _letter_merges(letter, tail, ids)
    return tuple(ids[len(tail) :] for ids in with_letters)


def _letter_merges(letter: str, without: Ids, ids: Ids) -> InvalidMeasurement:
    return InvalidMeasurement(
        "letter-merges",
        need=f"' {letter}' as tokens of its own after 'Answer:'",
        found=f"{list(without)} alone and {list(ids)} with the letter",
        fix="check the tokenizer: it must add no closing token and merge no space",
    )


def _encode(
    corpus: MmluCorpus,
    options: MmluOptions,
    tokenizer: Tokenizer,
    letters: tuple[Ids, ...],
    shots: Sequence[int],
) -> list[MmluItem]:
    prompts = []
    for question, k in zip(corpus.questions, shots, strict=True):
        solved = corpus.shots_for(question.subject, options.shots)
        prompts.append(prompt(options.template, solved[options.shots - k :], question))
    return [
        MmluItem(question, context, letters, k)
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
        solved = corpus.shots_for(item.question.subject, options.shots)
        texts.append(f"{prompt(options.template, solved, item.question)} {LETTERS[0]}")
    for item, ids in zip(firsts, tokenizer.encode(texts), strict=True):
        if ids != item.context + item.continuations[0]:
            raise _letter_merges(LETTERS[0], item.context[-4:], ids[len(item.context) - 4 :])


def _drop_shots(
    items: list[MmluItem],
    corpus: MmluCorpus,
    options: MmluOptions,
    tokenizer: Tokenizer,
    context: int,
) -> list[MmluItem]:
    """Drop whole shots, the oldest first, until each item fits or has none left."""
    letters = items[0].continuations
    while any(item.longest > context and item.shots for item in items):
        shots = [item.shots - (item.longest > context and item.shots > 0) for item in items]
        items = _encode(corpus, options, tokenizer, letters, shots)
    return items


def _overflow(item: MmluItem, context: int, options: MmluOptions) -> InvalidMeasurement:
    return InvalidMeasurement(
        "context-overflow",
        need=f"question {item.question.id} within the context of {context} tokens",
        found=f"{item.longest} tokens with {item.shots} shots (overflow = {options.overflow!r})",
        fix='set overflow = "drop_shots" or "exclude" under [tasks.mmlu]',
    )
