"""The table of greedy answers beside the reference's: how far they match, and what ended them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from quantgate.report.escape import ascii_only, plain
from quantgate.report.numbers import FRACTION, figure
from quantgate.results import Measurement

if TYPE_CHECKING:
    from rich.console import Console

TASK = "generation"
HEADINGS = ("case", "held against", "matched", "identical", "parts at", "ended by", "reference's")


def print_generation(measurements: Iterable[Measurement], console: Console) -> None:
    """Print a row for each case; nothing where nothing was generated."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    found = [each for each in measurements if each.task == TASK]
    if not found:
        return
    in_colour = console.is_terminal
    clean = plain if in_colour else ascii_only
    table = Table(
        box=box.SIMPLE_HEAD if in_colour else box.ASCII,
        highlight=False,
        title="greedy answers beside the reference's",
        title_justify="left",
        title_style="",
    )
    for heading in HEADINGS:
        right = heading in {"matched", "identical"}
        table.add_column(
            heading,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=heading in {"case", "held against"},
        )
    for measurement in found:
        table.add_row(*(Text(clean(cell)) for cell in cells(measurement)))
    console.print(table)


def cells(measurement: Measurement) -> tuple[str, ...]:
    """Return the texts of a row, as many as there are headings."""
    detail = measurement.detail
    identical = measurement.score("identical")
    ended = detail.get("ended", {})
    return (
        measurement.case_id,
        str(detail.get("reference", "")),
        figure(measurement.score("matched_share").value, FRACTION),
        f"{round(identical.value * identical.n)} of {identical.n}",
        parting(detail.get("generations", ())),
        _endings(ended.get("candidate", {})),
        _endings(ended.get("reference", {})),
    )


def parting(generations: Iterable[Mapping[str, Any]]) -> str:
    """Say at which token the answers that part do so: `token 12 (median), 3 (first)`."""
    places = [int(each["matched"]) + 1 for each in generations if not each["identical"]]
    if not places:
        return "nowhere"
    return f"token {median(places):g} (median), {min(places)} (first)"


def _endings(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
