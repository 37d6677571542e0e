"""The performance page's plots, as SVG documents of their own on a white ground.

They are drawn as the report's charts are, so the same figures give the same bytes. White, since a
page's ground may be light or dark and an image doesn't know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from benchmarks.output import shown
from quantgate.report.charts.history import standalone
from quantgate.report.charts.style import DASHES, MARKERS, SERIES, draw, light, rule, series_name
from quantgate.report.charts.svg import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Another side than one of these is drawn like the text.
BACKENDS: Final = {"ort": "series-1", "ortgenai": "series-2", "torch": "series-3"}
_ENLARGED: Final = 1.6  # pixels per unit of a chart
_BOX: Final = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_ROW, _FRAME = 29, 78  # of the overview: a label with its bar under it, and all around
_HEADING: Final = 0.9  # rows that a group's name takes
_PANEL, _LEGEND_LINE, _EDGES = 210, 15, 50
_LONGEST: Final = 76


@dataclass(frozen=True)
class Bar:
    """A ratio in the overview.

    Attributes:
        group: what it was measured in; bars of a group stand together under its name.
        label: what is compared.
        backend: of quantgate's side.
        ratio: measured, above 0.
        wanted: the least that is aimed at, above 0.
    """

    group: str
    label: str
    backend: str
    ratio: float
    wanted: float


def overview_chart(bars: Sequence[Bar], *, title: str) -> str:
    """Horizontal bars from 1 on a logarithmic axis, a mark where each ratio should reach."""
    groups = [(name, list(each)) for name, each in groupby(bars, key=lambda bar: bar.group)]
    rows = len(bars) + _HEADING * len(groups)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rule(axes, "x")
        axes.axvline(1, color=light("ink"), linewidth=1)
        place = 0.0
        for name, each in groups:
            _paint_label(axes, place - 0.15, name, size=11)
            place += _HEADING
            for bar in each:
                _paint_bar(axes, place, bar)
                place += 1
        reach = [1.0, *(bar.ratio for bar in bars), *(bar.wanted for bar in bars)]
        axes.set_xlim(min(reach) / 1.3, max(reach) * 1.8)  # room for the last bar's figure
        axes.set_xscale("log")
        _label_ticks(axes.xaxis, reach, logarithmic=True)
        axes.set_ylim(rows - 0.4, -0.75)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("times quantgate's time or memory (1: equal)")
        _name_backends(axes, bars)

    told = "; ".join(
        f"{bar.group}, {bar.label}: {shown(bar.ratio)}, wanted {shown(bar.wanted)}" for bar in bars
    )
    svg = draw(
        paint,
        height=_FRAME + _ROW * rows,
        margins=(8, 12, 40, 30),
        ident="overview",
        title=title,
        description=f"Horizontal bars on a logarithmic axis. {told}",
    )
    return _on_white(svg)


def _paint_bar(axes: Axes, place: float, bar: Bar) -> None:
    """One bar with its figure, its label above it at the left edge."""
    colour = light(BACKENDS.get(bar.backend, "soft"))
    axes.barh(place + 0.16, bar.ratio - 1, left=1, height=0.34, color=colour)
    axes.plot(bar.wanted, place + 0.16, marker="|", markersize=13, mew=2, color=light("ink"))
    end = max(bar.ratio, bar.wanted, 1.0)
    axes.text(end * 1.06, place + 0.16, shown(bar.ratio), va="center", fontsize=9)
    _paint_label(axes, place - 0.28, bar.label)


def _paint_label(axes: Axes, place: float, text: str, size: float = 9) -> None:
    """A line of text from the left edge, on white, since the axis at 1 runs behind it."""
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    beside: Any = {"va": "center", "fontsize": size, "transform": axes.get_yaxis_transform()}
    axes.text(0, place, label(text, _LONGEST), bbox=ground, **beside)


def _name_backends(axes: Axes, bars: Sequence[Bar]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    used = [name for name in BACKENDS if any(bar.backend == name for bar in bars)]
    wanted = Line2D([], [], color=light("ink"), marker="|", markersize=11, mew=2, linestyle="none")
    handles: list[Any] = [*(Patch(color=light(BACKENDS[name])) for name in used), wanted]
    axes.legend(
        handles,
        [*used, "wanted"],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(handles),
        frameon=False,
        fontsize=10,
    )


def curve_chart(curve: Mapping[str, Any], *, ident: str) -> str | None:
    """A line for every series of a curve of `benchmarks.output.page`, None without a point."""
    series = {name: _drawable(curve, points) for name, points in curve["series"].items()}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rule(axes, "y")
        for number, (name, points) in enumerate(series.items()):
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=light(series_name(number)),
                linestyle=DASHES[number % SERIES],
                marker=MARKERS[number % SERIES],
                label=label(name, _LONGEST),
            )
        _scale(axes, curve, series)
        axes.set_xlabel(label(curve["x"], _LONGEST))
        axes.set_ylabel(label(curve["y"], _LONGEST))
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", frameon=False, fontsize=10)

    svg = draw(
        paint,
        height=_EDGES + _LEGEND_LINE * len(series) + _PANEL,
        ident=ident,
        title=curve["title"],
        description=f"Lines of {curve['y']} over {curve['x']}: {', '.join(series)}.",
    )
    return _on_white(svg)


def _drawable(curve: Mapping[str, Any], points: Sequence[Sequence[float]]) -> list[list[float]]:
    """The points that have a place on the axes, from left to right."""
    lowest = [0.0 if curve[axis] else -math.inf for axis in ("log_x", "log_y")]
    return sorted(
        [float(x), float(y)]
        for x, y in points
        if lowest[0] < x < math.inf and lowest[1] < y < math.inf
    )


def _scale(axes: Axes, curve: Mapping[str, Any], series: Mapping[str, list[list[float]]]) -> None:
    """Set both axes; heights that aren't logarithmic are seen from 0, or growth would mislead."""
    points = [point for each in series.values() for point in each]
    axes.set_xscale("log" if curve["log_x"] else "linear")
    axes.set_yscale("log" if curve["log_y"] else "linear")
    _label_ticks(axes.xaxis, [x for x, _ in points], logarithmic=curve["log_x"])
    _label_ticks(axes.yaxis, [y for _, y in points], logarithmic=curve["log_y"])
    if not curve["log_y"]:
        axes.set_ylim(bottom=min(0.0, *(y for _, y in points)))


def _label_ticks(axis: Axis, values: Sequence[float], *, logarithmic: bool) -> None:
    """Plain numbers; of a decade 1, 2 and 5, or 1 alone where there are many decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if logarithmic:
        steps = (1.0, 2.0, 5.0) if max(values) < 200 * min(values) else (1.0,)
        axis.set_major_locator(LogLocator(subs=steps))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_tick))


def _tick(value: float, _place: int) -> str:
    return shown(float(value))


def _on_white(svg: str) -> str:
    """The chart as a document: sized, and with a ground."""
    box = _BOX.search(svg)
    if box is None:
        raise ValueError("a chart has a viewBox from 0 0")
    width, height = (round(_ENLARGED * float(side)) for side in box.groups())
    sized = svg.replace("<svg ", f'<svg width="{width}" height="{height}" ', 1)
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return standalone(sized.replace("</desc>", f"</desc>{ground}", 1))
