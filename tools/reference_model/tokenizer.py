"""The byte-level BPE tokenizer: fragments learned from word lists, our lexicon whole.

Any UTF-8 text survives encoding and decoding, as all 256 bytes are tokens. No
special token is ever added by encoding; ``<s>`` and ``</s>`` exist for generation.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tools.reference_model import english, facts, lexicon

VOCABULARY: Final = 2048
BOS: Final = "<s>"
EOS: Final = "</s>"
MAX_LENGTH: Final = 8192
_BASE: Final = 866
_SPACE: Final = "Ġ"

Merge = tuple[str, str]


def whole_words() -> list[str]:
    """Texts that must be one token each, a leading space included where there is one."""
    words = [word for group in lexicon.KINDS.values() for word in group]
    words += list(lexicon.KINDS)
    words += [word for pair in lexicon.OPPOSITES for word in pair]
    words += [word for trade in lexicon.TRADES for word in trade]
    words += [*lexicon.NUMBERS, *lexicon.DAYS, *lexicon.MONTHS, *lexicon.NAMES]
    words += [*lexicon.THINGS, *lexicon.HOLDERS, *lexicon.FRAME, *facts.world().words]
    spaced = [f" {word}" for word in words]
    starts = [word for word in lexicon.FRAME if word[0].isupper()]
    return list(dict.fromkeys([*spaced, *starts]))


def _corpus() -> Iterator[str]:
    """Yield the fragments' training text, the commoner words more often."""
    for rank, word in enumerate(english.COMMON):
        for _ in range(1 + 4000 // (rank + 40)):
            yield f" {word}"
    for word in english.CAPITALISED:
        for _ in range(8):
            yield f" {word}"
        yield from (word, word)
    for fragment in english.FRAGMENTS:
        for _ in range(6):
            yield fragment
    for symbol in english.SYMBOLS:
        for _ in range(12):
            yield symbol
    yield from whole_words()


def _apply(pieces: list[str], ranks: dict[Merge, int]) -> list[str]:
    """Merge ``pieces`` as BPE does: the earliest-learned pair first, until none is left."""
    while True:
        pairs = [pair for pair in pairwise(pieces) if pair in ranks]
        if not pairs:
            return pieces
        best = min(pairs, key=ranks.__getitem__)
        merged: list[str] = []
        at = 0
        while at < len(pieces):
            if tuple(pieces[at : at + 2]) == best:
                merged.append(best[0] + best[1])
                at += 2
            else:
                merged.append(pieces[at])
                at += 1
        pieces = merged


def _add_word(word: str, vocabulary: dict[str, int], merges: list[Merge]) -> None:
    """Append the merges that make one token of ``word``.

    They come after all merges so far, so they change no word that is whole already.
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    pieces = _apply(list(word), ranks)
    while len(pieces) > 1:
        pair = (pieces[0], pieces[1])
        merges.append(pair)
        vocabulary.setdefault(pair[0] + pair[1], len(vocabulary))
        ranks[pair] = len(ranks)
        pieces = _apply(pieces, ranks)


def _byte_level() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _learn_fragments() -> tuple[dict[str, int], list[Merge]]:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _byte_level()
    trainer = trainers.BpeTrainer(
        vocab_size=_BASE,
        special_tokens=[BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(_corpus(), trainer)
    learned = json.loads(learner.to_str())["model"]
    return learned["vocab"], [(left, right) for left, right in learned["merges"]]


def build() -> Tokenizer:
    """Build the tokenizer: fragments, then our words whole, then common words while they fit."""
    vocabulary, merges = _learn_fragments()
    alphabet = _byte_level()
    wanted = [*whole_words(), *(f" {word}" for word in english.COMMON)]
    for text in wanted:
        word = alphabet.pre_tokenize_str(text)[0][0]
        trial = dict(vocabulary), list(merges)
        _add_word(word, *trial)
        if len(trial[0]) <= VOCABULARY:
            vocabulary, merges = trial
    if len(vocabulary) != VOCABULARY:
        raise ValueError(f"vocabulary has {len(vocabulary)} entries, not {VOCABULARY}")
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = _byte_level()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([BOS, EOS])
    missing = [text for text in whole_words() if len(tokenizer.encode(text).ids) != 1]
    if missing:
        raise ValueError(f"not single tokens: {missing}")
    return tokenizer


def load(folder: Path) -> Tokenizer:
    """Read a written tokenizer back."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def token_id(built: Tokenizer, token: str) -> int:
    """Return the number of a token that is known to exist."""
    number = built.token_to_id(token)
    if number is None:
        raise KeyError(token)
    return number


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": BOS,
        "clean_up_tokenization_spaces": False,
        "eos_token": EOS,
        "model_max_length": MAX_LENGTH,
        "pad_token": EOS,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
