"""The table of engines that ran the same weights: how far apart their answers are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from quantgate.report.escape import ascii_only, plain
from quantgate.report.numbers import FRACTION, figure
from quantgate.results import Measurement

if TYPE_CHECKING:
    from rich.console import Console

TASK = "agreement"
HEADINGS = ("engine", "held against", "max", "mean", "noise", "same top", "over")


def print_agreement(measurements: Iterable[Measurement], console: Console) -> None:
    """Print a row for each engine; nothing where no agreement was measured."""
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
        title="differences of log-probabilities between engines, in nats",
        title_justify="left",
        title_style="",
    )
    for heading in HEADINGS:
        right = heading in {"max", "mean", "noise", "same top"}
        table.add_column(
            heading,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=heading in {"engine", "held against"},
        )
    for measurement in found:
        table.add_row(*(Text(clean(cell)) for cell in _cells(measurement)))
    console.print(table)


def _cells(measurement: Measurement) -> tuple[str, ...]:
    largest = measurement.score("max_difference")
    anchor = str(measurement.detail.get("anchor", ""))
    return (
        measurement.case_id,
        "itself" if anchor == measurement.case_id else anchor,
        f"{largest.value:.1e}",
        f"{measurement.score('mean_difference').value:.1e}",
        "-" if largest.noise is None else f"{largest.noise:.1e}",
        figure(measurement.score("top1_agreement").value, FRACTION),
        f"{largest.n:,} targets",
    )
