"""MMLU in its authors' layout: `dev/<subject>_dev.csv` and `test/<subject>_test.csv`.

No header; columns question, A, B, C, D, answer letter. Read as text and nothing but text: `None`,
`NA`, `nan` and `0.50` are options like any other, where a reader that guesses types loses them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from quantgate.corpus.files import DataFile, name_of, read
from quantgate.corpus.questions import LETTERS, Question, Row, to_questions
from quantgate.errors import UsageFault

_COLUMNS: Final = 6
_ANSWERS: Final = {letter: number for number, letter in enumerate(LETTERS[: _COLUMNS - 2])}


def csv_root(folder: Path) -> Path | None:
    """Return the folder that holds `test/`: the one given or its `data`; None if neither does."""
    for root in (folder, folder / "data"):
        if (root / "test").is_dir():
            return root
    return None


def csv_files(root: Path, split: str) -> dict[str, DataFile]:
    """Read the files of a split (`dev` or `test`), by subject in the order of their names.

    Raises:
        UsageFault: a file can't be read, or its name doesn't end with `_<split>.csv`.
    """
    suffix = f"_{split}.csv"
    paths = {name_of(path): path for path in (root / split).glob("*.csv")}
    names = sorted(name for name in paths if not name.startswith("."))
    strange = [name for name in names if not name.endswith(suffix)]
    if strange:
        raise UsageFault(
            "data-names",
            need=f"files named <subject>{suffix} in {root / split}",
            found=", ".join(strange),
            fix="rename these files, or take them out",
        )
    return {
        subject: read(paths[f"{subject}{suffix}"], f"{split}/{subject}{suffix}")
        for subject in sorted(name.removesuffix(suffix) for name in names)
    }


def parse_csv(subject: str, file: DataFile) -> tuple[Question, ...]:
    """Parse a subject's file, without repair.

    Raises:
        UsageFault: it is no UTF-8, badly quoted, has another number of columns than six, or rows
            that are no questions; the message names the file and its rows and lines.
    """
    rows = [
        Row(
            text=fields[0],
            options=tuple(fields[1:-1]),
            answer=_ANSWERS.get(fields[-1]),
            where=f"row {index} (line {line})",
        )
        for index, (line, fields) in enumerate(_records(file))
    ]
    return to_questions(subject, rows, name=file.name)


def _records(file: DataFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the records with the line each begins on, from 1."""
    # newline="" keeps line breaks inside fields as they are.
    reader = csv.reader(io.StringIO(file.text(), newline=""), strict=True)
    index, line = 0, 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _malformed(file, index, line, str(error)) from error
        if len(fields) != _COLUMNS:
            raise _malformed(file, index, line, f"{len(fields)} columns")
        yield line, fields
        index, line = index + 1, reader.line_num + 1


def _malformed(file: DataFile, index: int, line: int, found: str) -> UsageFault:
    return UsageFault(
        "csv-malformed",
        need=f"{file.name}: six columns (question, A, B, C, D, answer), quoted as RFC 4180 has it",
        found=f"row {index} (line {line}): {found}",
        fix=f"correct line {line} of {file.name}; a field with a comma, a quote or a line break is "
        "quoted, and a quote inside it doubled",
    )
