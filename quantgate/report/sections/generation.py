"""Greedy answers beside the reference's: how far they match, and where they part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quantgate.report.generation import HEADINGS, cells
from quantgate.report.sections.parts import MISSING, Table, attempt, table
from quantgate.report.sections.sides import Side, Sides

_COLUMNS: Final = ("generation", "token", "of", "the reference goes on", "the candidate goes on")


@dataclass(frozen=True, slots=True)
class Partings:
    """The generations of one case in which it parts from its reference."""

    case_id: str
    table: Table


@dataclass(frozen=True, slots=True)
class Generated:
    """All cases that generated."""

    table: Table
    partings: tuple[Partings, ...]
    remarks: tuple[str, ...]


def generation(sides: Sides) -> Generated | None:
    """Return the section; None where nothing was generated."""
    found = sides.of("generation")
    if not found:
        return None
    partings, rows, remarks = [], [], []
    for side in found:
        row, fault = attempt(cells, side.measurement)
        listed, damage = attempt(_partings, side)
        rows.append(row or (side.case_id, *(MISSING,) * (len(HEADINGS) - 1)))
        if listed is not None and listed.table.rows:
            partings.append(listed)
        if told := fault or damage:
            remarks.append(f"{side.case_id}: {told}")
    words = {number for number, name in enumerate(HEADINGS) if name not in {"matched", "identical"}}
    figures = table("Greedy answers beside the reference's", HEADINGS, rows, words=words)
    return Generated(figures, tuple(partings), tuple(remarks))


def _partings(side: Side) -> Partings:
    """Those that part, the soonest first."""
    rows = [each for each in side.measurement.detail["generations"] if not each["identical"]]
    rows.sort(key=lambda each: int(each["matched"]))
    title = f"Where {side.case_id} parts from its reference"
    return Partings(side.case_id, table(title, _COLUMNS, map(_row, rows), words={0, 3, 4}))


def _row(generation: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(generation["name"]),
        f"{int(generation['matched']) + 1:,}",
        f"{int(generation['tokens']):,}",
        str(generation["reference"]) or MISSING,
        str(generation["candidate"]) or MISSING,
    )
