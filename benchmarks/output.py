"""How the benchmarks print and keep what they measured.

A benchmark's JSON file holds the machine's facts, its "options", its "results" in a form of its
own, and under "page" what `docs/performance.md` shows of it, in the one form that `page` makes.
What is printed and what is on the page come from the same rows, through the same `shown`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantgate import provenance

Row = Mapping[str, object]
NOTHING = "-"


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    Attributes:
        title: of the table: what it is about, and at which size and precision.
        rows: by heading.
        note: what a reader must know to read the figures rightly.
    """

    title: str
    rows: Sequence[Row]
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """How a figure grows.

    Attributes:
        title: what grows with what.
        x: the axis, with its unit.
        y: the axis, with its unit.
        series: `[x, y]` points by the name of what was measured.
        log_x: whether the axis is logarithmic.
        log_y: whether the axis is logarithmic.
    """

    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[Sequence[float]]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class PageTarget:
    """A ratio aimed at; more is better.

    Attributes:
        what: is compared with what, so that it stands on its own in a table of all of them.
        ratio: measured.
        wanted: the least that is aimed at.
        ours: the side of quantgate that was measured, where a side of another tool was, too.
        peer: that other side; "" of a share of what a machine can do.
    """

    what: str
    ratio: float
    wanted: float
    ours: str = ""
    peer: str = ""

    @property
    def reached(self) -> bool:
        """Whether it is; a ratio that isn't a number is none."""
        return bool(self.ratio >= self.wanted)


def page(
    tables: Sequence[PageTable] = (),
    curves: Sequence[Curve] = (),
    targets: Sequence[PageTarget] = (),
) -> dict[str, Any]:
    """What a benchmark has for the page, JSON-ready; it goes under "page" into `write_json`."""
    return {
        "tables": [{"title": t.title, "note": t.note, "rows": list(t.rows)} for t in tables],
        "curves": [
            {
                "title": c.title,
                "x": c.x,
                "y": c.y,
                "log_x": c.log_x,
                "log_y": c.log_y,
                "series": {name: [list(p) for p in points] for name, points in c.series.items()},
            }
            for c in curves
        ],
        "targets": [
            {
                "what": t.what,
                "ratio": t.ratio,
                "wanted": t.wanted,
                "reached": t.reached,
                "ours": t.ours,
                "peer": t.peer,
            }
            for t in targets
        ],
    }


def print_page(content: Mapping[str, Any]) -> None:
    """Print the tables and targets that `page` made."""
    for table in content["tables"]:
        print(f"\n{table['title']}")
        print_table(table["rows"])
        if table["note"]:
            print(table["note"])
    if content["targets"]:
        print()
        names = ("what", "ratio", "wanted", "reached")
        print_table([{name: target[name] for name in names} for target in content["targets"]])


def print_table(rows: Sequence[Row]) -> None:
    """Print rows under their headings, numbers to the right."""
    if not rows:
        return
    names = headings(rows)
    cells = [names, *([shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    for line in cells:
        padded = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())


def headings(rows: Sequence[Row]) -> list[str]:
    """Every heading, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row))


def shown(value: object) -> str:
    """A cell: four significant digits, a truth value in words, `-` where there is none."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def write_json(path: Path | None, benchmark: str, results: Mapping[str, Any]) -> None:
    """Write `results` with the machine's facts, where a file is wanted."""
    if path is None:
        return
    document = {"benchmark": benchmark, "machine": machine(), **results}
    path.write_text(json.dumps(document, indent=2, default=_plain) + "\n", "utf-8")


def machine() -> dict[str, Any]:
    """Facts of this machine and process: processor, memory, versions, commit, time."""
    import psutil

    return {**provenance.collect(), "memory_mib": psutil.virtual_memory().total / 2**20}


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's."""
    return value.item() if hasattr(value, "item") else float(value)
