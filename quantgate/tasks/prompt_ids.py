"""Prompts whose content doesn't matter: the first tokens of the corpus' text."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Ids

LONGEST_TOKEN: Final = 16  # characters a token takes at most on average, for cutting text first


def text_ids(text: str, tokenizer: Tokenizer, count: int) -> Ids:
    """Return the first `count` ids of a text; one that is too short is read again from its start.

    Raises:
        InvalidMeasurement: `text-empty` where it has no ids at all.
    """
    ids = tokenizer.encode([text[: count * LONGEST_TOKEN]])[0]
    if not ids:
        raise InvalidMeasurement(
            "text-empty",
            need="a text to take prompts from",
            found="no tokens",
            fix="name another text under [data]",
        )
    return tuple(itertools.islice(itertools.cycle(ids), count))


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a model is given to generate from, and to read.

    Attributes:
        prompt: ids to generate from.
        reads: prompts that are only read, ascending.
        left_out: lengths of those that the model's context can't take.
    """

    prompt: Ids
    reads: tuple[Ids, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def contexts(self) -> list[Ids]:
        """All prompts."""
        return [self.prompt, *self.reads]

    @property
    def digest(self) -> str:
        """SHA-256 of all ids."""
        digest = hashlib.sha256()
        for ids in self.contexts:
            digest.update(np.asarray((len(ids), *ids), dtype="<i8").tobytes())
        return digest.hexdigest()


def make_prompts(
    text: str,
    tokenizer: Tokenizer,
    context: int,
    *,
    prompt: int,
    new_tokens: int,
    reads: Sequence[int] = (),
) -> Prompts:
    """Return prompts for models that take at most `context` tokens; all lengths are in tokens.

    Raises:
        InvalidMeasurement: `context-overflow` where prompt and new tokens don't fit;
            `text-empty`.
    """
    if prompt + new_tokens > context:
        raise InvalidMeasurement(
            "context-overflow",
            need=f"{prompt} tokens of prompt and {new_tokens} new ones within the context",
            found=f"a context of {context} tokens",
            fix="set fewer under [tasks.speed] and [tasks.memory]",
        )
    fitting = sorted(length for length in reads if length < context)
    ids = text_ids(text, tokenizer, max(prompt, *fitting, 1))
    return Prompts(
        ids[:prompt],
        tuple(ids[:length] for length in fitting),
        tuple(sorted(set(reads) - set(fitting))),
    )
