"""The table of a history for a terminal or a log: a block a metric, a row a run or commit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from quantgate.comparing.history import History, Series
from quantgate.report.compare_table import NONE, metric_title
from quantgate.report.escape import ascii_only, plain
from quantgate.report.numbers import change, digits_for, figure, percent
from quantgate.report.text_table import Column, TextTable

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = ("run or commit", "time (UTC)", "at commit", "value", "standard error", "change")


def print_history(history: History, console: Console) -> None:
    """Print the table and what was left out; colours only on a terminal."""
    right = {"value", "standard error", "change"}
    table = TextTable([Column(name, right=name in right) for name in HEADINGS], console)
    for series in history.series:
        table.add((title(series), "bold"))
        for cells in rows(history, series):
            table.add(*cells, indent="  ")
    table.print()
    clean = plain if console.is_terminal else ascii_only
    for note in history.notes:
        console.print(clean(note), markup=False, highlight=False, soft_wrap=True)


def title(series: Series) -> str:
    """Name a series: `tiny-int4-ort-cpu mmlu accuracy`."""
    return f"{series.case_id} {metric_title(series.task, series.metric)}"


def rows(history: History, series: Series) -> Iterator[tuple[str, ...]]:
    """The cells of a series under `HEADINGS`, raw."""
    shown = {percent(p.value, series.unit) for p in series.points if math.isfinite(p.value)}
    digits = digits_for(*shown)
    changes = [NONE, *_changes(series)]
    for point, changed in zip(series.points, changes, strict=True):
        moment = history.moments[point.place]
        yield (
            moment.label,
            f"{moment.time:%Y-%m-%d %H:%M}",
            moment.commit or NONE,
            figure(point.value, series.unit, digits),
            NONE if point.stderr is None else change(point.stderr, series.unit),
            changed,
        )


def _changes(series: Series) -> Iterator[str]:
    for before, now in pairwise(series.points):
        if now.unlike:
            yield "other data"
            continue
        delta = now.value - before.value
        sign = "-" if delta < 0 else "+" if delta else ""
        yield f"{sign}{change(abs(delta), series.unit)}"
