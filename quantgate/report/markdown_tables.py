"""Tables of decisions in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from quantgate.report import cells
from quantgate.report.digest import Judged
from quantgate.report.escape import markdown_cell, markdown_code
from quantgate.report.fitting import Rows, Section

COLUMNS: Final = (
    "case",
    "metric",
    "value",
    "held against",
    "change (95 % CI)",
    "allowed",
    "smallest detectable",
    "is it noise?",
)
LEGEND: Final = (
    "An interval is that of the change over the same questions or windows. It is no noise where p, "
    "the probability of so large a change by chance, is below 0.05. The smallest detectable change "
    "for the worse is what a run of this size finds four times in five."
)
PASSES: Final = ("case", "metric", "value", "held against", "change", "allowed", "verdict")
FAULTS: Final = ("case", "metric", "why")
_RIGHT: Final = frozenset(COLUMNS[2:7]) | {"change"}


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Judged],
    row: Callable[[Judged], str],
    *,
    folded: bool = False,
) -> list[Section]:
    """A table under its title, or folded behind it; no section where it has no row."""
    if not rows:
        return []
    rule = "|".join("---:" if column in _RIGHT else "---" for column in columns)
    opened = f"<details><summary>{title}: {len(rows):,}</summary>" if folded else f"### {title}"
    return [
        Section(
            head=f"{opened}\n\n|{'|'.join(columns)}|\n|{rule}|\n",
            rows=Rows(rows, row),
            tail="\n</details>\n" if folded else "",
        )
    ]


def figures_row(judged: Judged, *more: Sequence[str]) -> str:
    """Everything about a change, by `COLUMNS`; `more` are further columns."""
    return _row(
        judged,
        (cells.value(judged),),
        (cells.held_against(judged),),
        cells.delta(judged),
        cells.allowed(judged),
        (cells.detectable(judged),),
        cells.noise(judged),
        *more,
    )


def unclear_row(judged: Judged) -> str:
    """`COLUMNS`, and why that isn't enough."""
    return figures_row(judged, (judged.decision.reason,))


def reason_row(judged: Judged) -> str:
    """By `FAULTS`."""
    return _row(judged, (judged.decision.reason,))


def passes_row(judged: Judged) -> str:
    """By `PASSES`."""
    return _row(
        judged,
        (cells.value(judged),),
        (cells.held_against(judged),),
        cells.delta(judged)[:1],
        cells.allowed(judged)[:1],
        (cells.told(judged),),
    )


def _row(judged: Judged, *columns: Sequence[str]) -> str:
    """Case, metric and further columns of one or more lines each."""
    listed = ((cells.measured(judged),), *columns)
    told = ("<br>".join(map(markdown_cell, lines)) for lines in listed)
    return f"|{markdown_code(judged.decision.case_id)}|{'|'.join(told)}|"
