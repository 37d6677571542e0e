"""Questions in the layout of MMLU-Pro: three to ten options, categories mixed in the files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.tiny_corpora import WORDS

CATEGORIES = ("law", "computer science", "philosophy")
Record = dict[str, Any]


def pro_records(split: str, count: int, *, seed: int = 0) -> list[Record]:
    """Rows whose categories take turns, and whose questions have white space around them."""
    source = random.Random(f"{split} {seed}")
    return [_record(source, 1000 * (split == "test") + number) for number in range(count)]


def _record(source: random.Random, number: int) -> Record:
    options = [" ".join(source.choices(WORDS, k=2)) for _ in range(3 + number % 8)]
    answer = source.randrange(len(options))
    return {
        "question_id": number,
        "question": " " + " ".join(source.choices(WORDS, k=source.randint(3, 7))) + "?\n",
        "options": options,
        "answer": "ABCDEFGHIJ"[answer],
        "answer_index": answer,
        "cot_content": "",
        "category": CATEGORIES[number % 3],
        "src": "tests",
    }


def write_pro(
    folder: Path, *, tests: list[Record] | None = None, shots: list[Record] | None = None
) -> Path:
    """Write both splits; 24 questions and 15 shots unless given."""
    import datasets

    splits = {
        "test": pro_records("test", 24) if tests is None else tests,
        "validation": pro_records("validation", 15) if shots is None else shots,
    }
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        if rows:
            path = folder / "data" / f"{split}-00000-of-00001.parquet"
            datasets.Dataset.from_list(rows).to_parquet(path)
    return folder
