"""The table of greedy answers beside the reference's: how far they match, and what ended them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from quantgate.report.numbers import FRACTION, figure
from quantgate.report.text_table import Column, TextTable, print_task
from quantgate.results import Measurement

if TYPE_CHECKING:
    from rich.console import Console

TASK: Final = "generation"
TITLE: Final = "greedy answers beside the reference's"
COLUMNS: Final = (
    Column("case", whole=True),
    Column("held against", whole=True),
    Column("matched", right=True),
    Column("identical", right=True),
    Column("parts at"),
    Column("ended by"),
    Column("reference's"),
)
HEADINGS: Final = tuple(column.heading for column in COLUMNS)


def print_generation(measurements: Iterable[Measurement], console: Console) -> None:
    """Print a row for each case; nothing where nothing was generated."""
    print_task(TextTable(COLUMNS, console, TITLE), measurements, TASK, cells)


def cells(measurement: Measurement) -> tuple[str, ...]:
    """Return the texts of a row, as many as there are headings."""
    ended = measurement.detail.get("ended", {})
    return (
        measurement.case_id,
        str(measurement.detail.get("reference", "")),
        *agreement_cells(measurement),
        _endings(ended.get("candidate", {})),
        _endings(ended.get("reference", {})),
    )


def agreement_cells(measurement: Measurement) -> tuple[str, str, str]:
    """Return how much of the answers matches, how many are identical, and where others part."""
    identical = measurement.score("identical")
    return (
        figure(measurement.score("matched_share").value, FRACTION),
        f"{round(identical.value * identical.n)} of {identical.n}",
        parting(measurement.detail.get("generations", ())),
    )


def parting(generations: Iterable[Mapping[str, Any]]) -> str:
    """Say at which token the answers that part do so: `token 12 (median), 3 (first)`."""
    places = [int(each["matched"]) + 1 for each in generations if not each["identical"]]
    if not places:
        return "nowhere"
    return f"token {median(places):g} (median), {min(places)} (first)"


def _endings(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
