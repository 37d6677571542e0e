r"""Local data sets that lm-eval's own tasks read in place of the hub's.

A folder with a card (`README.md`) that names configurations and splits is what `load_dataset`
takes for a data set of the hub, so only a task's `dataset_path` changes: its configuration names,
templates, shots and metrics stay lm-eval's.

* MMLU, from the authors' CSV files: a configuration per subject, splits `test` and `dev`, columns
  `question`, `subject`, `choices`, `answer` (0 to 3), texts exactly as the files have them.
* WikiText by pages: a page goes from one heading of the first level (a line ` = Title = `) to the
  end of the line before the next; the line break between two pages is in neither. Column `page`,
  text exactly as the file has it. What stands before the first heading is in no page.

    python -m benchmarks.peers.local_data --mmlu DIR --wikitext FILE --out DIR
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.shares import fixed_part

LETTERS = "ABCD"
SUBJECTS = ("abstract_algebra", "anatomy", "nutrition", "professional_law")
SPLITS = ("dev", "test")
WIKITEXT_CONFIG = "wikitext-2-raw-v1"


def write_mmlu(csv_root: Path, subjects: Sequence[str], folder: Path, *, share: int = 1) -> Path:
    """Write the subjects' data set into `folder` and return it.

    Of the test questions only the fixed part (see `shares`) is written, of the others all.
    """
    files: dict[str, dict[str, str]] = {}
    for subject in subjects:
        files[subject] = {split: f"{subject}/{split}.jsonl" for split in SPLITS}
        for split, name in files[subject].items():
            source = csv_root / split / f"{subject}_{split}.csv"
            rows = list(_questions(source, subject))
            _write_lines(folder / name, fixed_part(rows, share if split == "test" else 1))
    _write_card(folder, files)
    return folder


def _questions(source: Path, subject: str) -> Iterable[dict[str, Any]]:
    with source.open(encoding="utf-8-sig", newline="") as lines:
        for question, *choices, letter in csv.reader(lines):
            if len(choices) != len(LETTERS):
                raise SystemExit(f"{source}: {len(choices)} choices in {question[:60]!r}")
            answer = LETTERS.index(letter)
            yield {"question": question, "subject": subject, "choices": choices, "answer": answer}


def pages(text: str) -> list[str]:
    """The text's pages, each from its heading on."""
    lines = text.split("\n")
    begins = [number for number, line in enumerate(lines) if _is_title(line)]
    ends = [*begins[1:], len(lines)]
    return ["\n".join(lines[a:b]) for a, b in zip(begins, ends, strict=False)]


def _is_title(line: str) -> bool:
    text = line.strip().replace("= =", "==")
    return text.startswith("= ") and text.endswith(" =")


def read_pages(source: Path) -> list[str]:
    """The pages of a file, line ends as they are."""
    return pages(source.read_bytes().decode("utf-8"))


def write_wikitext(source: Path, folder: Path, limit: int | None = None) -> Path:
    """Write the first pages' data set (all without a limit) into `folder` and return it."""
    found = read_pages(source)[:limit]
    if not found:
        raise SystemExit(f"{source}: no heading ` = Title = `, so no page")
    _write_lines(folder / "test.jsonl", ({"page": page} for page in found))
    # The task names three splits and opens them all; it scores `test` and takes no shots.
    splits = dict.fromkeys(("train", "validation", "test"), "test.jsonl")
    _write_card(folder, {WIKITEXT_CONFIG: splits})
    return folder


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _write_card(folder: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    """The card's YAML header, as JSON, which YAML contains."""
    configs = [
        {
            "config_name": name,
            "data_files": [{"split": split, "path": path} for split, path in splits.items()],
        }
        for name, splits in files.items()
    ]
    header = json.dumps({"configs": configs}, indent=1)
    (folder / "README.md").write_text(f"---\n{header}\n---\n", "utf-8")


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mmlu", type=Path, help="folder with test/ and dev/ of the CSV layout")
    parser.add_argument("--subjects", nargs="+", default=None, help="default: all in test/")
    parser.add_argument("--wikitext", type=Path, help="the text, a paragraph a line")
    parser.add_argument("--pages", type=int, default=None, help="only the first so many pages")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.mmlu:
        tests = sorted(path.name for path in (options.mmlu / "test").glob("*_test.csv"))
        subjects = options.subjects or [name.removesuffix("_test.csv") for name in tests]
        print(write_mmlu(options.mmlu, subjects, options.out / "mmlu"))
    if options.wikitext:
        print(write_wikitext(options.wikitext, options.out / "wikitext", options.pages))


if __name__ == "__main__":
    main()
