"""MMLU in the hub's layout: `<config>/{dev,test}-*.parquet`, as `cais/mmlu` has it.

Columns question, subject, choices (a list of text) and answer (position, from 0). The config `all`
holds every subject and tells them apart by the column; any other config is a subject's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from quantgate.corpus.files import DataFile, name_of
from quantgate.corpus.hub import parquet_files, parquet_rows
from quantgate.corpus.questions import Question, Row, to_questions

ALL: Final = "all"
_COLUMNS: Final = ("question", "subject", "choices", "answer")


def hub_configs(folder: Path) -> list[str]:
    """Return the configs of a folder in the hub's layout: `all` alone if there; else by name."""
    configs = sorted({path.parent.name for path in folder.glob("*/test-*.parquet")})
    return [ALL] if ALL in configs else configs


def parse_hub(
    folder: Path, configs: list[str], split: str
) -> tuple[dict[str, tuple[Question, ...]], list[DataFile]]:
    """Parse a split (`dev` or `test`) of some configs: questions by subject, and the files.

    A config without files of that split has no subjects.

    Raises:
        UsageFault: a file can't be read, or has rows that are no questions.
    """
    questions: dict[str, tuple[Question, ...]] = {}
    read: list[DataFile] = []
    for config in configs:
        files = parquet_files(folder, config, split)
        read += files
        for subject, rows in _by_subject(config, files).items():
            questions[subject] = to_questions(subject, rows, name=f"{config}/{split}")
    return questions, read


def _by_subject(config: str, files: list[DataFile]) -> dict[str, list[Row]]:
    subjects: dict[str, list[Row]] = {}
    for record in parquet_rows(files, _COLUMNS) if files else []:
        subject = str(record["subject"]) if config == ALL else name_of(Path(config))
        rows = subjects.setdefault(subject, [])
        rows.append(_row(record, f"{subject} row {len(rows)}"))
    return subjects


def _row(record: dict[str, Any], where: str) -> Row:
    answer = record["answer"]
    return Row(
        # A missing text is an empty one, which is refused with its row.
        text=record["question"] or "",
        options=tuple(choice or "" for choice in record["choices"] or ()),
        answer=answer if isinstance(answer, int) else None,
        where=where,
    )
