"""The tables of speed, memory and size: what each case comes to, and its ratio to the reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from quantgate.report.escape import ascii_only, plain
from quantgate.report.numbers import number
from quantgate.results import Measurement

if TYPE_CHECKING:
    from rich.console import Console

SPEED: Final = "speed"
MEMORY: Final = "memory"
_TITLES: Final = {
    SPEED: "speed in tokens/s, and how many times the reference's",
    MEMORY: "memory of a model's process and size on disk in MiB, and how much less than the "
    "reference's",
}
# Heading, metric, ratio, and what the figure is multiplied by.
_GENERATION: Final = ("generation", "generation_tokens_per_s", "generation_speedup", 1.0)
_FIRST: Final = ("first token, ms", "first_token_s", "first_token_speedup", 1000.0)
_READS: Final = "prefill_tokens_per_s."
_MEMORY: Final = tuple(
    (heading, f"{what}_mib", f"{what}_saving", 1.0)
    for heading, what in (
        ("peak", "peak"),
        ("loading", "loading"),
        ("loaded", "resident"),
        ("on disk", "disk"),
    )
)
_Column = tuple[str, str, str, float]


def print_performance(measurements: Iterable[Measurement], console: Console) -> None:
    """Print a table of each that was measured, a row a case."""
    found = list(measurements)
    for task in (SPEED, MEMORY):
        if own := [each for each in found if each.task == task]:
            _print(_TITLES[task], _columns(task, own), own, console)


def _columns(task: str, measurements: Sequence[Measurement]) -> tuple[_Column, ...]:
    if task == MEMORY:
        return _MEMORY
    lengths = {
        int(score.metric.removeprefix(_READS))
        for measurement in measurements
        for score in measurement.scores
        if score.metric.startswith(_READS)
    }
    reads = ((f"prefill {n}", f"{_READS}{n}", f"prefill_speedup.{n}", 1.0) for n in sorted(lengths))
    return (_GENERATION, _FIRST, *reads)


def _print(
    title: str, columns: Sequence[_Column], measurements: Sequence[Measurement], console: Console
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    in_colour = console.is_terminal
    clean = plain if in_colour else ascii_only
    table = Table(
        box=box.SIMPLE_HEAD if in_colour else box.ASCII,
        highlight=False,
        title=title,
        title_justify="left",
        title_style="",
    )
    table.add_column("case", overflow="fold", no_wrap=True)
    for heading, *_ in columns:
        table.add_column(heading, justify="right", overflow="fold")
    for measurement in measurements:
        row = [measurement.case_id, *(_cell(measurement, column) for column in columns)]
        table.add_row(*(Text(clean(cell)) for cell in row))
    console.print(table)


def _cell(measurement: Measurement, column: _Column) -> str:
    """`182 (1.85 x)`; the ratio is left out where a case is held against itself."""
    _, metric, ratio, factor = column
    scores = {score.metric: score.value for score in measurement.scores}
    if metric not in scores:
        return "-"
    shown = _short(scores[metric] * factor)
    if measurement.detail.get("reference") == measurement.case_id or ratio not in scores:
        return shown
    return f"{shown} ({number(scores[ratio])} x)"


def _short(value: float) -> str:
    """Three significant digits, as they are worth of a time or a size."""
    return number(value, 0 if value >= 100 else 1) if value >= 10 else number(value)
