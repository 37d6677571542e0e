"""The table of engines that ran the same weights: how far apart their answers are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from quantgate.report.numbers import FRACTION, figure
from quantgate.report.text_table import Column, TextTable, print_task
from quantgate.results import Measurement

if TYPE_CHECKING:
    from rich.console import Console

TASK: Final = "agreement"
TITLE: Final = "differences of log-probabilities between engines, in nats"
COLUMNS: Final = (
    Column("engine", whole=True),
    Column("held against", whole=True),
    Column("max", right=True),
    Column("mean", right=True),
    Column("noise", right=True),
    Column("same top", right=True),
    Column("over"),
)


def print_agreement(measurements: Iterable[Measurement], console: Console) -> None:
    """Print a row for each engine; nothing where no agreement was measured."""
    print_task(TextTable(COLUMNS, console, TITLE), measurements, TASK, _cells)


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
