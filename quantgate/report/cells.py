"""A decision's figures in words, for the cells of a report's tables; raw texts.

Value, anchor and change have the same decimals, as many as the change takes, so that a reader who
subtracts finds the change that is shown. What is tenfold is told as so many times, each figure with
digits of its own. The interval and what was detectable are the paired items'
(`results.Evidence`), on their scale: for a perplexity that is nats a token, the logarithm's
difference.
"""

from __future__ import annotations

import math
from typing import Final

from quantgate.gate.tolerances import SHARES, THREE_STATE
from quantgate.gate.tolerances import SIGNIFICANT as SIGNIFICANT_DROP
from quantgate.report.digest import Judged
from quantgate.report.noise_words import SIGNIFICANT, p_value
from quantgate.report.numbers import FRACTION, change, digits_for, figure, number, percent, times
from quantgate.results import Evidence, Tolerance, Verdict

MISSING: Final = "-"
_TINY = 1e-4


def measured(judged: Judged) -> str:
    """Name task and metric: `mmlu accuracy`, and `perplexity strided` where both say the same."""
    suite, _, protocol = judged.decision.task.partition(".")
    metric = "" if judged.decision.metric == suite else judged.decision.metric
    return " ".join(filter(None, (suite, protocol, metric)))


def value(judged: Judged) -> str:
    """The figure."""
    return _figure(judged.decision.value, judged)


def anchor(judged: Judged) -> str:
    """What the figure is held against."""
    return _figure(judged.decision.anchor, judged)


def held_against(judged: Judged) -> str:
    """The anchor and what it is: `baseline 81.68 %`."""
    if judged.decision.anchor is None:
        return judged.decision.against or MISSING
    return f"{judged.decision.against} {anchor(judged)}"


def difference(judged: Judged) -> str:
    """The change in the figure's unit: `-2.34 points`, or `no change`."""
    delta = judged.decision.delta
    if delta is None:
        return MISSING
    if delta == 0:
        return "no change"
    digits = None if abs(percent(delta, judged.unit)) < _TINY else _digits(judged)
    return f"{'-' if delta < 0 else '+'}{change(abs(delta), judged.unit, digits)}"


def delta(judged: Judged) -> str:
    """The change, and as a share of the anchor: `+0.450 (+3.13 %)`, `+96.29 (about 39 times)`."""
    share = _share(judged.decision.delta or 0.0, judged)
    if not judged.decision.delta or not share:
        return difference(judged)
    return f"{difference(judged)} ({_manifold(judged) or share})"


def allowed(judged: Judged) -> tuple[str, ...]:
    """The change for the worse that passes, and what is special about it, a line each."""
    decision, sign = judged.decision, judged.harmful_sign
    if decision.allowed is None:
        return (MISSING,)
    line = f"{sign}{change(decision.allowed, judged.unit)}"
    if share := _allowed_share(judged):
        line += f" ({share})"
    return (line, *_manner(decision.tolerance))


def brief(judged: Judged) -> tuple[str, str]:
    """Change and allowance in one unit, as short as can be: `+3.13 %` and `+1.50 %`."""
    limit = _allowed_share(judged)
    if not limit:
        return difference(judged), allowed(judged)[0]
    return _manifold(judged) or _share(judged.decision.delta or 0.0, judged), limit


def noise(judged: Judged) -> str:
    """Whether so large a change is usual where nothing changed."""
    evidence, score = judged.decision.evidence, judged.score
    if judged.decision.delta is None:
        return MISSING
    if evidence is None:
        stderr = None if score is None else score.stderr_clustered or score.stderr
        known = f"; standard error {change(stderr, judged.unit)}" if stderr else ""
        return f"unknown: no items to pair{known}"
    if evidence.delta == 0:
        return "nothing changed"
    return "no" if evidence.p_value < SIGNIFICANT else "may be"


def statistics(judged: Judged) -> tuple[str, ...]:
    """Unit, change, interval, what is allowed and detectable, p and test; all `-` without items."""
    evidence, sign = judged.decision.evidence, judged.harmful_sign
    if evidence is None:
        return (MISSING,) * 7
    scale = evidence.scale
    at, interval = paired(evidence)
    limits = (evidence.allowed, evidence.detectable)
    return (
        "points" if scale == FRACTION else scale,
        at,
        interval,
        *(MISSING if n is None else f"{sign}{number(percent(n, scale))}" for n in limits),
        p_value(evidence),
        evidence.method,
    )


def paired(evidence: Evidence) -> tuple[str, str]:
    """The paired change and its interval, with the same decimals: `-2.34` and `-3.91..-0.77`."""
    ends = [percent(each, evidence.scale) for each in (evidence.delta, evidence.low, evidence.high)]
    digits = digits_for(*ends)
    at, low, high = (f"{end:+.{digits}f}" for end in ends)
    return at, f"{low}..{high}"


def told(judged: Judged) -> str:
    """The verdict as it is shown, `PASS (at risk)` between two bounds."""
    at_risk = judged.decision.verdict is Verdict.PASS and judged.decision.at_risk
    return f"{judged.decision.verdict}{' (at risk)' if at_risk else ''}"


def _figure(known: float | None, judged: Judged) -> str:
    if known is None:
        return MISSING
    # An exact zero, such as a divergence from itself, is not one that rounding made.
    return figure(known, judged.unit, 0 if known == 0 else _digits(judged))


def _digits(judged: Judged) -> int | None:
    """Decimals of value, anchor and change; None where each has its own."""
    decision = judged.decision
    if decision.value is None or decision.anchor is None or _manifold(judged):
        return None
    shown = [percent(each, judged.unit) for each in (decision.value, decision.anchor)]
    if any(0 < abs(each) < _TINY for each in shown):
        return None  # in powers of ten, which keeps them apart
    moved = percent(decision.delta or 0.0, judged.unit)
    return digits_for(*shown, *([moved] if abs(moved) >= _TINY else []))


def _manifold(judged: Judged) -> str:
    decision = judged.decision
    if judged.unit == FRACTION or decision.value is None or decision.anchor is None:
        return ""
    return times(decision.value, decision.anchor)


def _share(size: float, judged: Judged) -> str:
    """A change as a share of the anchor; nothing for fractions, which are shares already."""
    held = judged.decision.anchor
    if judged.unit == FRACTION or not held or not math.isfinite(size / abs(held)):
        return ""
    share = 100 * size / abs(held)
    return f"{'-' if share < 0 else '+'}{number(abs(share))} %"


def _allowed_share(judged: Judged) -> str:
    """What is allowed as a share of the anchor, where the tolerance is one."""
    decision = judged.decision
    if decision.allowed is None or decision.tolerance is None:
        return ""
    if decision.tolerance.kind not in SHARES:
        return ""
    return _share(math.copysign(decision.allowed, float(f"{judged.harmful_sign}1")), judged)


def _manner(tolerance: Tolerance | None) -> tuple[str, ...]:
    """What is special about an allowance."""
    if tolerance is not None and tolerance.kind == SIGNIFICANT_DROP:
        return ("for the 95 % bound",)
    if tolerance is not None and tolerance.kind == THREE_STATE:
        return (f"at risk above {figure(tolerance.value, FRACTION)}",)
    return ()
