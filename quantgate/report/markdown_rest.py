"""What stands at the end of a Markdown report: flipped answers, early stops, origins.

All is read from loosely formed parts of a results file, which may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantgate.report.escape import markdown_cell, markdown_code
from quantgate.report.fitting import Section
from quantgate.run_file import RunFile

FLIPS = ("right_to_wrong", "wrong_to_right", "changed")
_FACTS = ("quantgate", "python", "os", "machine", "git_commit")


def flips(run: RunFile) -> list[Section]:
    """How many answers changed between reference and candidate, by case, the most lost first."""
    found = []
    for measurement in run.measurements:
        counts = _mapping(measurement.detail.get("flips"))
        numbers = [counts.get(name) for name in FLIPS]
        if all(isinstance(number, int) for number in numbers) and any(numbers):
            found.append(
                (measurement.case_id, [number for number in numbers if number is not None])
            )
    found.sort(key=lambda each: -each[1][0])
    if not found:
        return []
    return [
        _folded(
            "Answers that changed against the reference",
            "|case|right to wrong|wrong to right|changed in all|\n|---|---:|---:|---:|\n",
            [
                f"|{markdown_code(case)}|{'|'.join(f'{number:,}' for number in numbers)}|"
                for case, numbers in found
            ],
        )
    ]


def stops(run: RunFile) -> list[Section]:
    """What a sequential run asked of each case before its verdict could no longer change."""
    rows = []
    for measurement in run.measurements:
        told = _mapping(measurement.detail.get("sequential"))
        taken, whole = told.get("taken"), told.get("of")
        if isinstance(taken, int) and isinstance(whole, int):
            case, task = markdown_code(measurement.case_id), markdown_cell(measurement.task)
            rows.append(f"|{case}|{task}|{taken:,}|{whole:,}|")
    if not rows:
        return []
    columns = "|case|task|items asked|of|\n|---|---|---:|---:|\n"
    return [_folded("Decided before the end", columns, rows)]


def origin(run: RunFile) -> list[Section]:
    """When, where and with what the run was made."""
    rows = [f"|{markdown_cell(name)}|{markdown_cell(fact)}|" for name, fact in _facts(run)]
    return [_folded("Where these figures come from", "|what|is|\n|---|---|\n", rows)]


def _folded(title: str, columns: str, rows: Sequence[str]) -> Section:
    head = f"<details><summary>{title}</summary>\n\n{columns}"
    return Section(head=head, rows=rows, tail="\n</details>\n")


def _facts(run: RunFile) -> Iterator[tuple[str, str]]:
    for name in ("started", "ended"):
        if told := run.facts.get(name):
            yield name, str(told)
    provenance = _mapping(run.facts.get("provenance"))
    for name in _FACTS:
        if told := provenance.get(name):
            yield name, str(told)
    cpu = _mapping(provenance.get("cpu"))
    if cpu:
        yield "processor", f"{cpu.get('model')}, {cpu.get('cores')} cores"
    for name, told in _mapping(provenance.get("packages")).items():
        yield str(name), str(told)
    for name, told in _mapping(run.facts.get("options")).items():
        yield str(name), str(told)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
