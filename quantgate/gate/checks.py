"""Comparisons of a figure with an anchor, and the arithmetic of harm.

The change that counts is the harmful one: `anchor - value` where higher is better, `value - anchor`
where lower is. Against the stored baseline the tolerance stored beside the figure is in force, so a
change of policy takes effect through a reviewed update; against the reference the limits' own.

Where both sides keep their items the comparison carries what they say (`evidence`). A run that was
stopped early is compared with its anchor over the items that it took, never with the full figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from quantgate.baselines.schema import TaskBaseline
from quantgate.gate.evidence import adjusted_p_value, pair
from quantgate.gate.findings import is_divergence, settled, stopped
from quantgate.gate.pairing import figure, ideal, mismatch, restrict, same, share
from quantgate.gate.tolerances import (
    ABSOLUTE,
    SHARES,
    THREE_STATE,
    allowance,
    exact,
    paired_allowance,
    rounded,
)
from quantgate.items import ChoiceItems, ItemResults, WindowItems, items_of
from quantgate.results import Direction, Evidence, Limits, Measurement, Score, Tolerance, Verdict

_SAME = 1e-9  # two ways to add up the same items


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a figure is held against, and with which tolerance.

    Attributes:
        against: `baseline` or `reference`.
        value: the figure over the items that both sides have.
        tolerance: in force here.
        items: the anchor's items, those that the candidate has; None where none are kept.
        unpaired: why the two can't be paired, "" where they can or nothing is kept.
        incomparable: why not even the figures can be compared, "" where they can.
    """

    against: str
    value: float
    tolerance: Tolerance
    items: ItemResults | None = None
    unpaired: str = ""
    incomparable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison with an anchor; harm and allowances are exact, in the metric's unit.

    Attributes:
        spared: the harm that passes without a word.
        allowed: the harm that passes at all; more than `spared` for `three_state` only.
        evidence: what the paired items say; None where there are none.
        chance: p-value among all subjects or categories at once; None for any other metric.
        settled: the complete run's verdict as a run that stopped early predicts it, or None.
    """

    anchor: Anchor
    direction: Direction
    harm: Fraction
    delta: Fraction
    spared: Fraction
    allowed: Fraction
    evidence: Evidence | None = None
    chance: float | None = None
    settled: Verdict | None = None

    @property
    def harmful(self) -> bool:
        """Whether the change is worse than allowed."""
        return self.harm > self.allowed

    def __str__(self) -> str:
        worse = "worse" if self.harm > 0 else "better"
        change = f"{float(abs(self.harm))!r} {worse} than" if self.harm else "equal to"
        verb = "exceeds" if self.harmful else "is within"
        allowed = f"which {verb} the allowed {rounded(self.allowed)!r}"
        return f"{change} the {self.anchor.against} {self.anchor.value!r}, {allowed}"


def read_finite(measurement: Measurement | None, metric: str) -> float | None:
    """Return the figure of `metric`; None where it is missing or not finite."""
    scores = () if measurement is None else measurement.scores
    value = next((score.value for score in scores if score.metric == metric), None)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def gated_metrics(limits: Mapping[str, Limits], scored: Sequence[str]) -> list[str]:
    """The metrics that the gate decides: those that a policy limits, the first where none does.

    Args:
        limits: the policy by metric.
        scored: the metrics of a measurement.
    """
    return [metric for metric, policy in limits.items() if policy != Limits()] or list(scored[:1])


def reference_value(
    measurement: Measurement, metric: str, reference: Measurement | None
) -> float | None:
    """Return the reference's figure; None for a reference itself, or where there is none."""
    if reference is not None and reference.case_id == measurement.case_id:
        return None
    if is_divergence(measurement):
        # The reference's divergence from itself needs no measuring.
        directions = {s.direction for s in measurement.scores if s.metric == metric}
        return 1.0 if Direction.HIGHER in directions else 0.0
    return read_finite(reference, metric)


def make_checks(
    measurement: Measurement,
    score: Score,
    limits: Limits,
    baseline: TaskBaseline | None,
    reference: Measurement | None,
    *,
    kept: ItemResults | None,
) -> list[Check]:
    """Return the comparisons that can be made, the baseline's first; `kept` are its items."""
    now = items_of(measurement)
    cut = stopped(measurement)
    anchors = []
    stored = None if baseline is None else baseline.metrics.get(score.metric)
    if stored is not None:
        held = Anchor(
            against="baseline", value=stored.value, tolerance=stored.tolerance.tolerance()
        )
        anchors.append(_with_items(held, score.metric, now, kept, cut=cut))
    value = reference_value(measurement, score.metric, reference)
    if value is not None and limits.reference is not None:
        held = Anchor(against="reference", value=value, tolerance=limits.reference)
        if is_divergence(measurement):
            own = ideal(now, value) if isinstance(now, WindowItems) else None
            anchors.append(replace(held, items=own))  # holds for whatever part was measured
        else:
            items = None if reference is None else items_of(reference)
            anchors.append(_with_items(held, score.metric, now, items, cut=cut))
    checks = [_check(anchor, score, now) for anchor in anchors]
    return [
        replace(check, settled=settled(measurement, score.metric, check.anchor.against))
        for check in checks
    ]


def _with_items(
    anchor: Anchor,
    metric: str,
    now: ItemResults | None,
    before: ItemResults | None,
    *,
    cut: bool,
) -> Anchor:
    """Add the anchor's items; of a run that was `cut` short also the figure over its items.

    An anchor that was cut likewise, as a reference is in the same run, has that figure already.
    """
    unpaired, items = "", None
    if now is not None and before is not None:
        items = restrict(before, now) if cut else before
        unpaired = _other_figure(anchor, metric, before) or mismatch(now, items)
    anchor = replace(anchor, items=None if unpaired else items, unpaired=unpaired)
    if not cut or (now is not None and before is not None and same(now, before)):
        return anchor
    value = None if anchor.items is None else figure(metric, anchor.items)
    if value is not None:
        return replace(anchor, value=value)
    why = unpaired or f"the {anchor.against} keeps no items of {metric}"
    told = f"a run that was stopped early can't be held against the {anchor.against}: {why}"
    return replace(anchor, incomparable=told)


def _other_figure(anchor: Anchor, metric: str, items: ItemResults) -> str:
    """Say that the items are not those of the figure, which was edited by hand."""
    own = figure(metric, items)
    if own is None or math.isclose(own, anchor.value, rel_tol=_SAME, abs_tol=_SAME):
        return ""
    return f"its items come to {own!r}, not to its figure {anchor.value!r}"


def _check(anchor: Anchor, score: Score, now: ItemResults | None) -> Check:
    value, held = _exact_figures(score, anchor, now)
    tolerance, share_of = anchor.tolerance, None
    if anchor.against == "reference" and held == 0 and tolerance.kind in SHARES:
        # A share of nothing would allow nothing; meant is the figure as it stands.
        share_of = Fraction(1)
    spared, allowed = allowance(tolerance, held, score.metric, score.direction, share_of=share_of)
    if share_of is not None and tolerance.kind != THREE_STATE:
        tolerance = Tolerance(kind=ABSOLUTE, value=rounded(allowed))
    evidence, chance = None, None
    if now is not None and anchor.items is not None:
        limit = paired_allowance(tolerance, held, allowed, score.metric)
        evidence = pair(score.metric, score, now, anchor.items, anchor.against, limit)
        chance = adjusted_p_value(score.metric, now, anchor.items)
    return Check(
        anchor=replace(anchor, tolerance=tolerance),
        direction=score.direction,
        harm=held - value if score.direction is Direction.HIGHER else value - held,
        delta=value - held,
        spared=spared,
        allowed=allowed,
        evidence=evidence,
        chance=chance,
    )


def _exact_figures(
    score: Score, anchor: Anchor, now: ItemResults | None
) -> tuple[Fraction, Fraction]:
    """Return the figure and its anchor; accuracies as right answers over questions.

    As decimals of 16 digits 250/300 and 241/300 are more than 9/300 apart. What the answers don't
    come to, to the last digit, is the decimal all the same.
    """
    before, plain = anchor.items, (exact(score.value), exact(anchor.value))
    if not isinstance(now, ChoiceItems) or not isinstance(before, ChoiceItems):
        return plain
    value, held = share(score.metric, now), share(score.metric, before)
    if value is None or held is None:
        return plain
    same_figures = (float(value), float(held)) == (score.value, anchor.value)
    return (value, held) if same_figures else plain
