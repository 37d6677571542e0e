"""What is kept of the reference against what it takes: a point a variant, the front joined.

Filled points are on the Pareto front; the line goes along what can be had: as much is kept at this
size, or at this speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from quantgate.report.charts.labels import SIZE, Box, Place, around, place
from quantgate.report.charts.style import MARKERS, SERIES, WIDTH, draw, light, rule, series_name
from quantgate.report.charts.svg import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT: Final = 290
_MARGINS: Final = (58, 14, 42, 12)  # left, right, bottom, top
_REACH: Final = 5.5  # of a marker
_THIN: Final = 1.5  # half of what a line takes
_LONGEST: Final = 24
_REFERENCE: Final = "X"
_DIGITS: Final = 6  # of a tick; more have no room beside the axis
_FINEST: Final = 3e-4  # relative; over less the digits of ticks can't tell them from each other
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis.

    Attributes:
        title: what it shows, with its unit.
        rising: whether more is better.
    """

    title: str
    rising: bool


@dataclass(frozen=True, slots=True)
class Spot:
    """A variant in the picture.

    Attributes:
        name: stands beside the point.
        number: which series it is, from 0; None for a reference.
        x: what it takes.
        y: what it keeps.
        low: lower end of the 95 % interval of `y`; `y` itself where it isn't known.
        high: its upper end.
        front: whether it is on the Pareto front.
    """

    name: str
    number: int | None
    x: float
    y: float
    low: float
    high: float
    front: bool


def tradeoff_chart(
    spots: Sequence[Spot], across: Scale, up: Scale, *, ident: str, title: str
) -> tuple[str, tuple[str, ...]]:
    """Return the chart, and the names for which there was no room in it.

    Args:
        spots: at least one.
        across: the axis of `x`.
        up: the axis of `y`; better is always above.
        ident: what the SVG's ids begin with.
        title: the chart's accessible name.
    """
    window = _Window(spots, up)
    line = _line([spot for spot in spots if spot.front], across)
    # Names of the front come first, should there not be room for all.
    ranked = sorted(spots, key=lambda spot: not spot.front)
    names = [label(spot.name, _LONGEST) for spot in ranked]
    places = place(
        [window.units(spot.x, spot.y) for spot in ranked],
        names,
        window.frame,
        window.taken(spots, line),
    )

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rule(axes, "y")
        axes.set_xlim(*window.x)
        axes.set_ylim(*window.y)
        axes.plot(*zip(*line, strict=True), color=light("soft"), linestyle=(0, (4, 2)), linewidth=1)
        for spot in spots:
            _paint_spot(axes, spot)
        for spot, name, found in zip(ranked, names, places, strict=True):
            if found is not None:
                _paint_name(axes, window, spot, name, found)
        _paint_axes(axes, across, up)

    svg = draw(
        paint,
        height=_HEIGHT,
        margins=_MARGINS,
        ident=ident,
        title=title,
        description=f"{len(spots)} variants by {across.title} and {up.title}. On the Pareto front: "
        f"{', '.join(label(spot.name) for spot in spots if spot.front)}. The table below has the "
        "figures.",
    )
    unnamed = [s.name for s, found in zip(ranked, places, strict=True) if found is None]
    return svg, tuple(unnamed)


class _Window:
    """The limits of both axes, and where points come to stand in the drawing.

    Sizes and speeds begin at 0, so that twice as far is twice as much.
    """

    def __init__(self, spots: Sequence[Spot], up: Scale) -> None:
        self.x = (0.0, 1.12 * max(spot.x for spot in spots))
        low, high = min(spot.low for spot in spots), max(spot.high for spot in spots)
        spread = high - low if high - low > _FINEST * abs(high) else 0.0
        room = 0.12 * spread or 0.01 * abs(high) or 1.0
        self.y = (low - room, high + room) if up.rising else (high + room, low - room)
        left, right, bottom, top = _MARGINS
        self.frame = Box(left + 2, bottom + 2, WIDTH - right, _HEIGHT - top)

    def units(self, x: float, y: float) -> Point:
        """Place in units of the drawing."""
        left, right, bottom, top = _MARGINS
        (x_from, x_to), (y_from, y_to) = self.x, self.y
        return (
            left + (x - x_from) / (x_to - x_from) * (WIDTH - left - right),
            bottom + (y - y_from) / (y_to - y_from) * (_HEIGHT - bottom - top),
        )

    def taken(self, spots: Sequence[Spot], line: Sequence[Point]) -> list[Box]:
        """What names may not cover: markers, intervals, and the line of the front."""
        markers = [around(*self.units(spot.x, spot.y), _REACH) for spot in spots]
        bars = [((spot.x, spot.low), (spot.x, spot.high)) for spot in spots]
        return markers + [self._thin(*ends) for ends in (*bars, *pairwise(line))]

    def _thin(self, one: Point, other: Point) -> Box:
        """What an upright or a level line takes."""
        (x, y), (u, v) = self.units(*one), self.units(*other)
        left, bottom, right, top = min(x, u), min(y, v), max(x, u), max(y, v)
        return Box(left - _THIN, bottom - _THIN, right + _THIN, top + _THIN)


def _line(front: Sequence[Spot], across: Scale) -> list[Point]:
    """Corners of the steps between the points of the front, from left to right.

    Of sizes, all up to the next larger point keep what the last one keeps; of speeds, all down to
    the next slower one.
    """
    points = sorted((spot.x, spot.y) for spot in front)
    corners = points[:1]
    for before, after in pairwise(points):
        corner = (before[0], after[1]) if across.rising else (after[0], before[1])
        corners += [corner, after]
    return corners


def _paint_spot(axes: Axes, spot: Spot) -> None:
    colour = light("ink" if spot.number is None else series_name(spot.number))
    known = spot.low < spot.high
    axes.errorbar(
        spot.x,
        spot.y,
        yerr=[[spot.y - spot.low], [spot.high - spot.y]] if known else None,
        marker=_REFERENCE if spot.number is None else MARKERS[spot.number % SERIES],
        linestyle="none",
        color=colour,
        ecolor=light("soft"),
        elinewidth=0.8,
        markersize=7,
        markerfacecolor=colour if spot.front else "none",
    )


def _paint_name(axes: Axes, window: _Window, spot: Spot, name: str, found: Place) -> None:
    x, y = window.units(spot.x, spot.y)
    box = found.box
    end = box.nearest(x, y)
    leader = {
        "arrowstyle": "-",
        "color": light("soft"),
        "linewidth": 0.7,
        "shrinkA": 0,
        "relpos": (
            (end[0] - box.left) / (box.right - box.left),
            (end[1] - box.bottom) / (box.top - box.bottom),
        ),
    }
    axes.annotate(
        name,
        (spot.x, spot.y),
        xytext=((box.left + box.right) / 2 - x, (box.bottom + box.top) / 2 - y),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=SIZE,
        annotation_clip=False,
        arrowprops=leader if found.far else None,
    )


def _paint_axes(axes: Axes, across: Scale, up: Scale) -> None:
    axes.set_xlabel(f"{across.title} ({'more' if across.rising else 'less'} is better)")
    axes.set_ylabel(up.title)
    axes.locator_params(axis="both", nbins=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.{_DIGITS}g}")
