"""The table of a comparison for a terminal or a log: one row a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantgate.comparing.comparison import Comparison, Outcome, Row
from quantgate.gate.evidence import unchanged
from quantgate.report.console import as_log
from quantgate.report.escape import ascii_only, plain
from quantgate.report.numbers import FRACTION, change, digits_for, figure, percent
from quantgate.report.text_table import Column, TextTable
from quantgate.results import Evidence

if TYPE_CHECKING:
    from rich.console import Console

NONE = "-"
HEADINGS = ("metric", "before", "now", "change", "paired change, 95 % interval", "")
_STYLES = {
    Outcome.BETTER: "green",
    Outcome.WORSE: "bold red",
    Outcome.UNLIKE: "yellow",
    Outcome.GONE: "yellow",
    Outcome.NEW: "yellow",
}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the table, then what differs in data, files and environment.

    Colours and lines on a terminal, plain ASCII elsewhere.
    """
    _table(comparison, console).print()
    clean = plain if console.is_terminal else ascii_only
    for line in remarks(comparison):
        console.print(clean(line), markup=False, highlight=False, soft_wrap=True)


def render_comparison(comparison: Comparison, width: int = 132) -> str:
    """Return what `print_comparison` prints to a log of `width` columns."""
    return as_log(lambda console: print_comparison(comparison, console), width)


def cells(row: Row) -> tuple[str, ...]:
    """The cells of a row under `HEADINGS`, raw."""
    return (
        metric_title(row.task, row.metric),
        *_figures(row),
        _change(row),
        NONE if row.evidence is None else paired(row.evidence),
        row.outcome.value,
    )


def remarks(comparison: Comparison) -> list[str]:
    """What makes rows incomparable, each reason once, then notes and drift; raw lines."""
    reasons: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.why:
            reasons.setdefault(row.why, []).append(f"{row.case} {row.task}")
    lines = [
        f"not comparable: {', '.join(dict.fromkeys(rows))}: {why}" for why, rows in reasons.items()
    ]
    lines += [f"note: {note}" for note in comparison.notes]
    if comparison.drift:
        lines.append(f"environment: {'; '.join(comparison.drift)}")
    return lines


def metric_title(task: str, metric: str) -> str:
    """Name task and metric: `mmlu accuracy`, and `perplexity strided` where both say the same."""
    suite, _, protocol = task.partition(".")
    return " ".join(filter(None, (suite, protocol, "" if metric == suite else metric)))


def paired(evidence: Evidence) -> str:
    """Word the paired change: `-0.74 (-1.60 .. +0.12) points, 12 lost, 5 won`."""
    unit = evidence.scale
    if unchanged(evidence) and not evidence.lost:
        return "nothing changed"
    shown = [percent(n, unit) for n in (evidence.delta, evidence.low, evidence.high)]
    digits = digits_for(*shown)
    delta, low, high = (f"{number:+.{digits}f}" for number in shown)
    noun = "points" if unit == FRACTION else unit
    text = f"{delta} ({low} .. {high}) {noun}".rstrip()
    if evidence.lost is None or evidence.won is None:
        return text
    return f"{text}, {evidence.lost} lost, {evidence.won} won"


def _figures(row: Row) -> tuple[str, str]:
    """Both figures, with the digits that tell them apart."""
    known = [percent(n, row.unit) for n in (row.before, row.now) if n is not None]
    digits = digits_for(*known)
    before, now = (
        NONE if number is None else figure(number, row.unit, digits)
        for number in (row.before, row.now)
    )
    return before, now


def _change(row: Row) -> str:
    if row.delta is None:
        return NONE
    sign = "-" if row.delta < 0 else "+" if row.delta else ""
    return f"{sign}{change(abs(row.delta), row.unit)}"


def _table(comparison: Comparison, console: Console) -> TextTable:
    right = {"before", "now", "change"}
    columns = [Column(name, right=name in right) for name in HEADINGS]
    table = TextTable(columns, console, f"compared: {comparison.now} with {comparison.before}")
    case = ""
    for row in comparison.rows:
        if row.case != case:  # a line of its own: its name may be longer than any column
            case = row.case
            table.add((case, "bold"))
        *texts, outcome = cells(row)
        table.add(*texts, (outcome, _STYLES.get(row.outcome, "")), indent="  ")
    return table
