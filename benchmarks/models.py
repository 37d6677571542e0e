"""Makes the model that the benchmarks run: SmolLM-135M's shape, random weights, a real tokenizer.

Speed and memory depend on a model's shape and on how many tokens a text becomes, not on what the
weights know; so the weights are random (seeded), and the tokenizer is a byte-level BPE trained on
the text that is to be scored, about as dense as the tokenizers in use on English (four characters
a token). Where little text has too few words for the whole vocabulary, the embedding keeps its
full width all the same. Nothing is downloaded.

    python -m benchmarks.models --train-on DIR_OR_FILE [--cache DIR]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantgate.cases import BuildRecipe, Package
from quantgate.packages.build import package_folder, prepare
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.storage import canonical_json, sha256_bytes, sha256_file, staged_directory

PRECISIONS = ("fp32", "int4")
TEXT_SUFFIXES = frozenset({".csv", ".txt"})
SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
SEED = 20260711
END = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class ModelArguments:
    """Where the model comes from.

    Attributes:
        cache: folder of made models and packages.
        model: a Hugging Face folder to measure instead, or None for the random one.
        train_on: files and folders of text to train the random model's tokenizer on.
    """

    cache: Path
    model: Path | None
    train_on: tuple[Path, ...]

    def packages(self, precisions: Sequence[str]) -> dict[str, OnnxPackage]:
        """Packages by precision, made where they aren't there yet."""
        source = self.model or random_model(self.train_on, self.cache)
        wanted = {p: Package(recipe=BuildRecipe(source.resolve(), p)) for p in precisions}
        prepare(wanted.values(), self.cache)
        return {p: open_package(package_folder(w, self.cache)) for p, w in wanted.items()}


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `model_arguments` reads."""
    parser.add_argument(
        "--cache", type=Path, default=None, help="folder of models and packages made here"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=None,
        help="Hugging Face folder to measure instead of a random model of SmolLM-135M's shape",
    )
    parser.add_argument(
        "--train-on",
        type=Path,
        nargs="+",
        default=None,
        help="text for the random model's tokenizer: .csv and .txt files, or folders of them "
        "(default: the data to be scored)",
    )


def model_arguments(options: argparse.Namespace, data: Path) -> ModelArguments:
    """Read them; `data` is what the tokenizer is trained on unless something else is named."""
    return ModelArguments(
        cache=(options.cache or default_cache()).resolve(),
        model=options.model,
        train_on=tuple(options.train_on or [data]),
    )


def default_cache() -> Path:
    """The user's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("quantgate") / "benchmarks"


def random_model(train_on: Sequence[Path], cache: Path) -> Path:
    """Hugging Face folder of the random model whose tokenizer was trained on those texts."""
    files = sorted(text_files(train_on), key=lambda path: path.name)
    if not files:
        raise SystemExit(f"no {' or '.join(sorted(TEXT_SUFFIXES))} file in {list(train_on)}")
    content = {
        "texts": [sha256_file(path) for path in files],
        "shape": SHAPE,
        "seed": SEED,
    }
    folder = cache / "models" / f"random-135m-{sha256_bytes(canonical_json(content))[:16]}"
    if not folder.is_dir():
        with staged_directory(folder) as staged:
            _save_weights(staged)
            _save_tokenizer(files, staged)
    return folder


def text_files(places: Sequence[Path]) -> Iterator[Path]:
    """Every text file among and under `places`."""
    for place in places:
        found = place.rglob("*") if place.is_dir() else [place]
        yield from (path for path in found if path.suffix in TEXT_SUFFIXES)


def _save_weights(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).eval().save_pretrained(folder)


def _save_tokenizer(files: Sequence[Path], folder: Path) -> None:
    """Train with single digits and byte-level words, as SmolLM's own tokenizer splits text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE["vocab_size"],
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
        "model_max_length": SHAPE["max_position_embeddings"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), "utf-8")


def main() -> None:
    """Make the packages and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_arguments(parser)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    options = parser.parse_args()
    if not options.model and not options.train_on:
        parser.error("name a --model, or text to --train-on")
    packages = model_arguments(options, Path()).packages(options.precisions)
    for precision, package in packages.items():
        print(f"{precision}: {package.folder} ({package.bytes / 2**20:.0f} MiB)")


if __name__ == "__main__":
    main()
