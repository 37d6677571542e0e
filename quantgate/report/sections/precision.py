"""The precision of every layer, a table a variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quantgate.packages.precision_map import LEGEND, PrecisionMap
from quantgate.report.precision import maps_of
from quantgate.report.sections.parts import MISSING, Table, table
from quantgate.report.sections.sides import Sides
from quantgate.run_file import RunFile

_MOST_MAPS: Final = 40
_MOST_COLUMNS: Final = 24


@dataclass(frozen=True, slots=True)
class Layers:
    """One variant, and what is odd about it; "" where nothing is."""

    table: Table
    warning: str


@dataclass(frozen=True, slots=True)
class Precision:
    """All variants whose packages were read.

    Attributes:
        legend: what the words in the cells mean.
        variants: in the manifest's order.
        remarks: what couldn't be shown.
    """

    legend: str
    variants: tuple[Layers, ...]
    remarks: tuple[str, ...]


def precision(run: RunFile, sides: Sides) -> Precision | None:
    """Return the section; None where the run carries no maps, as older ones don't."""
    order = {case: place for place, case in enumerate(sides.cases)}
    found = maps_of(sorted(run.measurements, key=lambda each: order[each.case_id]))
    if not found.by_name and not found.faults:
        return None
    listed = list(found.by_name.items())
    remarks = [*found.faults]
    if len(listed) > _MOST_MAPS:
        remarks.append(f"{len(listed) - _MOST_MAPS:,} more variants are in results.json.")
    shown = listed[:_MOST_MAPS]
    for name, each in shown:
        if (left := len(each.columns) - _MOST_COLUMNS) > 0:
            remarks.append(f"{left:,} more projections of {name} are in results.json.")
    variants = tuple(_layers(name, each) for name, each in shown)
    return Precision(LEGEND, variants, tuple(remarks))


def _layers(name: str, found: PrecisionMap) -> Layers:
    columns = found.columns[:_MOST_COLUMNS]
    rows = [
        (
            f"{run.span}, Q, K and V differ" if run.mixed else run.span,
            *(run.cells.get(column, MISSING) for column in columns),
        )
        for run in found.runs
    ]
    return Layers(table(name, ("layers", *columns), rows), found.warning)
