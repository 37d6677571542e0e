"""Greedy generation: the same prompts to candidate and reference, answers compared id by id.

Each model is generated with by itself, and its answers are kept; what they agree on is
`generation_scores`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from quantgate.corpus.mmlu import MmluCorpus
from quantgate.corpus.text import TextCorpus
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Generation, Ids
from quantgate.tasks.base import Generate, GenerativeTask
from quantgate.tasks.generation_items import GenerationItems, GenerationOptions, make_items
from quantgate.tasks.stops import Answer, read_answer


@dataclass(frozen=True, slots=True)
class GenerationSamples:
    """Answers to every generation, round by round."""

    answers: tuple[tuple[Answer, ...], ...]


class GenerationTask(GenerativeTask[GenerationItems, GenerationSamples]):
    """Passages to continue and questions to answer, the same for every model.

    Args:
        text: the text of the passages.
        questions: the questions.
        options: how many of each, and what ends an answer.
    """

    name = "generation"

    def __init__(self, text: TextCorpus, questions: MmluCorpus, options: GenerationOptions) -> None:
        self._text, self._questions, self._options = text, questions, options

    @property
    def corpus_digest(self) -> str:
        """Digest of questions and text."""
        both = self._questions.digest + self._text.digest
        return hashlib.sha256(both.encode()).hexdigest()

    def encode(self, tokenizer: Tokenizer, context: int, ends: Ids = ()) -> GenerationItems:
        """Ids of all prompts, with what ends their answers."""
        corpora = self._text, self._questions
        return make_items(*corpora, self._options, tokenizer, context, ends=ends)

    def answer(
        self, items: GenerationItems, generate: Generate, tokenizer: Tokenizer
    ) -> GenerationSamples:
        """Let the model answer everything, and read each answer up to where it ends."""
        generated = generate(items.requests)
        pairs = zip(items.requests, generated, strict=True)
        return GenerationSamples(tuple(_read(tokenizer, *pair) for pair in pairs))


def _read(
    tokenizer: Tokenizer, request: Generation, generated: tuple[Ids, ...]
) -> tuple[Answer, ...]:
    return tuple(
        read_answer(tokenizer, before, ids, ids=request.stop_ids, strings=request.stop_strings)
        for before, ids in zip(request.rounds, generated, strict=True)
    )
