"""Evidence in words: the paired change with its interval, and whether it is more than chance."""

from __future__ import annotations

from quantgate.gate.scales import cluster_noun
from quantgate.report.numbers import FRACTION, change, digits_for, percent
from quantgate.results import Decision, Direction, Evidence, Score

SIGNIFICANT = 0.05
_SMALLEST = 1e-12  # p-values below it are told as being below


def evidence_lines(decision: Decision, score: Score | None) -> list[str]:
    """Return what is known about the error of a decision's delta, one idea a line.

    The first line is the paired change or, where no items are paired, the figure's standard error;
    none where there is neither.
    """
    if decision.evidence is not None and score is not None:
        evidence, metric = decision.evidence, decision.metric
        return [_paired(evidence, score), f"{_chance(evidence)}; {_smallest(evidence, metric)}"]
    stderr = None
    if score is not None:
        stderr = score.stderr if score.stderr_clustered is None else score.stderr_clustered
    if score is None or stderr is None:
        return []
    told = f"standard error {change(stderr, score.unit)} (n {score.n:,})"
    if not decision.against:
        return [told]
    return [told, f"whether it is chance can't be told: no items are paired with {_its(decision)}"]


def _its(decision: Decision) -> str:
    return f"the {decision.against}'s"


def _paired(evidence: Evidence, score: Score) -> str:
    """Word the paired change, its interval and what is allowed, with the same digits."""
    scale = evidence.scale
    worse = -1.0 if score.direction is Direction.HIGHER else 1.0
    numbers = [evidence.delta, evidence.low, evidence.high]
    numbers += [] if evidence.allowed is None else [worse * evidence.allowed]
    digits = digits_for(*(percent(number, scale) for number in numbers))
    delta, low, high, *allowed = (f"{percent(number, scale):+.{digits}f}" for number in numbers)
    unit = "points" if scale == FRACTION else scale
    line = f"paired delta to the {evidence.against} {delta} {unit}, 95 % CI {low}..{high}"
    return f"{line}; allowed {allowed[0]}" if allowed else line


def _chance(evidence: Evidence) -> str:
    if evidence.delta == 0 and evidence.stderr == 0:
        return f"nothing changed, item by item ({evidence.method})"
    sure = evidence.p_value < SIGNIFICANT
    word = "isn't chance" if sure else "could be chance"
    counts = ""
    if evidence.lost is not None and evidence.won is not None:
        counts = f": {evidence.lost:,} from right to wrong, {evidence.won:,} from wrong to right"
    return f"{word}: {p_equals(evidence)} ({evidence.method}{counts})"


def p_value(evidence: Evidence) -> str:
    """Return p, the probability of so large a change if nothing had changed: `0.0054`."""
    return f"{evidence.p_value:.2g}" if evidence.p_value >= _SMALLEST else f"< {_SMALLEST:.0e}"


def p_equals(evidence: Evidence) -> str:
    """Return p as an equation: `p = 0.0054`, `p < 1e-12`."""
    told = p_value(evidence)
    return f"p {told}" if told.startswith("<") else f"p = {told}"


def _smallest(evidence: Evidence, metric: str) -> str:
    noun = "drop" if cluster_noun(metric) == "questions" else "change for the worse"
    return f"the smallest {noun} this run detects is {change(evidence.detectable, evidence.scale)}"
