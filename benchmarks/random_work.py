"""Work of known size from random ids: one subject's questions, or windows of a text.

A subject is what five-shot MMLU is made of: a beginning that all prompts share, then questions of
different lengths, and four letters of which each is scored. Its lengths are those of the subjects
with short questions: 512 tokens of instruction and shots, 48 to 112 of a question.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgate.requests import Loglikelihood, LoglikelihoodRolling

SHOTS_TOKENS: Final = 512
QUESTION_TOKENS: Final = (48, 112)
LETTERS: Final = 4
WINDOW: Final = 1024
SEED: Final = 20260711


def questions(count: int, vocabulary: int) -> list[Loglikelihood]:
    """`LETTERS` requests for each of `count` questions of one subject."""
    random = np.random.default_rng(SEED)
    shots = _ids(random, SHOTS_TOKENS, vocabulary)
    letters = random.choice(vocabulary, LETTERS, replace=False).tolist()
    shortest, longest = QUESTION_TOKENS
    found = []
    for size in random.integers(shortest, longest + 1, count).tolist():
        context = shots + _ids(random, size, vocabulary)
        found += [Loglikelihood(context, (letter,)) for letter in letters]
    return found


def windows(count: int, vocabulary: int, size: int = WINDOW) -> list[LoglikelihoodRolling]:
    """Windows that share nothing; in each all ids but the first are scored."""
    random = np.random.default_rng(SEED)
    texts = [_ids(random, size, vocabulary) for _ in range(count)]
    return [LoglikelihoodRolling(ids, range(size - 1), ids[1:]) for ids in texts]


def _ids(random: np.random.Generator, count: int, vocabulary: int) -> tuple[int, ...]:
    return tuple(random.integers(0, vocabulary, count).tolist())
