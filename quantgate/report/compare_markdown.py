"""A comparison as GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from quantgate.comparing.comparison import Comparison
from quantgate.report.compare_table import HEADINGS, cells, remarks
from quantgate.report.escape import markdown_cell, markdown_code, markdown_text

_COLUMNS = (*HEADINGS[:-1], "outcome")
_RIGHT = frozenset({"before", "now", "change"})


def render_comparison(comparison: Comparison) -> str:
    """Return a heading, a table for each case and what else a reader must know."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    now, before = markdown_text(comparison.now), markdown_text(comparison.before)
    yield f"## {now}, compared with {before}"
    for case, rows in groupby(comparison.rows, key=lambda row: row.case):
        yield from ("", markdown_code(case), "", _line(_COLUMNS))
        yield _line("--:" if column in _RIGHT else "---" for column in _COLUMNS)
        yield from (_line(map(markdown_cell, cells(row))) for row in rows)
    told = remarks(comparison)
    yield from [""] if told else []
    yield from (f"- {markdown_text(line)}" for line in told)


def _line(cells_: Iterator[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells_)} |"
