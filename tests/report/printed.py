"""What a printed table of measurements holds."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from rich.console import Console

from quantgate.results import Measurement

Printer = Callable[[Iterable[Measurement], Console], None]


def printed(show: Printer, *measurements: Measurement) -> list[str]:
    """The lines that `show` prints where it isn't a terminal."""
    stream = io.StringIO()
    show(measurements, Console(file=stream, width=200))
    return stream.getvalue().splitlines()


def table_rows(lines: Iterable[str]) -> list[list[str]]:
    """The texts of a table's rows, its headings first."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    return [row for row in cells if row and not row[0].startswith("-")]
