"""The evidence of one decision: the paired change, its interval, and how much is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from quantgate.report.charts.style import BETTER, WORSE, draw, light, rule
from quantgate.report.charts.svg import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT: Final = 96


def interval_chart(
    delta: float, low: float, high: float, allowed: float | None, *, unit: str, ident: str
) -> str:
    """Return the chart.

    Args:
        delta: the change, on the scale of `unit`.
        low: lower end of its two-sided 95 % interval.
        high: its upper end.
        allowed: the change that is still allowed, with its sign; None without one.
        unit: of all of them.
        ident: what the SVG's ids begin with.
    """
    unit = label(unit)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rule(axes, "x")
        ends = [0.0, low, high, delta, *([] if allowed is None else [allowed])]
        room = 0.06 * (max(ends) - min(ends) or 1.0)
        axes.set_xlim(min(ends) - room, max(ends) + room)
        axes.set_ylim(-1, 1)
        if allowed is not None:
            axes.axvspan(min(0, allowed), max(0, allowed), color=light(BETTER), alpha=0.14, lw=0)
            axes.axvline(allowed, color=light(BETTER), linewidth=1.3, linestyle="--")
            _name(axes, allowed, "allowed", outwards=allowed)
        axes.axvline(0, color=light("ink"), linewidth=1)
        _name(axes, 0.0, "no change", outwards=-(allowed or 0))
        axes.errorbar(
            delta, 0, xerr=[[delta - low], [high - delta]], fmt="D", color=light(WORSE),
            markersize=6, linewidth=2, capsize=4,
        )  # fmt: skip
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"paired change, {unit} (95 % interval)")

    return draw(
        paint,
        height=_HEIGHT,
        margins=(52, 52, 36, 18),
        ident=ident,
        title="The paired change and its 95 % interval",
        description=f"Change {delta:+.4g} {unit}, 95 % interval {low:+.4g} to {high:+.4g}"
        + ("" if allowed is None else f"; allowed up to {allowed:+.4g}"),
    )


def _name(axes: Axes, place: float, text: str, *, outwards: float) -> None:
    """Name a line above it, on the side away from the other line's name."""
    side = "center" if not outwards else "left" if outwards > 0 else "right"
    apart = 0 if not outwards else 4 if outwards > 0 else -4  # points, where the lines are close
    axes.annotate(
        text, (place, 1.1), xytext=(apart, 0), textcoords="offset points",
        annotation_clip=False, ha=side, fontsize=10,
    )  # fmt: skip
