"""Where an answer ends: at an id, or before a string that its text comes to hold.

A model stops at ids. Of the strings that should stop it, those that lie within one token become ids
too (`stop_ids`); what spans tokens is found in the text, which is put together token by token
(`Detokenizer`) since bytes of one character, and the space before a word, belong to no token alone.
Special tokens are written out like any other, so a string may name one or hold its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Ids

UNFINISHED = "\ufffd"  # what a tokenizer makes of bytes that are no character, or none yet
LOOK_BACK = 8  # ids before an answer that say how its first token is written


class Detokenizer:
    """Text of ids that come one by one; all pieces joined are the text of all ids.

    Of bytes that are no character in the end, a tokenizer may make more or fewer marks among
    others than it makes of them alone.

    Args:
        tokenizer: whose ids they are.
        before: the ids that they follow.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = list(before[-LOOK_BACK:])
        # Text is told up to `_told`, and was last told from `_from` on.
        self._from, self._told = 0, len(self._ids)

    def add(self, id_: int) -> str:
        """The text that one more id completes; "" while a character is unfinished."""
        self._ids.append(id_)
        piece = self._piece()
        if piece.endswith(UNFINISHED):
            return ""
        self._from, self._told = self._told, len(self._ids)
        return piece

    def finish(self) -> str:
        """The text that was held back, unfinished as it is."""
        piece = self._piece()
        self._from = self._told = len(self._ids)
        return piece

    def _piece(self) -> str:
        before, now = self._tokenizer.texts(
            [self._ids[self._from : self._told], self._ids[self._from :]]
        )
        return now[len(before) :]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered in one round.

    Attributes:
        ids: up to the one that ended it, that one included.
        text: of these, up to the string or the id that ended it.
        ended: `id`, `string` or `limit`.
        cut: ids generated behind `ids`; the next round of a dialog follows them all the same.
        cut_text: behind `text`, from the string that ended it to the last of `cut`.
    """

    ids: Ids
    text: str
    ended: str
    cut: Ids = ()
    cut_text: str = ""


def stop_ids(tokenizer: Tokenizer, strings: Sequence[str], ends: Sequence[int] = ()) -> Ids:
    """Return the ids that end an answer, ascending.

    Args:
        tokenizer: whose own end of a text is one of them.
        strings: every id whose own text holds one of these is another, special tokens' too.
        ends: further ids that end a text.
    """
    texts = tokenizer.own_texts() if strings else {}
    found = {id_ for id_, text in texts.items() if any(string in text for string in strings)}
    if tokenizer.end is not None:
        found.add(tokenizer.end)
    return tuple(sorted(found.union(ends)))


def read_answer(
    tokenizer: Tokenizer, before: Ids, generated: Ids, *, ids: Sequence[int], strings: Sequence[str]
) -> Answer:
    """Read what was generated up to where it should have ended.

    Args:
        tokenizer: whose ids they are.
        before: the ids that it follows.
        generated: the ids of the answer.
        ids: that end it.
        strings: that end it; of several that a token completes, the one that begins first.
    """
    detokenizer = Detokenizer(tokenizer, before)
    text = ""
    for count, id_ in enumerate(generated, 1):
        last = count == len(generated)
        piece = detokenizer.add(id_)
        if last:
            piece += detokenizer.finish()
        begin = max(0, len(text) - max(map(len, strings), default=0) + 1)
        text += piece
        at = [place for string in strings if (place := text.find(string, begin)) >= 0]
        if at:
            cut = generated[count:]
            whole = text + "".join(map(detokenizer.add, cut)) + detokenizer.finish()
            end = min(at)
            return Answer(generated[:count], whole[:end], "string", cut, whole[end:])
        if id_ in ids:
            (own,) = tokenizer.texts([[id_]])
            return Answer(generated[:count], text.removesuffix(own), "id")
    return Answer(generated, text, "limit")
