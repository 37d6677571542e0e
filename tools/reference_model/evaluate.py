"""Measure a checkpoint: ``python -m tools.reference_model.evaluate quantgate/embedded``.

Five-shot accuracy by subject, and the perplexity of the held-out text over
windows of 1024 tokens, half of each being context, both in FP32.
"""

import argparse
import csv
import math
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional

from tools.reference_model import template
from tools.reference_model.model import Llama, Shape
from tools.reference_model.template import LETTERS, Question

WINDOW: Final = 1024
STRIDE: Final = 512


def load(folder: Path) -> tuple[Llama, Tokenizer]:
    """Read a written model and its tokenizer back."""
    weights = load_file(folder / "model" / "model.safetensors")
    model = Llama(Shape())
    model.load_state_dict({name.removeprefix("model."): each for name, each in weights.items()})
    return model.eval(), Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))


def read_questions(path: Path) -> list[Question]:
    """Read a questions' file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Question(text, (first, second, third, fourth), LETTERS.index(letter))
            for text, first, second, third, fourth, letter in csv.reader(file)
        ]


@torch.no_grad()
def accuracy(model: Llama, tokenizer: Tokenizer, folder: Path, subject: str, shots: int) -> float:
    """Return the share of a subject's test questions answered right."""
    shown = read_questions(folder / "mmlu" / "dev" / f"{subject}_dev.csv")[:shots]
    asked = read_questions(folder / "mmlu" / "test" / f"{subject}_test.csv")
    letters = torch.tensor([tokenizer.token_to_id(f"Ġ{letter}") for letter in LETTERS])
    right = 0
    for question in asked:
        ids = tokenizer.encode(template.prompt(subject, shown, question)).ids
        last = model(torch.tensor([ids]))[0, -1]
        right += int(model.logits(last)[letters].argmax().item() == question.answer)
    return right / len(asked)


@torch.no_grad()
def perplexity(model: Llama, tokenizer: Tokenizer, text: str) -> tuple[float, int]:
    """Return the perplexity of a text, and its length in tokens."""
    ids = torch.tensor(tokenizer.encode(text).ids)
    total, counted = 0.0, 0
    for begin in range(0, len(ids) - 1, STRIDE):
        window = ids[begin : begin + WINDOW + 1]
        fresh = 0 if begin == 0 else WINDOW - STRIDE
        hidden = model(window[None, :-1])[0, fresh:]
        targets = window[1:][fresh:]
        if len(targets):
            total += functional.cross_entropy(model.logits(hidden), targets, reduction="sum").item()
            counted += len(targets)
    return math.exp(total / counted), len(ids)


def main() -> None:
    """Print the accuracies and the perplexity of an embedded folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder: Path = arguments.folder
    model, tokenizer = load(folder)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(f"parameters {parameters}")
    shares = []
    for path in sorted((folder / "mmlu" / "test").glob("*_test.csv")):
        subject = path.name.removesuffix("_test.csv")
        shares.append(accuracy(model, tokenizer, folder, subject, arguments.shots))
        print(f"{subject} {100 * shares[-1]:.1f} %", flush=True)
    print(f"overall {100 * sum(shares) / len(shares):.2f} %")
    text = (folder / "text.txt").read_text(encoding="utf-8")
    value, length = perplexity(model, tokenizer, text)
    print(f"perplexity {value:.4f} over {length} tokens")


if __name__ == "__main__":
    main()
