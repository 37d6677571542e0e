"""The decision: one pure function from a measurement and its policy to a verdict.

Let h be the harm (how much worse the figure is than the anchor), a the harm that the tolerance
allows (`tolerances`), and, where both sides keep their items (`evidence`),
[lo, hi] the one-sided 95 % bounds of h and d the smallest harm that the run would have found. Of
all comparisons (with the stored baseline, with the reference) the worst verdict counts.

1. Everything that makes a number meaningless is looked for first, and all of it is told: INVALID.
   INVALID can't become anything else.
2. `absolute`, `relative`, `ratio_to_reference` and `three_state`:
   - where a >= d, or without items: h > a is a REGRESSION, else PASS, in exact decimals;
   - where a < d: lo > a is a REGRESSION, hi <= a a PASS, and all between INCONCLUSIVE: the
     tolerance is below what this run can detect. A run in which not one item changed is a PASS.
3. `significant_drop`: hi <= a is a PASS, lo > a a REGRESSION; between, a REGRESSION where a >= d
   (the drop could have been ruled out and wasn't), else INCONCLUSIVE. Without items it is INVALID.
4. `three_state` passes up to its first bound and passes at risk up to its second.
5. Subjects and categories are asked all at once: a REGRESSION of one whose exact McNemar p-value,
   after Holm's correction over all of them, is above 0.05 is INCONCLUSIVE.
6. A tolerance below the measured noise can give no PASS and no REGRESSION: INCONCLUSIVE.
7. A baseline that is wanted and missing, or nothing at all to hold the figure against, is
   NO_BASELINE, unless the reference gives a REGRESSION or is INCONCLUSIVE.

Nothing is rounded. What is better than the baseline by more than the tolerance, or better than the
reference by more than chance (p < 0.01), passes and is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantgate.baselines.schema import TaskBaseline
from quantgate.errors import GateError, InvalidMeasurement
from quantgate.gate.checks import Check, make_checks, read_finite, reference_value
from quantgate.gate.findings import DRIFT, find
from quantgate.gate.rulings import Ruling, better_than_reference, rule
from quantgate.gate.tolerances import rounded
from quantgate.items import ItemResults
from quantgate.results import Decision, Limits, Measurement, Score, Verdict

TOO_GOOD = "baseline is stale or the result too good: check for leakage, then update"
BETTER_THAN_REFERENCE = "better than its reference by more than chance: check for leakage"
NOISE = "is below the measured noise"
NO_REFERENCE = "not held against a reference: there is none"
_WORST_FIRST = (Verdict.INVALID, Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS)


def decide(
    measurement: Measurement,
    metric: str,
    *,
    limits: Limits,
    baseline: TaskBaseline | None,
    reference: Measurement | None,
    kept: ItemResults | None = None,
    fault: InvalidMeasurement | None = None,
    degenerate: str = "fail",
    provenance: Mapping[str, Any] | None = None,
    strict_env: bool = False,
) -> Decision:
    """Return the verdict for one metric of a measurement.

    Args:
        measurement: the candidate's; its `detail["degenerate"]`, if there, says in words why its
            answers are degenerate.
        metric: the score's name.
        limits: the policy; `limits.baseline` only says whether a baseline is wanted, since the
            tolerance stored with the baseline is in force.
        baseline: what is stored for this case and task.
        reference: the reference's measurement of the same task, or None. A divergence needs none:
            it is held against 0 (or, where higher is better, 1).
        kept: the items stored with the baseline, to pair with; None where none are.
        fault: what went wrong in a measurement that ended all the same.
        degenerate: `fail` makes degenerate answers INVALID, `warn` a note.
        provenance: this run's facts, for the drift against the baseline's.
        strict_env: make a drift INVALID.

    Raises:
        ValueError: `degenerate` is neither `fail` nor `warn`.
    """
    if degenerate not in {"fail", "warn"}:
        raise ValueError(f"degenerate answers either 'fail' or 'warn', not {degenerate!r}")
    found = find(measurement, metric, baseline, reference, provenance)
    faults = [] if fault is None else [str(fault)]
    faults += found.faults
    notes = list(found.notes)
    if told := measurement.detail.get("degenerate"):
        (faults if degenerate == "fail" else notes).append(f"degenerate answers: {told}")
    if strict_env:
        faults += [note for note in notes if note.startswith(DRIFT)]
    decision = _blank(measurement, metric, reference)
    if faults:
        return replace(
            decision,
            reason="; ".join(faults),
            notes=tuple(notes),
            against="baseline" if found.unlike_baseline else "",
        )
    own = reference is not None and reference.case_id == measurement.case_id
    if limits.reference is not None and decision.reference is None and not own:
        notes.append(NO_REFERENCE)
    score = measurement.score(metric)
    checks = make_checks(measurement, score, limits, baseline, reference, kept=kept)
    judged = _judge(decision, checks, notes, wanted=limits.baseline is not None)
    return _doubt(judged, checks, noise(score, baseline))


def noise(score: Score, baseline: TaskBaseline | None) -> float | None:
    """Return the larger of the noise measured now and the one stored; None without either."""
    stored = None if baseline is None else baseline.metrics.get(score.metric)
    known = [score.noise, None if stored is None else stored.noise]
    return max((value for value in known if value is not None), default=None)


def _doubt(decision: Decision, checks: list[Check], floor: float | None) -> Decision:
    """Make a decision INCONCLUSIVE whose tolerance is finer than the noise: chance decided it."""
    finest = min(checks, key=lambda check: check.allowed, default=None)
    if floor is None or finest is None or decision.verdict is Verdict.INVALID:
        return decision
    allowed = rounded(finest.allowed)
    if allowed >= floor:
        return decision
    return replace(
        decision,
        verdict=Verdict.INCONCLUSIVE,
        at_risk=False,
        reason=f"the change allowed against the {finest.anchor.against}, {allowed!r}, {NOISE} of "
        f"{floor!r}; {decision.reason}",
    )


def decide_fault(case_id: str, task: str, metric: str, fault: GateError) -> Decision:
    """Return the INVALID decision of a measurement that never came to be."""
    return Decision(
        case_id=case_id,
        task=task,
        metric=metric,
        verdict=Verdict.INVALID,
        value=None,
        reason=str(fault),
    )


def _blank(measurement: Measurement, metric: str, reference: Measurement | None) -> Decision:
    """Return the decision before it is one: INVALID, with the figures that are there."""
    return Decision(
        case_id=measurement.case_id,
        task=measurement.task,
        metric=metric,
        verdict=Verdict.INVALID,
        value=read_finite(measurement, metric),
        reason="",
        reference=reference_value(measurement, metric, reference),
    )


def _judge(decision: Decision, checks: list[Check], notes: list[str], *, wanted: bool) -> Decision:
    """Turn the comparisons into the verdict; the first of the worst leads."""
    ruled = [(check, rule(check)) for check in checks]
    missing = wanted and not any(check.anchor.against == "baseline" for check in checks)
    lead = min(ruled, key=_severity, default=None)
    verdict = Verdict.NO_BASELINE if lead is None else lead[1].verdict
    if verdict is Verdict.PASS and missing:
        verdict = Verdict.NO_BASELINE
    told = [f"{check}{f': {ruling.because}' * bool(ruling.because)}" for check, ruling in ruled]
    if not checks:
        told.append("held against nothing: no baseline and no limit against a reference")
    elif missing:
        told.append("without a stored baseline")
    held = [check.anchor.value for check in checks if check.anchor.against == "reference"]
    decision = replace(
        decision,
        verdict=verdict,
        reference=next(iter(held), decision.reference),
        reason=f"{decision.metric} is {'; and '.join(told)}",
        notes=(*notes, *_remarks(checks)),
    )
    return decision if lead is None else _led(decision, *lead)


def _severity(ruled: tuple[Check, Ruling]) -> tuple[int, bool]:
    return _WORST_FIRST.index(ruled[1].verdict), not ruled[1].at_risk


def _led(decision: Decision, check: Check, ruling: Ruling) -> Decision:
    """Fill in the comparison that leads."""
    return replace(
        decision,
        anchor=check.anchor.value,
        against=check.anchor.against,
        delta=float(check.delta),
        allowed=rounded(check.allowed),
        tolerance=check.anchor.tolerance,
        evidence=check.evidence,
        at_risk=ruling.at_risk and decision.verdict is Verdict.PASS,
    )


def _remarks(checks: list[Check]) -> list[str]:
    """Tell suspiciously good results, and items that could not be paired."""
    remarks = []
    if any(c.anchor.against == "baseline" and c.harm < -c.allowed for c in checks):
        remarks.append(TOO_GOOD)
    if any(map(better_than_reference, checks)):
        remarks.append(BETTER_THAN_REFERENCE)
    unpaired = [check.anchor for check in checks if check.anchor.unpaired]
    return remarks + [f"not paired with the {a.against}: {a.unpaired}" for a in unpaired]
