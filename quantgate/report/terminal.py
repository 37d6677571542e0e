"""The table of a run for a terminal or a log: one row a decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from quantgate.gate.tolerances import RATIO, RELATIVE, SIGNIFICANT, THREE_STATE
from quantgate.report.console import as_log
from quantgate.report.numbers import FRACTION, change, figure, percent
from quantgate.report.text_table import Column, TextTable
from quantgate.results import Decision, Measurement, Tolerance, Verdict

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = ("case", "metric", "value", "reference", "delta", "tolerance", "verdict")
_STYLES = {
    Verdict.PASS: "green",
    Verdict.REGRESSION: "bold red",
    Verdict.INVALID: "bold magenta",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NO_BASELINE: "yellow",
}
_NONE = "-"


def print_table(
    decisions: Iterable[Decision], measurements: Iterable[Measurement], console: Console
) -> None:
    """Print the table to `console`: colours and lines on a terminal, plain ASCII elsewhere."""
    units = {(m.case_id, m.task, s.metric): s.unit for m in measurements for s in m.scores}
    right, whole = {"value", "reference", "delta", "tolerance"}, {"verdict"}
    columns = [Column(name, right=name in right, whole=name in whole) for name in HEADINGS]
    table = TextTable(columns, console)
    for decision in decisions:
        unit = units.get((decision.case_id, decision.task, decision.metric), "")
        style = "yellow" if decision.at_risk else _STYLES[decision.verdict]
        table.add(*_cells(decision, unit), (_verdict(decision), style))
    table.print()


def render_table(
    decisions: Iterable[Decision], measurements: Iterable[Measurement], width: int = 120
) -> str:
    """Return the table as ASCII text of at most `width` columns, for logs and files."""
    return as_log(lambda console: print_table(decisions, measurements, console), width)


def _verdict(decision: Decision) -> str:
    return f"{decision.verdict} (at risk)" if decision.at_risk else decision.verdict.value


def _cells(decision: Decision, unit: str) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return _NONE if value is None else figure(value, unit)

    return (
        decision.case_id,
        _measured(decision),
        shown(decision.value),
        shown(decision.reference),
        _delta(decision, unit),
        _tolerance(decision, unit),
    )


def _measured(decision: Decision) -> str:
    """Name task and metric: `mmlu accuracy`, and `perplexity strided` where both say the same."""
    suite, _, protocol = decision.task.partition(".")
    return " ".join(
        filter(None, (suite, protocol, "" if decision.metric == suite else decision.metric))
    )


def _delta(decision: Decision, unit: str) -> str:
    """Word the change against what it was held against; `b` the baseline, `r` the reference."""
    if decision.delta is None:
        return _NONE
    text = change(abs(decision.delta), unit)
    sign = "-" if percent(decision.delta, unit) < 0 else "+"
    return f"{sign}{text} ({decision.against[:1]})"


def _tolerance(decision: Decision, unit: str) -> str:
    return _NONE if decision.tolerance is None else tolerance_words(decision.tolerance, unit)


def tolerance_words(tolerance: Tolerance, unit: str) -> str:
    """Word a tolerance in a few characters; `unit` is its metric's."""
    size = tolerance.value
    if tolerance.kind == RELATIVE:
        return figure(size, FRACTION)
    if tolerance.kind == RATIO:
        return f">= {figure(size, FRACTION)} kept"
    if tolerance.kind == THREE_STATE and tolerance.at_risk is not None:
        return f"{figure(size, FRACTION)} / {figure(tolerance.at_risk, FRACTION)}"
    if tolerance.kind == SIGNIFICANT:
        # A perplexity's is on the scale of its pairs.
        return f"{change(size, 'nats' if unit == 'perplexity' else unit)} at 95 %"
    return change(size, unit)
