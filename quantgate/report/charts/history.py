"""A metric over runs or commits: one panel a metric, one line a case, broken where data changed.

The bars are the 95 % interval of each figure by itself; a change between two runs over the same
items is known far better than they tell (`quantgate compare`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from quantgate.comparing.history import History, Point, Series
from quantgate.report.charts.style import DASHES, MARKERS, SERIES, draw, light, rule, series_name
from quantgate.report.charts.svg import label
from quantgate.report.compare_table import metric_title
from quantgate.report.numbers import FRACTION, percent
from quantgate.stats import normal_interval

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL: Final = 190
_LEGEND_LINE: Final = 15
_FRAME: Final = 46
_MOST_TICKS: Final = 8
_ASIDE: Final = 0.06


def history_chart(history: History, *, ident: str) -> str:
    """Return the chart as an `<svg>` element; ValueError where there is no series."""
    if not history.series:
        raise ValueError("a chart needs a series")
    panels = _panels(history.series)
    cases = list(dict.fromkeys(series.case_id for series in history.series))

    def paint(figure: Figure) -> None:
        grid: list[Axes] = list(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0])
        for axes, (title, series) in zip(grid, panels.items(), strict=True):
            rule(axes, "y")
            for one in series:
                _paint_series(axes, one, cases.index(one.case_id), len(cases))
            axes.set_title(label(title, longest=60), loc="left")
            axes.set_ylabel(_unit(series[0].unit))
        _paint_moments(grid[-1], history)
        handles, names = _legend(grid)
        figure.legend(handles, names, loc="outside upper left", frameon=False, fontsize=10)

    return draw(
        paint,
        height=_FRAME + _LEGEND_LINE * len(cases) + _PANEL * len(panels),
        ident=ident,
        title=f"History of {', '.join(panels)}",
        description=f"{len(cases)} cases over {len(history.moments)} runs or commits, the oldest "
        "at the left, each figure with its own 95 % interval. The table has the figures.",
    )


def standalone(svg: str) -> str:
    """Return an inline `<svg>` element as a document of its own."""
    named = '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg.replace("<svg", named, 1)}\n'


def _panels(series: Sequence[Series]) -> dict[str, list[Series]]:
    panels: dict[str, list[Series]] = {}
    for one in series:
        panels.setdefault(metric_title(one.task, one.metric), []).append(one)
    return panels


def _paint_series(axes: Axes, series: Series, number: int, of: int) -> None:
    """Draw a line through each stretch of comparable points, a little beside the other cases'."""
    name, aside = label(series.case_id), _ASIDE * (number - (of - 1) / 2)
    for stretch in _stretches(series.points):
        bars = [_bar(point, series.unit) for point in stretch]
        axes.errorbar(
            [point.place + aside for point in stretch],
            [percent(point.value, series.unit) for point in stretch],
            yerr=([below for below, _ in bars], [above for _, above in bars]),
            color=light(series_name(number)),
            linestyle=DASHES[number % SERIES],
            marker=MARKERS[number % SERIES],
            elinewidth=1,
            capsize=2,
            label=name,
        )
        name = "_nolegend_"


def _stretches(points: Sequence[Point]) -> Iterator[list[Point]]:
    stretch: list[Point] = []
    for point in points:
        if point.unlike and stretch:
            yield stretch
            stretch = []
        stretch.append(point)
    yield stretch


def _bar(point: Point, unit: str) -> tuple[float, float]:
    """How far the interval reaches below and above; a fraction's stays within 0 and 1."""
    if not point.stderr:
        return 0.0, 0.0
    low, high = normal_interval(point.value, point.stderr)
    if unit == FRACTION:
        low, high = max(low, 0.0), min(high, 1.0)
    return percent(point.value - low, unit), percent(high - point.value, unit)


def _legend(grid: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    """One handle a case, though a case may stand in several panels."""
    found: dict[str, Artist] = {}
    for axes in grid:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return list(found.values()), list(found)


def _paint_moments(axes: Axes, history: History) -> None:
    step = -(-len(history.moments) // _MOST_TICKS)
    places = range(0, len(history.moments), step)
    names = [label(history.moments[place].label, longest=14) for place in places]
    axes.set_xticks(list(places), names, rotation=30, ha="right")
    axes.set_xlim(-0.5, len(history.moments) - 0.5)


def _unit(unit: str) -> str:
    return "%" if unit == FRACTION else unit
