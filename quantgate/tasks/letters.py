"""The letters' continuations: which token ids stand for an option after `Answer:`."""

from __future__ import annotations

from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer

Ids = tuple[int, ...]
ANSWER_TAIL = "\nAnswer:"


def letter_continuations(tokenizer: Tokenizer, letters: str) -> tuple[Ids, ...]:
    """Token ids of ` A`, ` B`, ... after `Answer:`, by encoding both together.

    The ids before the letter must not change when the letter follows, or the letter's share of a
    merged token couldn't be told.

    Raises:
        InvalidMeasurement: `letter-merges`.
    """
    texts = [ANSWER_TAIL, *(f"{ANSWER_TAIL} {letter}" for letter in letters)]
    tail, *with_letters = tokenizer.encode(texts)
    for letter, ids in zip(letters, with_letters, strict=True):
        if ids[: len(tail)] != tail or len(ids) == len(tail):
            raise letter_merges(letter, tail, ids)
    return tuple(ids[len(tail) :] for ids in with_letters)


def letter_merges(letter: str, without: Ids, ids: Ids) -> InvalidMeasurement:
    """The fault of a letter whose tokens don't follow `without`, the ids of what comes before."""
    return InvalidMeasurement(
        "letter-merges",
        need=f"' {letter}' as tokens of its own after 'Answer:'",
        found=f"{list(without)} alone and {list(ids)} with the letter",
        fix="check the tokenizer: it must add no closing token and merge no space",
    )
