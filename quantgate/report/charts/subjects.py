"""How much the accuracy of each subject changed: a forest of intervals, the worst on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantgate.report.charts.style import BETTER, WORSE, draw, light, rule
from quantgate.report.charts.svg import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 15.5
_FRAME = 62
_COUNTS = "lost / won"
_LONGEST = 28
_LETTER = 6.5  # units, of a font of 11


@dataclass(frozen=True, slots=True)
class Change:
    """One row: the change of a share, its two-sided 95 % interval and the changed answers.

    Attributes:
        name: the subject or category.
        delta: candidate less reference, as a fraction.
        low: lower end of the interval; `delta` itself where no answer changed.
        high: its upper end.
        lost: answers that went from right to wrong.
        won: answers that went from wrong to right.
    """

    name: str
    delta: float
    low: float
    high: float
    lost: int
    won: int

    @property
    def telling(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def subject_chart(changes: Sequence[Change], overall: Change, *, ident: str, title: str) -> str:
    """Return the chart of `changes` from top to bottom, `overall` set apart above them."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rule(axes, "x")
        _paint_row(axes, -1.35, overall, bold=True)
        for place, change in enumerate(changes):
            _paint_row(axes, place, change)
        axes.axvline(0, color=light("ink"), linewidth=1)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -1), max(high, 1))  # nothing changed is a point, not a scale
        axes.locator_params(axis="x", nbins=6)
        places = [-1.35, *range(len(changes))]
        axes.set_yticks(places, [label(each.name, _LONGEST) for each in (overall, *changes)])
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.set_ylim(len(changes) - 0.4, -2.05)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("change in accuracy, points (95 % interval)")
        _paint_counts(axes, places, (overall, *changes))

    telling = [each for each in changes if each.telling]
    widest = max(len(label(each.name, _LONGEST)) for each in (overall, *changes))
    counted = max(len(_COUNTS), *(len(_counts(each)) for each in (overall, *changes)))
    return draw(
        paint,
        height=_FRAME + _ROW * (len(changes) + 1.65),
        margins=(8 + _LETTER * widest, 8 + _LETTER * counted, 38, 24),
        ident=ident,
        title=title,
        description=f"Horizontal intervals of {len(changes)} subjects, the worst change on top; "
        f"{len(telling)} of them exclude zero. Overall {100 * overall.delta:+.2f} points, from "
        f"{100 * overall.low:+.2f} to {100 * overall.high:+.2f}. The table beside it has all "
        "figures.",
    )


def _paint_row(axes: Axes, place: float, change: Change, *, bold: bool = False) -> None:
    name, marker = "soft", "o"
    if change.telling:
        name, marker = (WORSE, "s") if change.delta < 0 else (BETTER, "^")
    axes.errorbar(
        100 * change.delta,
        place,
        xerr=[[100 * (change.delta - change.low)], [100 * (change.high - change.delta)]],
        fmt="D" if bold else marker,
        color=light(name),
        # Hollow where chance alone could have done it.
        markerfacecolor=light(name) if change.telling else "none",
        markersize=6 if bold else 4.5,
        linewidth=2 if bold else 1.3,
        capsize=2,
    )


def _paint_counts(axes: Axes, places: Sequence[float], changes: Sequence[Change]) -> None:
    """Write at the right how many answers were lost and won."""
    beside: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "va": "center",
        "fontsize": 10,
    }
    axes.text(1.02, -2.3, _COUNTS, ha="left", color=light("soft"), **beside)
    for place, change in zip(places, changes, strict=True):
        axes.text(1.02, place, _counts(change), ha="left", **beside)


def _counts(change: Change) -> str:
    return f"{change.lost:,} / {change.won:,}"
