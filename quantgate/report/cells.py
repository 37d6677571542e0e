"""A decision's figures in words, for the cells of a report's tables; raw texts, one idea a line.

The interval and what was detectable are the paired items' (`results.Evidence`), on their scale: for
a perplexity that is nats a token, the logarithm's difference.
"""

from __future__ import annotations

import math
from typing import Final

from quantgate.gate.tolerances import SHARES, THREE_STATE
from quantgate.gate.tolerances import SIGNIFICANT as SIGNIFICANT_DROP
from quantgate.report.digest import Judged
from quantgate.report.noise_words import SIGNIFICANT
from quantgate.report.numbers import FRACTION, change, digits_for, figure, number, percent
from quantgate.results import Evidence, Tolerance, Verdict

NOISE_LEVEL: Final = SIGNIFICANT
_MISSING = "-"
_TINY = 1e-4
_SMALLEST = 1e-12  # p-values below it are told as being below


def measured(judged: Judged) -> str:
    """Name task and metric: `mmlu accuracy`, and `perplexity strided` where both say the same."""
    suite, _, protocol = judged.decision.task.partition(".")
    metric = "" if judged.decision.metric == suite else judged.decision.metric
    return " ".join(filter(None, (suite, protocol, metric)))


def value(judged: Judged) -> str:
    """The figure, with the digits that keep it apart from what it is held against."""
    if judged.decision.value is None:
        return _MISSING
    return figure(judged.decision.value, judged.unit, _digits(judged))


def held_against(judged: Judged) -> str:
    """The anchor and what it is: `baseline 81.68 %`."""
    decision = judged.decision
    if decision.anchor is None:
        return decision.against or _MISSING
    return f"{decision.against} {figure(decision.anchor, judged.unit, _digits(judged))}"


def delta(judged: Judged) -> tuple[str, ...]:
    """The change, and its 95 % interval where items are paired."""
    decision, evidence = judged.decision, judged.decision.evidence
    if decision.delta is None:
        return (_MISSING,)
    own = _signed(decision.delta, judged.unit) + _share(decision.delta, judged)
    if evidence is None:
        return own, "no interval: items aren't paired"
    interval = _interval(evidence)
    return (interval,) if evidence.scale == judged.unit == FRACTION else (own, interval)


def allowed(judged: Judged) -> tuple[str, ...]:
    """The change for the worse that passes, in the figure's unit and on the items' scale."""
    decision, sign = judged.decision, judged.harmful_sign
    if decision.allowed is None:
        return (_MISSING,)
    lines = [f"{sign}{change(decision.allowed, judged.unit)}"]
    if decision.tolerance is not None and decision.tolerance.kind in SHARES:
        lines[0] += _share(math.copysign(decision.allowed, float(f"{sign}1")), judged)
    evidence = decision.evidence
    if evidence is not None and evidence.allowed is not None and evidence.scale != judged.unit:
        lines.append(f"{sign}{change(evidence.allowed, evidence.scale)}")
    return (*lines, *_manner(decision.tolerance))


def detectable(judged: Judged) -> str:
    """The smallest change for the worse that this run would have found."""
    evidence = judged.decision.evidence
    if evidence is None:
        return _MISSING
    return f"{judged.harmful_sign}{change(evidence.detectable, evidence.scale)}"


def noise(judged: Judged) -> tuple[str, ...]:
    """Whether chance explains the change, by which test, and how answers went."""
    decision, evidence, score = judged.decision, judged.decision.evidence, judged.score
    if decision.delta is None:
        return (_MISSING,)
    if evidence is None:
        stderr = None if score is None else score.stderr_clustered or score.stderr
        known = f"; standard error {change(stderr, judged.unit)}" if stderr else ""
        return (f"unknown: no items to pair{known}",)
    if evidence.delta == 0:
        return ("nothing changed", evidence.method)
    sure = evidence.p_value < NOISE_LEVEL
    p_value = f"= {evidence.p_value:.2g}" if evidence.p_value >= _SMALLEST else "< 1e-12"
    lines = [f"{'no' if sure else 'may be'}: p {p_value}", evidence.method]
    if evidence.lost is not None and evidence.won is not None:
        lines.append(f"{evidence.lost:,} lost, {evidence.won:,} won")
    return tuple(lines)


def told(judged: Judged) -> str:
    """The verdict as it is shown, `PASS (at risk)` between two bounds."""
    at_risk = judged.decision.verdict is Verdict.PASS and judged.decision.at_risk
    return f"{judged.decision.verdict}{' (at risk)' if at_risk else ''}"


def _manner(tolerance: Tolerance | None) -> tuple[str, ...]:
    """What is special about an allowance."""
    if tolerance is not None and tolerance.kind == SIGNIFICANT_DROP:
        return ("for the 95 % bound",)
    if tolerance is not None and tolerance.kind == THREE_STATE:
        return (f"at risk above {figure(tolerance.value, FRACTION)}",)
    return ()


def _digits(judged: Judged) -> int | None:
    decision = judged.decision
    if decision.value is None or decision.anchor is None:
        return None
    shown = [percent(each, judged.unit) for each in (decision.value, decision.anchor)]
    if any(0 < abs(each) < _TINY for each in shown):
        return None  # in powers of ten, which keeps them apart
    return digits_for(*shown)


def _signed(size: float, unit: str) -> str:
    return f"{'-' if size < 0 else '+'}{change(abs(size), unit)}"


def _share(size: float, judged: Judged) -> str:
    """The change as a share of the anchor; nothing for fractions, which are shares already."""
    anchor = judged.decision.anchor
    if judged.unit == FRACTION or not anchor or not math.isfinite(size / abs(anchor)):
        return ""
    share = 100 * size / abs(anchor)
    return f" ({'-' if share < 0 else '+'}{number(abs(share))} %)"


def _interval(evidence: Evidence) -> str:
    ends = [percent(each, evidence.scale) for each in (evidence.delta, evidence.low, evidence.high)]
    digits = digits_for(*ends)
    at, low, high = (f"{end:+.{digits}f}" for end in ends)
    unit = "points" if evidence.scale == FRACTION else evidence.scale
    return f"{at} {unit}, 95 % CI {low}..{high}"
