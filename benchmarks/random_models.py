"""Llama models with random weights and a real tokenizer, as Hugging Face folders.

Speed and memory depend on a model's shape and on how many tokens a text becomes, not on what the
weights know; so the weights are random (seeded), and the tokenizer is a byte-level BPE trained on
the text that is to be scored, about as dense as the tokenizers in use on English (four characters
a token). Where little text has too few words for the whole vocabulary, the embedding keeps its
full width all the same. The shape "135m" is SmolLM-135M's; "30m" and "3m" have its proportions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from quantgate.storage import canonical_json, sha256_bytes, sha256_file, staged_directory

TEXT_SUFFIXES = frozenset({".csv", ".txt"})
SEED = 20260711
END = "<|endoftext|>"
_COMMON: Final[dict[str, Any]] = {
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "3m": {
        "vocab_size": 4096,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        **_COMMON,
    },
    "30m": {
        "vocab_size": 16384,
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 15,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        **_COMMON,
    },
    "135m": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        **_COMMON,
    },
}
DEFAULT_SIZE: Final = "135m"


def random_model(
    train_on: Sequence[Path],
    cache: Path,
    size: str = DEFAULT_SIZE,
    vocabulary: int | None = None,
) -> Path:
    """Hugging Face folder of a random model, made where it isn't there yet.

    Args:
        train_on: text that its tokenizer is trained on.
        cache: folder of made models.
        size: name of its shape.
        vocabulary: width of embedding and head where it isn't the shape's. Such a model is for
            random ids: its tokenizer knows single bytes alone, because a package must have one,
            and `train_on` isn't read.

    Raises:
        SystemExit: no text to train on.
    """
    if vocabulary is not None:
        shape = {**SHAPES[size], "vocab_size": vocabulary}
        return _made(f"{size}-v{vocabulary}", shape, [], cache)
    files = sorted(text_files(train_on), key=lambda path: path.name)
    if not files:
        raise SystemExit(f"no {' or '.join(sorted(TEXT_SUFFIXES))} file in {list(train_on)}")
    return _made(size, SHAPES[size], files, cache)


def model_for_ids(train_on: Sequence[Path] | None, cache: Path, size: str) -> Path:
    """A random model to run random ids on: the one that text made, where text is named."""
    if train_on:
        return random_model(train_on, cache, size)
    return random_model((), cache, size, int(SHAPES[size]["vocab_size"]))


def parameters(shape: Mapping[str, Any]) -> int:
    """Numbers that a Llama of this shape learns, a tied embedding counted once.

    V H + L (2 H^2 + 2 H K + 3 H I + 2 H) + H, K being the width of all key heads: embedding; query
    and output, key and value projections, gated MLP, two norms a layer; the last norm.
    """
    hidden = int(shape["hidden_size"])
    keys = hidden // int(shape["num_attention_heads"]) * int(shape["num_key_value_heads"])
    layer = 2 * hidden + 2 * keys + 3 * int(shape["intermediate_size"]) + 2
    return hidden * (int(shape["vocab_size"]) + int(shape["num_hidden_layers"]) * layer + 1)


def text_files(places: Sequence[Path]) -> Iterator[Path]:
    """Every text file among and under `places`."""
    for place in places:
        found = place.rglob("*") if place.is_dir() else [place]
        yield from (path for path in found if path.suffix in TEXT_SUFFIXES)


def _made(name: str, shape: Mapping[str, Any], files: Sequence[Path], cache: Path) -> Path:
    content = {
        "texts": [sha256_file(path) for path in files],
        "shape": dict(shape),
        "seed": SEED,
    }
    folder = cache / "models" / f"random-{name}-{sha256_bytes(canonical_json(content))[:16]}"
    if not folder.is_dir():
        with staged_directory(folder) as staged:
            _save_weights(shape, staged)
            _save_tokenizer(files, shape, staged)
    return folder


def _save_weights(shape: Mapping[str, Any], folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    LlamaForCausalLM(LlamaConfig(**shape)).eval().save_pretrained(folder)


def _save_tokenizer(files: Sequence[Path], shape: Mapping[str, Any], folder: Path) -> None:
    """Train with single digits and byte-level words, as SmolLM's own tokenizer splits text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape["vocab_size"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END],
        show_progress=False,
    )
    texts = (path.read_text("utf-8", errors="replace") for path in files)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "model_max_length": shape["max_position_embeddings"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), "utf-8")
