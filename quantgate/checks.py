"""Comparisons of a figure with an anchor, and the arithmetic of harm.

The change that counts is the harmful one: `anchor - value` where higher is better, `value - anchor`
where lower is. It passes when it is at most what the tolerance allows (`absolute`: as it stands;
`relative`: times the anchor's magnitude). Against the stored baseline the tolerance stored beside
the figure is in force, so a change of policy takes effect through a reviewed update; against the
reference the limits' own.

Nothing is rounded: differences are exact decimals of the figures as they are written, since binary
floats put 0.81 - 0.80 above 0.01.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from quantgate.baseline_schema import TaskBaseline
from quantgate.findings import is_divergence
from quantgate.results import Direction, Limits, Measurement, Score, Tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison with an anchor; harm and allowance are exact."""

    against: str
    anchor: float
    tolerance: Tolerance
    harm: Fraction
    delta: Fraction
    allowed: Fraction

    @property
    def harmful(self) -> bool:
        """Whether the change is worse than allowed."""
        return self.harm > self.allowed

    def __str__(self) -> str:
        worse = "worse" if self.harm > 0 else "better"
        change = f"{float(abs(self.harm))!r} {worse} than" if self.harm else "equal to"
        verb = "exceeds" if self.harmful else "is within"
        allowed = f"which {verb} the allowed {float(self.allowed)!r}"
        return f"{change} the {self.against} {self.anchor!r}, {allowed}"


def read_finite(measurement: Measurement | None, metric: str) -> float | None:
    """Return the figure of `metric`; None where it is missing or not finite."""
    scores = () if measurement is None else measurement.scores
    value = next((score.value for score in scores if score.metric == metric), None)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


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
) -> list[Check]:
    """Return the comparisons that can be made, the baseline's first."""
    checks = []
    stored = None if baseline is None else baseline.metrics.get(score.metric)
    if stored is not None:
        checks.append(_check("baseline", score, stored.value, stored.tolerance.tolerance()))
    anchor = reference_value(measurement, score.metric, reference)
    if anchor is not None and limits.reference is not None:
        tolerance = limits.reference
        if anchor == 0:  # a share of nothing would allow nothing; meant is the figure as it stands
            tolerance = replace(tolerance, kind="absolute")
        checks.append(_check("reference", score, anchor, tolerance))
    return checks


def _check(against: str, score: Score, anchor: float, tolerance: Tolerance) -> Check:
    if tolerance.kind not in {"absolute", "relative"}:
        raise ValueError(f"a tolerance is absolute or relative, not {tolerance.kind!r}")
    value, held, size = (_exact(number) for number in (score.value, anchor, tolerance.value))
    return Check(
        against=against,
        anchor=anchor,
        tolerance=tolerance,
        harm=held - value if score.direction is Direction.HIGHER else value - held,
        delta=value - held,
        allowed=size * abs(held) if tolerance.kind == "relative" else size,
    )


def _exact(number: float) -> Fraction:
    """Return the decimal that the float is written as, exactly."""
    return Fraction(repr(float(number)))
