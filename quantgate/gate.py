"""The decision: one pure function from a measurement and its policy to a verdict.

Everything that makes a number meaningless is looked for first, and all of it is told; INVALID can't
become anything else. A tolerance below the measured noise can give no PASS and no REGRESSION.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantgate.baseline_schema import TaskBaseline
from quantgate.checks import Check, make_checks, read_finite, reference_value
from quantgate.errors import GateError, InvalidMeasurement
from quantgate.findings import DRIFT, find
from quantgate.results import Decision, Limits, Measurement, Score, Verdict

TOO_GOOD = "baseline is stale or the result too good: check for leakage, then update"


def decide(
    measurement: Measurement,
    metric: str,
    *,
    limits: Limits,
    baseline: TaskBaseline | None,
    reference: Measurement | None,
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
        notes.append("not held against a reference: there is none")
    wanted = limits.baseline is not None
    score = measurement.score(metric)
    checks = make_checks(measurement, score, limits, baseline, reference)
    return _doubt(_judge(decision, checks, notes, wanted=wanted), checks, noise(score, baseline))


def noise(score: Score, baseline: TaskBaseline | None) -> float | None:
    """Return the larger of the noise measured now and the one stored; None without either."""
    stored = None if baseline is None else baseline.metrics.get(score.metric)
    known = [score.noise, None if stored is None else stored.noise]
    return max((value for value in known if value is not None), default=None)


def _doubt(decision: Decision, checks: list[Check], floor: float | None) -> Decision:
    """Make a decision INCONCLUSIVE whose tolerance is finer than the noise: chance decided it."""
    finest = min(checks, key=lambda check: check.allowed, default=None)
    if floor is None or finest is None or float(finest.allowed) >= floor:
        return decision
    return replace(
        decision,
        verdict=Verdict.INCONCLUSIVE,
        reason=f"the change allowed against the {finest.against}, {float(finest.allowed)!r}, is "
        f"below the measured noise of {floor!r}; {decision.reason}",
    )


def decide_all(
    measurement: Measurement,
    limits: Mapping[str, Limits],
    *,
    baseline: TaskBaseline | None,
    reference: Measurement | None,
    fault: InvalidMeasurement | None = None,
    degenerate: str = "fail",
    provenance: Mapping[str, Any] | None = None,
    strict_env: bool = False,
) -> tuple[Decision, ...]:
    """Decide every metric that `limits` names, in its order; see `decide`."""
    return tuple(
        decide(
            measurement,
            metric,
            limits=policy,
            baseline=baseline,
            reference=reference,
            fault=fault,
            degenerate=degenerate,
            provenance=provenance,
            strict_env=strict_env,
        )
        for metric, policy in limits.items()
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
    """Turn the comparisons into the verdict; the first harmful one leads, else the first."""
    harmful = [check for check in checks if check.harmful]
    missing = wanted and not any(check.against == "baseline" for check in checks)
    verdict = Verdict.REGRESSION if harmful else Verdict.PASS
    told = [str(check) for check in checks]
    if not checks:
        told.append("held against nothing: no baseline and no limit against a reference")
    elif missing:
        told.append("without a stored baseline")
    if not harmful and (missing or not checks):
        verdict = Verdict.NO_BASELINE
    if any(check.against == "baseline" and check.harm < -check.allowed for check in checks):
        notes.append(TOO_GOOD)
    lead = next(iter(harmful or checks), None)
    return replace(
        decision,
        verdict=verdict,
        reason=f"{decision.metric} is {'; and '.join(told)}",
        notes=tuple(notes),
        anchor=None if lead is None else lead.anchor,
        against="" if lead is None else lead.against,
        delta=None if lead is None else float(lead.delta),
        allowed=None if lead is None else float(lead.allowed),
        tolerance=None if lead is None else lead.tolerance,
    )
