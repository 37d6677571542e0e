"""The text that all sides of a comparison read, as ids, and the windows over it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from quantgate.corpus.text import read_text
from quantgate.packages.tokenizer import load_tokenizer


def add_text_arguments(parser: argparse.ArgumentParser, *, tokens: int) -> None:
    """Add the text and its windows; the first `tokens` ids are read unless others are asked for."""
    parser.add_argument("--text", type=Path, required=True, help="text, a paragraph a line")
    parser.add_argument("--tokens", type=int, default=tokens)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)


def windows_and_threads(options: argparse.Namespace) -> list[object]:
    """What every side is told beside model and ids."""
    found: list[object] = []
    for name in ("window", "stride", "threads"):
        found += [f"--{name}", getattr(options, name)]
    return found


def write_ids(options: argparse.Namespace, source: Path, path: Path) -> Path:
    """Write the text's first ids as JSON, by the tokenizer in the folder `source`."""
    corpus = read_text(str(options.text.resolve()), base=Path())
    (ids,) = load_tokenizer(source).encode([corpus.text])
    path.write_text(json.dumps(ids[: options.tokens]), "utf-8")
    return path
