"""Perplexity along the text: each window's, and below it how far candidates are from the reference.

The line of each candidate's whole change has its 95 % interval as a band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from quantgate.report.charts.style import DASHES, SERIES, draw, light, rule, series_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT: Final = 330


@dataclass(frozen=True, slots=True)
class Along:
    """One candidate's text, window by window.

    Attributes:
        number: which series it is, from 0.
        perplexity: of each window, `[windows]`.
        change: of each window, relative to the reference, `[windows]`.
        overall: the relative change over the text.
        low: lower end of its two-sided 95 % interval.
        high: its upper end.
    """

    number: int
    perplexity: tuple[float, ...]
    change: tuple[float, ...]
    overall: float
    low: float
    high: float


MOST: Final = 3  # candidates in one chart; the lines of more can't be told apart


def windows_chart(
    places: Sequence[float],
    reference: Sequence[float],
    candidates: Sequence[Along],
    *,
    axis: str,
    ident: str,
    title: str,
) -> str:
    """Return the chart.

    Args:
        places: where each window begins, and where the last one ends, `[windows + 1]`.
        reference: perplexity of the reference in each window, `[windows]`.
        candidates: those held against it.
        axis: what `places` counts, with its unit.
        ident: what the SVG's ids begin with.
        title: the chart's accessible name.
    """

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
        _paint_levels(above, places, reference, candidates)
        _paint_changes(below, places, candidates)
        below.set_xlabel(axis)
        below.set_xlim(places[0], places[-1])
        below.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        below.locator_params(axis="x", nbins=6)
        figure.align_ylabels()

    return draw(
        paint,
        height=_HEIGHT,
        ident=ident,
        title=title,
        description=f"Perplexity of {len(reference)} windows along the text for the reference and "
        f"{len(candidates)} candidates; below it the change of each window against the reference "
        "in per cent, with the change over the text and its 95 % interval. The table beside it "
        "has the figures.",
    )


def _paint_levels(
    axes: Axes, places: Sequence[float], reference: Sequence[float], candidates: Sequence[Along]
) -> None:
    rule(axes, "y")
    axes.stairs(reference, places, baseline=None, color=light("ink"), linewidth=2)
    for each in candidates:
        axes.stairs(
            each.perplexity,
            places,
            baseline=None,
            color=light(series_name(each.number)),
            linestyle=DASHES[each.number % SERIES],
            linewidth=1.1,
        )
    axes.set_ylabel("perplexity")


def _paint_changes(axes: Axes, places: Sequence[float], candidates: Sequence[Along]) -> None:
    rule(axes, "y")
    axes.axhline(0, color=light("ink"), linewidth=1)
    middles = [(begin + end) / 2 for begin, end in pairwise(places)]
    for each in candidates:
        colour = light(series_name(each.number))
        axes.axhspan(100 * each.low, 100 * each.high, color=colour, alpha=0.18, linewidth=0)
        dashes = DASHES[each.number % SERIES]
        axes.axhline(100 * each.overall, color=colour, linestyle=dashes, linewidth=1.6)
        shown = [100 * change for change in each.change]
        axes.plot(middles, shown, color=colour, linewidth=0.8, alpha=0.7)
    axes.set_ylabel("change, %")
