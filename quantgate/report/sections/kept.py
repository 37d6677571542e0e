"""How much of the reference each case keeps, by the measures that a run has.

Accuracy comes first: the share of the reference's MMLU accuracy. Where that wasn't measured, the
divergence from the reference or the ratio of perplexities stands for it. Intervals are those of
the paired items, at 95 %; the reference's own figure is taken as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from quantgate import stats
from quantgate.gate.evidence import pair
from quantgate.gate.findings import stopped
from quantgate.gate.pairing import figure, restrict, same
from quantgate.items import ItemResults, WindowItems, items_of
from quantgate.report.sections.parts import attempt
from quantgate.report.sections.sides import Side, Sides
from quantgate.results import Evidence, Measurement
from quantgate.run_file import RunFile

_PERPLEXITY: Final = "perplexity"


@dataclass(frozen=True, slots=True)
class Kept:
    """A figure and its 95 % interval, which is the figure itself where none is known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measure:
    """One way to say what is kept.

    Attributes:
        title: what it is, with its unit.
        rising: whether more is better.
        itself: what a reference has.
        cases: what the candidates have, by id.
        remark: what it stands for and how; "" for accuracy.
    """

    title: str
    rising: bool
    itself: float
    cases: Mapping[str, Kept]
    remark: str = ""


def measures(run: RunFile, sides: Sides) -> tuple[Measure, ...]:
    """All measures, the most telling first; one that wasn't taken has no cases."""
    texts = sides.of("perplexity")
    task = texts[0].measurement.task if texts else _PERPLEXITY
    protocol = " ".join(task.split("."))
    return (
        Measure(
            title="MMLU accuracy kept, %",
            rising=True,
            itself=100.0,
            cases=_all(_accuracy, run, sides, "mmlu"),
        ),
        Measure(
            title="KL divergence, nats",
            rising=False,
            itself=0.0,
            cases=_all(_divergence, run, sides, "kl_divergence"),
            remark="MMLU wasn't measured beside the reference: the mean KL divergence from it "
            "stands for what is lost.",
        ),
        Measure(
            title="ratio of perplexities, %",
            rising=True,
            itself=100.0,
            cases=_all(_ratio, run, sides, task),
            remark="Neither MMLU nor KL divergence was measured beside the reference: its "
            f"{protocol} over the variant's stands for what is kept.",
        ),
    )


def _all(
    make: Callable[[RunFile, Side], Kept | None], run: RunFile, sides: Sides, task: str
) -> dict[str, Kept]:
    """What `make` makes of every candidate's measurement `task`, as far as that is finite."""
    found = {}
    for side in sides.of(task.partition(".")[0]):
        if side.measurement.task == task and not sides.is_anchor(side.case_id):
            kept, _ = attempt(make, run, side)
            if kept is not None and math.isfinite(kept.value):
                found[side.case_id] = _sound(kept)
    return found


def _sound(kept: Kept) -> Kept:
    """The same with an interval that is one, around its figure."""
    if not math.isfinite(kept.low) or not math.isfinite(kept.high):
        return _bare(kept.value)
    return Kept(kept.value, min(kept.low, kept.value), max(kept.high, kept.value))


def _accuracy(run: RunFile, side: Side) -> Kept | None:
    """Per cent of the reference's accuracy."""
    before = _reference(run, side, "accuracy")
    if not before:
        return None
    value = side.measurement.score("accuracy").value
    evidence = _evidence(side, "accuracy")
    if evidence is None:
        return _bare(100 * value / before)
    low, high = (value - evidence.delta + end for end in (evidence.low, evidence.high))
    return Kept(100 * value / before, 100 * low / before, 100 * high / before)


def _divergence(_run: RunFile, side: Side) -> Kept:
    """Nats."""
    value = side.measurement.score("kl_mean").value
    spread, _ = attempt(_spread, side.measurement)
    low, high = spread or (value, value)
    return Kept(value, low, high)


def _spread(measurement: Measurement) -> tuple[float, float] | None:
    """The interval of a mean divergence."""
    items = items_of(measurement)
    if not isinstance(items, WindowItems):
        return None
    estimate = stats.clustered_ratio(items.sums["kl_mean"], items.counts["kl_mean"])
    return max(0.0, estimate.low), estimate.high


def _bare(value: float) -> Kept:
    """A figure whose interval isn't known."""
    return Kept(value, value, value)


def _ratio(run: RunFile, side: Side) -> Kept | None:
    """Per cent: the reference's perplexity over the candidate's."""
    metric = side.measurement.scores[0].metric
    before, value = _reference(run, side, metric), side.measurement.score(metric).value
    if not before or not value:
        return None
    evidence = _evidence(side, metric)
    if evidence is None:
        return _bare(100 * before / value)
    # The paired change is that of the logarithm.
    low, high = (100 * math.exp(-end) for end in (evidence.high, evidence.low))
    return Kept(100 * before / value, low, high)


def _reference(run: RunFile, side: Side, metric: str) -> float | None:
    """The reference's figure over what the case was asked: as measured here, or as decided on.

    In a sequential run each of the two may have stopped at a place of its own.
    """
    if side.reference is not None and not _one_stopped(side, side.reference):
        return side.reference.score(metric).value
    keys = (side.case_id, side.measurement.task, metric)
    found = (d.reference for d in run.decisions if (d.case_id, d.task, d.metric) == keys)
    value = next(found, None)
    if value is not None:
        return value
    _, before = _items(side)
    return None if before is None else figure(metric, before)


def _one_stopped(side: Side, reference: Measurement) -> bool:
    return stopped(side.measurement) or stopped(reference)


def _items(side: Side) -> tuple[ItemResults | None, ItemResults | None]:
    """The items of a case, and its reference's over the same; None where there are none such."""
    if side.reference is None:
        return None, None
    (now, _), (before, _) = (attempt(items_of, m) for m in (side.measurement, side.reference))
    if now is None or before is None or not _one_stopped(side, side.reference):
        return now, before
    before = restrict(before, now)
    return now, before if same(now, before) else None


def _evidence(side: Side, metric: str) -> Evidence | None:
    """The paired change against the reference; None where items aren't kept or don't match."""
    now, before = _items(side)
    if now is None or before is None:
        return None
    score = side.measurement.score(metric)
    found, _ = attempt(pair, metric, score, now, before, "reference", None)
    return found
