"""How the divergence is spread over positions: a histogram, and its percentiles.

Both have the divergence in nats on a logarithmic scale, since it spans many powers of ten: the
typical position and the rare bad one are in one picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quantgate.report.charts.style import (
    DASHES,
    MARKERS,
    SERIES,
    draw,
    light,
    power_of_ten,
    rule,
    series_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT: Final = 270
_TICKS: Final = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
_LEAST: Final = 10.0  # the axis of nats begins about here
_LAST: Final = 4.6  # where the largest of all is drawn, right of 99.99


@dataclass(frozen=True, slots=True)
class Spread:
    """The divergence of one candidate.

    Attributes:
        number: which series it is, from 0.
        edges: of the histogram's bins, decimal logarithms of nats, `[bins + 1]`.
        counts: positions in each bin, `[bins]`.
        positions: how many there are in all, those outside the bins included.
        percentiles: pairs of a per cent and nats.
    """

    number: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    positions: int
    percentiles: tuple[tuple[float, float], ...]


def histogram_chart(spreads: Sequence[Spread], *, ident: str, title: str) -> str:
    """Return the histograms as outlines over each other, in per cent of positions a bin."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rule(axes, "y")
        for spread in spreads:
            shares = [100 * count / spread.positions for count in spread.counts]
            name = series_name(spread.number)
            axes.stairs(
                shares,
                spread.edges,
                color=light(name),
                linestyle=DASHES[spread.number % SERIES],
                linewidth=1.6,
            )
            axes.stairs(shares, spread.edges, fill=True, color=light(name), alpha=0.1)
        low, high = _filled(spreads)
        axes.set_xlim(low, high)
        axes.set_ylim(bottom=0)
        _power_labels(axes, low, high)
        axes.set_xlabel("KL divergence at a position, nats")
        axes.set_ylabel("positions a bin, %")

    return draw(
        paint,
        height=_HEIGHT,
        ident=ident,
        title=title,
        description=f"Histogram of the divergence at each position, {len(spreads)} candidates "
        "overlaid, on a logarithmic axis in nats. The table beside it has the percentiles.",
    )


def percentile_chart(spreads: Sequence[Spread], *, ident: str, title: str) -> str:
    """Return the percentile curves; the axis of percentiles is stretched towards the worst."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rule(axes, "y")
        for spread in spreads:
            points = [(_tail(q), nats) for q, nats in spread.percentiles if nats > 0]
            axes.plot(
                [x for x, _ in points],
                [nats for _, nats in points],
                color=light(series_name(spread.number)),
                linestyle=DASHES[spread.number % SERIES],
                marker=MARKERS[spread.number % SERIES],
                markersize=3.5,
            )
        # The very smallest would take half of the axis and matter to nobody.
        shown = [nats for s in spreads for q, nats in s.percentiles if q >= _LEAST and nats > 0]
        if shown:
            axes.set_ylim(min(shown) / 2, max(shown) * 2)
        _logarithmic(axes)
        axes.set_xlim(-0.08, _LAST + 0.15)
        names = [*(f"{q:g}" for q in _TICKS), "max"]
        axes.set_xticks([*map(_tail, _TICKS), _LAST], names)
        axes.set_xlabel("percentile of positions")
        axes.set_ylabel("KL divergence, nats")

    return draw(
        paint,
        height=_HEIGHT,
        ident=ident,
        title=title,
        description=f"Divergence by percentile of positions, {len(spreads)} candidates, in nats "
        "on a logarithmic axis. The table beside it has the figures.",
    )


def _tail(percent: float) -> float:
    """Place of a percentile: each step of one leaves a tenth of the positions above it."""
    return _LAST if percent >= 100 else min(_LAST, -math.log10(1 - percent / 100))


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.minorticks_off()
    powers = _powers(*map(math.log10, axes.get_ylim()))
    axes.set_yticks([10.0**power for power in powers], [power_of_ten(power) for power in powers])


def _filled(spreads: Sequence[Spread]) -> tuple[float, float]:
    """The range of bins that hold at least one position in a thousand in some candidate."""
    ends = [
        (spread.edges[bin_], spread.edges[bin_ + 1])
        for spread in spreads
        for bin_, count in enumerate(spread.counts)
        if count >= max(1, spread.positions / 1000)
    ]
    if not ends:
        return spreads[0].edges[0], spreads[0].edges[-1]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _power_labels(axes: Axes, low: float, high: float) -> None:
    powers = _powers(low, high)
    axes.set_xticks(powers, [power_of_ten(power) for power in powers])


def _powers(low: float, high: float) -> range:
    """Whole powers of ten between two, every one of them or every second, third, ..."""
    first, last = math.ceil(low), math.floor(high)
    return range(first, last + 1, max(1, math.ceil((last - first) / 6)))
