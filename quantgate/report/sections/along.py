"""Perplexity along the text, candidates against their reference window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantgate.gate.evidence import pair
from quantgate.gate.pairing import mismatch
from quantgate.items import WindowItems, items_of
from quantgate.report.charts.windows import MOST, Along, windows_chart
from quantgate.report.numbers import digits_for, signed
from quantgate.report.sections.parts import Key, Numbering, Plot, Table, attempt, chunks, table
from quantgate.report.sections.sides import Side, Sides
from quantgate.results import Measurement

_MOST_STEPS: Final = 100  # more are merged: a screen has no more pixels for them
_MOST_ROWS: Final = 60

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PerplexityOfTask:
    """The charts of one task (a protocol), and why a case isn't in them."""

    task: str
    plots: tuple[Plot, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Steps:
    """The reference's text in steps: windows, or several merged into one.

    Attributes:
        before: the reference's windows.
        metric: whose sums are taken.
        axis: what places count.
        places: where each step begins, and where the last one ends.
        starts: the first window of each step.
    """

    before: WindowItems
    metric: str
    axis: str
    places: list[float]
    starts: list[int]

    def level(self, items: WindowItems) -> Vector:
        """Logarithm of the perplexity in each step."""
        sums = np.add.reduceat(items.sums[self.metric], self.starts)
        level: Vector = sums / np.add.reduceat(items.counts[self.metric], self.starts)
        return level


def perplexity(sides: Sides, numbering: Numbering) -> list[PerplexityOfTask]:
    """Return a part for every perplexity task in which something can be held against something."""
    found = []
    for task, group in groupby(sides.of("perplexity"), key=lambda side: side.measurement.task):
        plots: list[Plot] = []
        remarks: list[str] = []
        candidates = [side for side in group if side.reference is not None]
        candidates.sort(key=lambda side: (_reference(side).case_id, side.number))
        for _, held in groupby(candidates, key=lambda side: _reference(side).case_id):
            for some in chunks(held, MOST):
                made, fault = attempt(_plot, some, remarks, numbering)
                plots += [made] if made is not None else []
                remarks += [fault] if fault else []
        if plots or remarks:
            found.append(PerplexityOfTask(task, tuple(plots), tuple(remarks)))
    return found


def _reference(side: Side) -> Measurement:
    assert side.reference is not None  # noqa: S101 - its callers saw to it
    return side.reference


def _plot(held: Sequence[Side], remarks: list[str], numbering: Numbering) -> Plot | None:
    """The chart of candidates with one reference; None where there is nothing to draw."""
    reference = _reference(held[0])
    steps = _steps(reference)
    if steps is None:
        return None
    lines: list[tuple[Side, Along]] = []
    for side in held:
        now, fault = attempt(items_of, side.measurement)
        why = fault or ("no windows were kept" if now is None else mismatch(now, steps.before))
        if isinstance(now, WindowItems) and not why:
            lines.append((side, _along(side, now, steps)))
        else:
            remarks.append(f"{side.case_id} isn't drawn: {why}")
    if not lines:
        return None
    protocol = reference.task.partition(".")[2]
    title = f"{steps.metric.replace('_', ' ').capitalize()} along the text"
    title += f" ({protocol})" if protocol else ""
    base = _finite(np.exp(steps.level(steps.before)))
    drawn = [line for _, line in lines]
    ident = numbering.next()
    svg = windows_chart(steps.places, base, drawn, axis=steps.axis, ident=ident, title=title)
    first = Key(f"{reference.case_id} (reference)", None)
    keys = (first, *(Key(side.case_id, side.number) for side, _ in lines))
    return Plot(svg, title, keys, _rows(title, steps, base, lines), tuple(_told(steps, lines)))


def _steps(measurement: Measurement) -> _Steps | None:
    """Where the steps of a text lie; None where neither windows nor documents are kept."""
    detail, before = measurement.detail, items_of(measurement)
    if not isinstance(before, WindowItems):
        return None
    many = len(before.begins)
    if "documents" in detail:
        ends = list(map(float, range(many + 1)))
        axis, metric = "document", "word_perplexity"
    else:
        # What a window scores are the last `n` ids of it; the others are its context.
        windows = detail["windows"]
        ends = [float(window["end"]) for window in windows]
        ends = [ends[0] - float(windows[0]["n"]), *ends]
        axis, metric = "position in the text, tokens", "perplexity"
    if any(later <= earlier for earlier, later in pairwise(ends)):
        raise ValueError("the windows are in no order")
    starts = list(range(0, many, math.ceil(many / _MOST_STEPS)))
    places = [*(ends[start] for start in starts), ends[-1]]
    return _Steps(before, metric, axis, places, starts)


def _along(side: Side, now: WindowItems, steps: _Steps) -> Along:
    score = side.measurement.score(steps.metric)
    evidence = pair(steps.metric, score, now, steps.before, "reference", None)
    ends = (math.nan,) * 3
    if evidence is not None:
        ends = (evidence.delta, evidence.low, evidence.high)
    level = steps.level(now)
    change = np.expm1(level - steps.level(steps.before))
    overall = (math.expm1(end) for end in ends)
    return Along(side.number, _finite(np.exp(level)), _finite(change), *overall)


def _finite(values: Vector) -> tuple[float, ...]:
    """Values to draw; what has no finite one is a gap."""
    return tuple(np.where(np.isfinite(values), values, np.nan).tolist())


def _rows(
    title: str, steps: _Steps, base: Sequence[float], lines: Sequence[tuple[Side, Along]]
) -> Table:
    """The steps that changed most, as many as fit, in the text's order."""
    largest = np.nan_to_num([line.change for _, line in lines])
    ranked = np.argsort(-np.abs(largest).max(axis=0), kind="stable")[:_MOST_ROWS]
    spans = [f"{begin:,.0f} to {end:,.0f}" for begin, end in pairwise(steps.places)]
    headings = [steps.axis, "reference"]
    for side, _ in lines:
        headings += [side.case_id, "change"]
    listed = [
        (spans[step], f"{base[step]:.4g}", *_figures(step, lines))
        for step in sorted(ranked.tolist())
    ]
    made = table(title, headings, listed)
    return replace(made, left_out=len(base) - len(listed))


def _figures(step: int, lines: Sequence[tuple[Side, Along]]) -> Iterator[str]:
    for _, line in lines:
        yield f"{line.perplexity[step]:.4g}"
        yield f"{signed(100 * line.change[step])} %"


def _told(steps: _Steps, lines: Sequence[tuple[Side, Along]]) -> Iterator[str]:
    for side, line in lines:
        ends = [100 * end for end in (line.overall, line.low, line.high)]
        if all(map(math.isfinite, ends)):
            digits = digits_for(*ends)
            at, low, high = (signed(end, digits) for end in ends)
            yield f"{side.case_id}: {at} % over the text, 95 % interval {low} to {high} %"
    if len(steps.starts) < len(steps.before.begins):
        yield f"{len(steps.before.begins):,} windows are drawn in {len(steps.starts)} steps."
