"""What a model is asked to generate behind: passages of the text, questions, and dialogs of two.

A passage is the beginning of a paragraph, generated on until the text's end or the limit. A
question stands behind its shots, as MMLU asks it, or behind as many as there is room for. A dialog
asks a second one behind the answer to the first. Passages and questions are spread evenly over the
corpora, so they depend on nothing but these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantgate.corpus.mmlu import MmluCorpus
from quantgate.corpus.text import TextCorpus
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import GenerateUntil, GenerateUntilMultiRound, Generation, Ids
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.tasks.prompts import body, prompt, shots_of
from quantgate.tasks.stops import stop_ids

LONGEST_TOKEN = 16  # characters a token takes at most on average, for cutting text before encoding


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """Protocol parameters, as in `[tasks.generation]`, and how questions are asked.

    Attributes:
        texts, questions, dialogs: how many there are of each.
        prompt_tokens: longest beginning of a passage.
        new_tokens: most ids of an answer.
        stop: strings that end the answer to a question.
        mmlu: how questions are asked.
    """

    texts: int
    questions: int
    dialogs: int
    prompt_tokens: int
    new_tokens: int
    stop: tuple[str, ...]
    mmlu: MmluOptions

    @property
    def protocol(self) -> str:
        """Name with parameters; what ends an answer is in the digest of the items."""
        return (
            f"greedy, at most {self.new_tokens} tokens; {self.texts} passages of "
            f"{self.prompt_tokens}; {self.questions} questions and {self.dialogs} dialogs, "
            f"{self.mmlu.template} up to {self.mmlu.shots}-shot"
        )


@dataclass(frozen=True, slots=True)
class GenerationItems:
    """Requests with their names, one of each a generation."""

    requests: tuple[Generation, ...]
    names: tuple[str, ...]

    @property
    def contexts(self) -> list[Ids]:
        """All ids that a model is given, generation by generation."""
        return [sum(request.rounds, ()) for request in self.requests]

    @property
    def digest(self) -> str:
        """SHA-256 of the ids of every round, with what ends an answer."""
        digest = hashlib.sha256()
        for request in self.requests:
            ends = (request.limit, request.stop_ids, request.stop_strings)
            digest.update(repr(ends).encode())
            for ids in request.rounds:
                digest.update(np.asarray(ids, dtype="<i8").tobytes() + b"|")
        return digest.hexdigest()

    def name(self, request: int) -> str:
        """What a generation is about."""
        return self.names[request]


def make_items(
    text: TextCorpus,
    questions: MmluCorpus,
    options: GenerationOptions,
    tokenizer: Tokenizer,
    context: int,
    *,
    ends: Ids = (),
) -> GenerationItems:
    """Encode all prompts for a model that reads at most `context` tokens.

    A shorter context shortens passages, and leaves questions fewer shots, as their names tell.
    `ends` are ids that end a text, beside the tokenizer's own.

    Raises:
        UsageFault: a subject has too few shots.
        InvalidMeasurement: `context-overflow`, where an answer may not fit even so.
    """
    strings = options.stop if options.questions or options.dialogs else ()
    stops = stop_ids(tokenizer, strings, ends)
    asking = _Asking(options, tokenizer, context)
    named = [
        *_passages(text, asking, stop_ids(tokenizer, (), ends)),
        *_questions(questions, asking, stops),
        *_dialogs(questions, asking, stops),
    ]
    for name, request in named:
        needed = sum(map(len, request.rounds)) + request.limit * len(request.rounds)
        if needed > context:
            raise InvalidMeasurement(
                "context-overflow",
                need=f"prompts and answers within the context of {context} tokens",
                found=f"{name} with up to {needed}",
                fix="lower new_tokens under [tasks.generation], or set questions and dialogs to 0",
            )
    return GenerationItems(tuple(request for _, request in named), tuple(name for name, _ in named))


def spread(count: int, of: int) -> list[int]:
    """Return `count` numbers below `of`, evenly apart; all of them where there are no more."""
    count = min(count, of)
    return [number * of // count for number in range(count)]


def _passages(text: TextCorpus, asking: _Asking, ends: Ids) -> Iterator[tuple[str, Generation]]:
    options = asking.options
    length = max(1, min(options.prompt_tokens, asking.context - options.new_tokens))
    begins = [number for number, each in enumerate(text.paragraphs) if each.strip()]
    for first in (begins[number] for number in spread(options.texts, len(begins))):
        passage = "\n\n".join(text.paragraphs[first : first + length])
        (ids,) = asking.tokenizer.encode([passage[: length * LONGEST_TOKEN]])
        yield f"paragraph {first}", GenerateUntil(ids[:length], options.new_tokens, ends)


def _questions(corpus: MmluCorpus, asking: _Asking, ends: Ids) -> Iterator[tuple[str, Generation]]:
    options = asking.options
    for number in spread(options.questions, len(corpus.questions)):
        name, ids = asking.prompt(corpus, number, options.new_tokens)
        yield name, GenerateUntil(ids, options.new_tokens, ends, options.stop)


def _dialogs(corpus: MmluCorpus, asking: _Asking, ends: Ids) -> Iterator[tuple[str, Generation]]:
    options = asking.options
    for number in spread(options.dialogs, len(corpus.questions)):
        after = corpus.questions[(number + 1) % len(corpus.questions)]
        second = asking.tokenizer.encode_behind(f"\n{body(options.mmlu.template, after)}")
        kept = len(second) + 2 * options.new_tokens
        name, first = asking.prompt(corpus, number, kept)
        request = GenerateUntilMultiRound((first, second), options.new_tokens, ends, options.stop)
        yield f"{name}, then {after.id}", request


@dataclass(frozen=True, slots=True)
class _Asking:
    """How questions are asked of a model that reads at most `context` tokens."""

    options: GenerationOptions
    tokenizer: Tokenizer
    context: int

    def prompt(self, corpus: MmluCorpus, number: int, kept: int) -> tuple[str, Ids]:
        """A question's name and ids, behind as many shots as leave `kept` tokens of the context."""
        question, asked = corpus.questions[number], self.options.mmlu
        for count in range(asked.shots, -1, -1):
            shots = shots_of(asked.template, corpus, question, count)
            (ids,) = self.tokenizer.encode([prompt(asked.template, shots, question)])
            if len(ids) + kept <= self.context:
                break
        return f"{question.id} ({count}-shot)", ids
