"""How the benchmarks print and keep what they measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantgate import provenance


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows with equal keys under their keys, numbers to the right."""
    if not rows:
        return
    names = list(rows[0])
    cells = [names, *([_text(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    for line in cells:
        padded = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def write_json(path: Path | None, benchmark: str, results: Mapping[str, Any]) -> None:
    """Write `results` with the machine's facts, where a file is wanted."""
    if path is None:
        return
    document = {"benchmark": benchmark, "machine": provenance.collect(), **results}
    path.write_text(json.dumps(document, indent=2, default=float) + "\n", "utf-8")
