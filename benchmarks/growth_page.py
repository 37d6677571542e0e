"""Growth curves as tables and curves of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.growth_side import FULL, OURS
from benchmarks.output import Curve, PageTable, page

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Growth:
    """A curve.

    Attributes:
        name: short.
        x: what it grows with; the axis.
        unit: what a time is divided by in the table, and on the curve where it is a token.
        log: whether both axes are logarithmic.
        on: which model is measured, for the note.
    """

    name: str
    x: str
    unit: str
    log: bool = False
    on: str = ""


def page_content(growths: Sequence[Growth], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Tables and curves of the growths that were measured.

    Args:
        growths: in the page's order.
        rows: by name of the growth; each with `x`, `count`, `tokens`, and seconds and MiB beyond
            the loaded model of both sides.
    """
    there = [growth for growth in growths if rows.get(growth.name)]
    tables = [_table(growth, rows[growth.name]) for growth in there]
    curves = [curve for growth in there for curve in _curves(growth, rows[growth.name])]
    return page(tables, curves)


def _per_unit(growth: Growth, row: Row) -> float:
    return float(row["tokens"] if growth.unit == "token" else row["count"])


def _table(growth: Growth, rows: Sequence[Row]) -> PageTable:
    shown = [
        {
            growth.x: row["x"],
            f"{FULL} ms/{growth.unit}": 1e3 * row[f"{FULL} s"] / _per_unit(growth, row),
            f"{OURS} ms/{growth.unit}": 1e3 * row[f"{OURS} s"] / _per_unit(growth, row),
            "ratio": row[f"{FULL} s"] / row[f"{OURS} s"],
            f"{FULL} MiB": row[f"{FULL} MiB"],
            f"{OURS} MiB": row[f"{OURS} MiB"],
        }
        for row in rows
    ]
    note = f"Measured on {growth.on}. MiB: peak memory beyond the loaded model."
    return PageTable(f"Cost by {growth.x}", shown, note)


def _curves(growth: Growth, rows: Sequence[Row]) -> list[Curve]:
    """Time and memory; time by the token where tokens don't grow with x."""
    by_token = growth.unit == "token"

    def time(row: Row, side: str) -> float:
        seconds = float(row[f"{side} s"])
        return 1e3 * seconds / float(row["tokens"]) if by_token else seconds

    return [
        Curve(
            title=f"Time by {growth.x}",
            x=growth.x,
            y="milliseconds a token" if by_token else "seconds",
            series={side: [[row["x"], time(row, side)] for row in rows] for side in (OURS, FULL)},
            log_x=growth.log,
            log_y=growth.log,
        ),
        Curve(
            title=f"Memory by {growth.x}",
            x=growth.x,
            y="MiB beyond the loaded model",
            series={
                side: [[row["x"], row[f"{side} MiB"]] for row in rows] for side in (OURS, FULL)
            },
            log_x=growth.log,
            log_y=growth.log,
        ),
    ]
