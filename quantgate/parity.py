"""Whether two tokenizers of one model read texts alike: the first difference, in words."""

from __future__ import annotations

from collections.abc import Sequence

from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer

# What tokenizers part over: spaces, line ends, digits, apostrophes, accents, other scripts.
PROBE = "Answer: A\n\n 3.14  don't naïve Ωμέγα 東京 🙂\tend of 1,000 lines.\n"
SHOWN = 8


def require_parity(
    tokenizer: Tokenizer,
    ours: Sequence[Sequence[int]],
    theirs: Sequence[Sequence[int]],
    *,
    runtime: str,
) -> None:
    """Prove that a runtime's own tokenizer yields the ids that are scored.

    Args:
        tokenizer: the one that made `ours`.
        ours: ids by Hugging Face's tokenizer, text by text.
        theirs: ids by the runtime's.
        runtime: its name, for messages.

    Raises:
        InvalidMeasurement: `bos-differs` where only one of them begins with a token for the
            beginning, `tokenizer-mismatch` with the first differing ids and their text.
    """
    for text, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        mine, other = tuple(left), tuple(right)
        if mine == other:
            continue
        if mine[1:] == other or mine == other[1:]:
            raise _bos(mine, other, runtime)
        at = next(
            (i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b),
            min(len(mine), len(other)),
        )
        shown = [list(ids[at : at + SHOWN]) for ids in (mine, other)]
        raise InvalidMeasurement(
            "tokenizer-mismatch",
            need=f"{runtime}'s tokenizer to yield the ids that are scored",
            found=f"text {text} differs at id {at}: scored {shown[0]} "
            f"({tokenizer.decode(shown[0])!r}), {runtime} {shown[1]} "
            f"({tokenizer.decode(shown[1])!r})",
            fix="ship tokenizer files that the runtime reads alike, or tokenize outside of it",
        )


def _bos(mine: tuple[int, ...], other: tuple[int, ...], runtime: str) -> InvalidMeasurement:
    with_bos, without = (
        ("what is scored", runtime)
        if len(mine) > len(other)
        else (
            runtime,
            "what is scored",
        )
    )
    token = (mine if len(mine) > len(other) else other)[0]
    return InvalidMeasurement(
        "bos-differs",
        need="a beginning of text that both tokenizers mark alike",
        found=f"{with_bos} begins with id {token}, {without} doesn't",
        fix="set add_bos_token in tokenizer_config.json to what the model was trained with",
    )
