"""What all charts share: the size, the colours and how one is drawn.

The colours of series are Okabe and Ito's, which people with any colour vision tell apart; series
differ in dashes and markers as well. The SVG carries the light colours as attributes, and classes
by which the page's style sheet sets those of its mode.

A chart is 400 units wide with letters of 11 units: at a phone's width they stay legible.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quantgate.report.charts.svg import tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 400  # in points, which are the units of the SVG
_POINTS_PER_INCH: Final = 72


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour in light and in dark mode."""

    light: str
    dark: str


COLOURS: Final[Mapping[str, Colour]] = {
    "ink": Colour("#1c2128", "#e8eaed"),
    "soft": Colour("#57606a", "#a9b1bb"),
    "rule": Colour("#d8dde3", "#39414b"),
    "series-1": Colour("#0072b2", "#5cb0e6"),
    "series-2": Colour("#d55e00", "#f58b45"),
    "series-3": Colour("#009e73", "#35c79b"),
    "series-4": Colour("#cc79a7", "#e6a3c6"),
    "series-5": Colour("#e69f00", "#f2bd4b"),
    "series-6": Colour("#56b4e9", "#94d3f7"),
}
BETTER: Final = "series-1"
WORSE: Final = "series-2"
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 3)), "--")
SERIES: Final = len(MARKERS)

_SETTINGS: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none",  # letters stay letters: to be searched, read aloud and set in any font
    "text.parse_math": False,  # a name with two dollar signs is a name
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["soft"].light,
    "axes.labelcolor": COLOURS["ink"].light,
    "axes.facecolor": "none",
    "text.color": COLOURS["ink"].light,
    "xtick.color": COLOURS["soft"].light,
    "ytick.color": COLOURS["soft"].light,
    "xtick.labelcolor": COLOURS["ink"].light,
    "ytick.labelcolor": COLOURS["ink"].light,
    "grid.color": COLOURS["rule"].light,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "axes.unicode_minus": True,
}


def light(name: str) -> str:
    """Return a colour as it stands in the SVG's attributes."""
    return COLOURS[name].light


def series_name(number: int) -> str:
    """Return the colour of the series `number`, from 0."""
    return f"series-{number % SERIES + 1}"


def power_of_ten(power: int) -> str:
    """Return a tick's label: `10⁻³`, `0.1`, `1`."""
    raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return {0: "1", -1: "0.1", 1: "10"}.get(power, f"10{raised}")


def draw(
    paint: Callable[[Figure], None],
    *,
    height: float,
    ident: str,
    title: str,
    description: str,
    margins: tuple[float, float, float, float] | None = None,
) -> str:
    """Return a chart as an `<svg>` element that can stand in a page.

    Args:
        paint: puts axes and all they show into an empty figure.
        height: in units.
        ident: what the SVG's ids begin with; one per chart of a page.
        title: names the chart to those who don't see it.
        description: what it shows, in words.
        margins: left, right, bottom and top of the axes, in units; None measures every label,
            which takes most of the time of a chart with many.
    """
    import matplotlib as mpl
    import numpy as np
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    names = {colour.light: name for name, colour in COLOURS.items()}
    buffer = io.StringIO()
    # A letter that the measuring font lacks, or a figure beyond drawing, is no reason to warn.
    with mpl.rc_context(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        settings: Any = {**_SETTINGS, "svg.hashsalt": ident}  # names are known to matplotlib alone
        mpl.rcParams.update(settings)
        size = (WIDTH / _POINTS_PER_INCH, height / _POINTS_PER_INCH)
        figure = Figure(figsize=size, layout=None if margins else "constrained")
        figure.patch.set_visible(False)
        paint(figure)
        if margins:
            left, right, bottom, top = margins
            figure.subplots_adjust(
                left=left / WIDTH,
                right=1 - right / WIDTH,
                bottom=bottom / height,
                top=1 - top / height,
            )
        # The canvas itself, since `savefig` draws everything twice.
        canvas: Any = FigureCanvasSVG(figure)  # its methods have no types
        canvas.print_svg(buffer, metadata={"Date": None})
    return tidy(buffer.getvalue(), ident=ident, title=title, description=description, names=names)


def rule(axes: Axes, axis: str) -> None:
    """Draw thin rules across, behind everything else."""
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis="x" if axis == "x" else "y")
    axes.tick_params(length=3)
