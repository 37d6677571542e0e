"""The divergence from the reference: its figures, its histogram and its percentiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from quantgate import stats
from quantgate.items import WindowItems, items_of
from quantgate.report.charts.distribution import Spread, histogram_chart, percentile_chart
from quantgate.report.charts.style import SERIES
from quantgate.report.numbers import FRACTION, figure, number
from quantgate.report.sections.parts import (
    MISSING,
    Key,
    Numbering,
    Plot,
    Table,
    attempt,
    chunks,
    table,
)
from quantgate.report.sections.sides import Side, Sides
from quantgate.results import Measurement

_FIGURES: Final = (
    ("kl_mean", "mean"),
    ("kl_median", "median"),
    ("kl_p90", "90 %"),
    ("kl_p95", "95 %"),
    ("kl_p99", "99 %"),
    ("kl_p99_9", "99.9 %"),
    ("kl_max", "largest"),
    ("top1_agreement", "same top token"),
    ("log_perplexity_ratio", "log-perplexity ratio"),
    ("rms_delta_p", "RMS change of p"),
)
_LISTED: Final = (1.0, 5.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0)


@dataclass(frozen=True, slots=True)
class Divergence:
    """The divergences of a run; what has no distribution is in the table alone."""

    table: Table
    plots: tuple[Plot, ...]
    remarks: tuple[str, ...]


def divergence(sides: Sides, numbering: Numbering) -> Divergence | None:
    """Return the section; None where no candidate's divergence was measured.

    A reference's divergence from itself is 0 and only proves that the measurement is sound.
    """
    found = [side for side in sides.of("kl_divergence") if not sides.is_anchor(side.case_id)]
    if not found:
        return None
    spreads: list[tuple[Side, Spread]] = []
    remarks = []
    for side in found:
        if "distribution" in side.measurement.detail:
            spread, fault = attempt(_spread, side)
            if spread is not None:
                spreads.append((side, spread))
            else:
                remarks.append(f"{side.case_id}: {fault}")
    plots = [plot for some in chunks(spreads, SERIES) for plot in _plots(some, numbering)]
    headings = ("case", "mean", "95 % interval", "windows", *(name for _, name in _FIGURES[1:]))
    listed = table("KL divergence from the reference, nats", headings, map(_row, found))
    return Divergence(listed, tuple(plots), tuple(remarks))


def _row(side: Side) -> tuple[str, ...]:
    scores = {score.metric: score for score in side.measurement.scores}
    told = [
        figure(scores[name].value, scores[name].unit).removesuffix(" nats")
        if name in scores
        else MISSING
        for name, _ in _FIGURES
    ]
    interval, _ = attempt(_interval, side.measurement)
    return (side.case_id, told[0], *(interval or (MISSING, MISSING)), *told[1:])


def _interval(measurement: Measurement) -> tuple[str, str] | None:
    """The 95 % interval of the mean, and how many windows it is over."""
    items = items_of(measurement)
    if not isinstance(items, WindowItems) or len(items.begins) < 2:
        return None
    estimate = stats.clustered_ratio(items.sums["kl_mean"], items.counts["kl_mean"])
    return f"{number(estimate.low)} to {number(estimate.high)}", f"{len(items.begins):,}"


def _spread(side: Side) -> Spread:
    """Read what `divergence_distribution` wrote; ValueError and the like where it is damaged."""
    told = side.measurement.detail["distribution"]
    histogram = told["histogram"]
    counts = tuple(int(count) for count in histogram["counts"])
    edges = tuple(float(edge) for edge in histogram["edges"])
    if len(edges) != len(counts) + 1 or list(edges) != sorted(set(edges)) or min(counts) < 0:
        raise ValueError("the bins are in no order")
    positions = sum(counts) + int(histogram["below"]) + int(histogram["above"])
    curve = tuple((float(q), float(nats)) for q, nats in told["percentiles"])
    return Spread(side.number, edges, counts, max(1, positions), curve)


def _plots(spreads: Sequence[tuple[Side, Spread]], numbering: Numbering) -> Iterator[Plot]:
    keys = tuple(Key(side.case_id, side.number) for side, _ in spreads)
    drawn = [spread for _, spread in spreads]
    names = [side.case_id for side, _ in spreads]
    title = "Distribution of the divergence over positions"
    svg, fault = attempt(histogram_chart, drawn, ident=numbering.next(), title=title)
    outside = [
        f"{name}: {below:,} positions below the first bin"
        for (side, _), name in zip(spreads, names, strict=True)
        if (below := int(side.measurement.detail["distribution"]["histogram"]["below"]))
    ]
    yield Plot(
        svg or "", title, keys, _bins(title, names, drawn), tuple([fault] if fault else outside)
    )
    title = "Percentiles of the divergence"
    svg, fault = attempt(percentile_chart, drawn, ident=numbering.next(), title=title)
    yield Plot(svg or "", title, keys, _percentiles(title, names, drawn), (fault,) if fault else ())


def _bins(title: str, names: Sequence[str], spreads: Sequence[Spread]) -> Table:
    """The bins that hold a position of any candidate, however few: the worst ones are rare."""
    edges = spreads[0].edges
    counts = [dict(zip(spread.edges, spread.counts, strict=False)) for spread in spreads]
    shares = [
        {begin: figure(count / spread.positions, FRACTION) for begin, count in each.items()}
        for spread, each in zip(spreads, counts, strict=True)
    ]
    held = [
        (f"{10**low:.2g} to {10**high:.2g} nats", *(each.get(low, MISSING) for each in shares))
        for low, high in pairwise(edges)
        if any(each.get(low) for each in counts)
    ]
    return table(title, ("divergence", *names), held)


def _percentiles(title: str, names: Sequence[str], spreads: Sequence[Spread]) -> Table:
    curves = [dict(spread.percentiles) for spread in spreads]
    rows = [
        (
            "largest" if q == 100 else f"{q:g} %",
            *(f"{number(curve[q])} nats" if q in curve else MISSING for curve in curves),
        )
        for q in _LISTED
    ]
    return table(title, ("percentile", *names), rows)
