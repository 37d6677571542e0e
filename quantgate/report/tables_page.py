"""Tables of a comparison or a history as one HTML page, in the dress of `report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from quantgate import __version__
from quantgate.comparing.comparison import Comparison, Outcome, Row
from quantgate.comparing.history import History
from quantgate.report import compare_table, history_table
from quantgate.report.charts.history import history_chart
from quantgate.report.charts.style import COLOURS, SERIES
from quantgate.report.html import content_policy, environment, trusted

# Classes of the style sheet, which are named after verdicts.
_TONES = {
    Outcome.WORSE: "v-regression",
    Outcome.BETTER: "v-pass",
    Outcome.UNLIKE: "v-inconclusive",
    Outcome.GONE: "v-inconclusive",
    Outcome.NEW: "v-inconclusive",
}
_WORDS = frozenset({"metric", "method", "outcome", "run or commit", "paired change, 95 % interval"})


@dataclass(frozen=True, slots=True)
class TableRow:
    """Raw cells, and a class of the style sheet for the last one."""

    cells: tuple[str, ...]
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A raw title and its rows."""

    title: str
    rows: tuple[TableRow, ...]


def render_comparison(comparison: Comparison) -> str:
    """Return the page of a comparison: a table a case."""
    tables = [
        Table(case, tuple(map(_compared, rows)))
        for case, rows in groupby(comparison.rows, key=lambda row: row.case)
    ]
    return _render(
        tables,
        title="Comparison",
        lead=f"{comparison.now}, compared with {comparison.before}.",
        headings=(*compare_table.HEADINGS[:-1], "p", "method", "outcome"),
        remarks=compare_table.remarks(comparison),
    )


def render_history(history: History) -> str:
    """Return the page of a history: its chart, then a table a metric and case."""
    tables = [
        Table(
            history_table.title(series),
            tuple(TableRow(cells) for cells in history_table.rows(history, series)),
        )
        for series in history.series
    ]
    return _render(
        tables,
        title="History",
        lead=f"{len(history.moments)} runs or commits, the oldest first.",
        headings=history_table.HEADINGS,
        remarks=history.notes,
        chart=history_chart(history, ident="history") if history.series else "",
    )


def _compared(row: Row) -> TableRow:
    *cells, outcome = compare_table.cells(row)
    p_value = compare_table.NONE if row.p_value is None else f"{row.p_value:.2g}"
    method = compare_table.NONE if row.evidence is None else row.evidence.method
    return TableRow((*cells, p_value, method, outcome), _TONES.get(row.outcome, ""))


def _render(
    tables: Sequence[Table],
    *,
    title: str,
    lead: str,
    headings: Sequence[str],
    remarks: Sequence[str],
    chart: str = "",
) -> str:
    engine = environment()
    style = engine.get_template("style.css").render(colours=COLOURS, series=SERIES)
    return engine.get_template("tables.html").render(
        title=title,
        lead=lead,
        headings=headings,
        words=_WORDS,
        tables=tables,
        remarks=remarks,
        chart=trusted(chart),
        version=__version__,
        style=trusted(style),
        policy=content_policy(style),
    )
