"""Loads a package's tokenizer; the ids it yields are handed to every backend as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.strict_json import read_json_object

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
)


class Tokenizer:
    """A Hugging Face tokenizer with the special tokens of its own defaults.

    Attributes:
        digest: of its files.
        size: one more than its largest id: a vocabulary may have gaps.
    """

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.digest = tokenizer_digest(folder)
        self.size = 1 + max(tokenizer.get_vocab().values(), default=-1)

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Token ids of each text, special tokens as the tokenizer itself adds them."""
        if not texts:
            return []
        return [tuple(ids) for ids in self._tokenizer(list(texts)).input_ids]

    @property
    def start(self) -> int | None:
        """The id that a text may follow: BOS, or else EOS; None without either."""
        bos: int | None = self._tokenizer.bos_token_id
        eos: int | None = self._tokenizer.eos_token_id
        return eos if bos is None else bos

    @property
    def end(self) -> int | None:
        """The id that ends a text; None without one."""
        eos: int | None = self._tokenizer.eos_token_id
        return eos

    def encode_behind(self, text: str) -> tuple[int, ...]:
        """Token ids of a text that follows another, without special tokens."""
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, for messages."""
        return str(self._tokenizer.decode(list(ids)))

    def texts(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """Text of each of `sequences`, special tokens written out and nothing tidied."""
        decoded: list[str] = self._tokenizer.batch_decode(
            [list(ids) for ids in sequences],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return decoded

    def own_texts(self) -> dict[int, str]:
        """Text of every token by itself, special ones included, by id."""
        ids = sorted(set(self._tokenizer.get_vocab().values()))
        return dict(zip(ids, self.texts([[id_] for id_ in ids]), strict=True))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer in `folder` from local files only.

    Raises:
        UsageFault: `remote-code` where it needs code from the package, `tokenizer-missing`.
    """
    refuse_remote_code(folder)
    # The progress bars and advice of transformers would fill CI logs.
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise UsageFault(
            "tokenizer-missing",
            need=f"{folder}: a tokenizer that transformers can load",
            found=f"{type(error).__name__}: {error}",
            fix="copy tokenizer.json and tokenizer_config.json into the package",
        ) from None
    return Tokenizer(folder, tokenizer)


def refuse_remote_code(folder: Path) -> None:
    """Refuse a folder whose configuration names Python code to run.

    Raises:
        UsageFault: `remote-code`.
    """
    for name in ("tokenizer_config.json", "config.json"):
        path = folder / name
        if path.is_file() and "auto_map" in (config := read_json_object(path)):
            raise UsageFault(
                "remote-code",
                need=f"{path} that runs no code of its own",
                found=f"auto_map {config['auto_map']!r}",
                fix="save the tokenizer as tokenizer.json and remove auto_map",
            )


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 over the tokenizer's files by name and content."""
    digest = hashlib.sha256()
    for name in TOKENIZER_FILES:
        path = folder / name
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{name}:{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def require_same_ids(
    ours: Sequence[Sequence[int]],
    reference: Sequence[Sequence[int]],
    tokenizers: tuple[Tokenizer, Tokenizer],
) -> None:
    """Prove that candidate and reference read the same ids.

    Raises:
        InvalidMeasurement: `tokenizer-mismatch`, showing the first differing id and its text.
    """
    for item, (left, right) in enumerate(zip(ours, reference, strict=True)):
        if tuple(left) == tuple(right):
            continue
        at = next(
            (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
            min(len(left), len(right)),
        )
        mine, other = list(left[at : at + 8]), list(right[at : at + 8])
        raise InvalidMeasurement(
            "tokenizer-mismatch",
            need="the same token ids from candidate and reference",
            found=f"item {item} differs at id {at}: candidate {mine} "
            f"({tokenizers[0].decode(mine)!r}), reference {other} "
            f"({tokenizers[1].decode(other)!r})",
            fix="ship the reference's tokenizer files, BOS setting included, with the candidate",
        )
