"""Write what the package embeds: questions, text, tokenizer and model."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file
from tokenizers import Tokenizer

from tools.reference_model import prose, tokenizer
from tools.reference_model.model import Llama
from tools.reference_model.questions import Split, draw_distinct
from tools.reference_model.subjects import TESTED
from tools.reference_model.template import Question

DATA_SEED: Final = 7
DEV_QUESTIONS: Final = 5
TEST_QUESTIONS: Final = 116
PARAGRAPHS: Final = 560


def questions_csv(questions: Sequence[Question]) -> str:
    """Write questions in the MMLU authors' layout, which has no header."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    for question in questions:
        writer.writerow([question.text, *question.options, question.letter])
    return buffer.getvalue()


def data_files() -> dict[str, str]:
    """Return every data file's text by its path within the embedded folder."""
    files = {"text.txt": prose.held_out_text(DATA_SEED, PARAGRAPHS)}
    for subject in TESTED:
        for split, count in ((Split.DEV, DEV_QUESTIONS), (Split.TEST, TEST_QUESTIONS)):
            drawn = draw_distinct(DATA_SEED, subject, split, count)
            files[f"mmlu/{split.value}/{subject}_{split.value}.csv"] = questions_csv(drawn)
    return files


def write_data(folder: Path) -> None:
    """Write the questions, the text and the tokenizer."""
    for name, text in data_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    tokenizer.save(tokenizer.build(), folder / "model")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_model(model: Llama, built: Tokenizer, folder: Path) -> None:
    """Write the model's weights and its two configuration files."""
    target = folder / "model"
    bos, eos = (tokenizer.token_id(built, token) for token in (tokenizer.BOS, tokenizer.EOS))
    _write_json(target / "config.json", model.shape.config(bos, eos))
    generation = {"bos_token_id": bos, "do_sample": False, "eos_token_id": eos,
                  "pad_token_id": eos}  # fmt: skip
    _write_json(target / "generation_config.json", generation)
    weights = target / "model.safetensors"
    save_file(model.checkpoint(), weights, metadata={"format": "pt"})
    weights.chmod(0o644)
