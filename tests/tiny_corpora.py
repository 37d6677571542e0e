"""Questions and text for tests, from a seeded generator, in the layouts that users have."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

SUBJECTS = ("anatomy", "formal_logic", "marketing")
SENTENCE = (
    "the thin horn on a stone bridge turns into rain then nothing begins in autumn that either "
    "north or south would not own one kind of iron lantern and seven others"
)
WORDS = SENTENCE.split()


def write_mmlu(
    folder: Path, *, subjects: Sequence[str] = SUBJECTS, questions: int = 8, seed: int = 0
) -> Path:
    """Questions in the authors' layout: `dev/<subject>_dev.csv` and `test/<subject>_test.csv`."""
    source = random.Random(seed)
    for subject in subjects:
        for split, count in (("dev", 5), ("test", questions)):
            (folder / split).mkdir(parents=True, exist_ok=True)
            path = folder / split / f"{subject}_{split}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(_row(source) for _ in range(count))
    return folder


def _row(source: random.Random) -> list[str]:
    question = " ".join(source.choices(WORDS, k=source.randint(3, 9))) + "?"
    options = [" ".join(source.choices(WORDS, k=source.randint(1, 2))) for _ in range(4)]
    return [question, *options, source.choice("ABCD")]


def write_text(path: Path, *, words: int = 700, seed: int = 0) -> Path:
    """Paragraphs of about forty words, one a line."""
    source = random.Random(seed)
    lines = [" ".join(source.choices(WORDS, k=40)) + "." for _ in range(words // 40)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
