"""The verdict of one comparison, by the rule that `quantgate.gate.decision` states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quantgate.gate.checks import Check
from quantgate.gate.evidence import bounds, unchanged
from quantgate.gate.scales import PAIRED
from quantgate.gate.tolerances import SIGNIFICANT
from quantgate.results import Evidence, Verdict

SIGNIFICANCE: Final = 0.05
REMARKABLE: Final = 0.01  # an improvement is only told, so it should be told seldom
UNDETECTABLE: Final = "the tolerance is below what this run can detect"
MANY: Final = "of so many asked at once, one changes as much by chance"
SETTLED: Final = "settled before all was asked, for the complete run, at an error level of 5 %"
NO_ITEMS: Final = "a significant drop needs the items of both sides"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one comparison comes to.

    Attributes:
        verdict: PASS, REGRESSION, INCONCLUSIVE or INVALID.
        because: what the figures alone don't tell, "" where they tell all.
        at_risk: the pass is one between the two bounds of `three_state`.
    """

    verdict: Verdict
    because: str = ""
    at_risk: bool = False


def rule(check: Check) -> Ruling:
    """Decide one comparison."""
    if check.anchor.incomparable:
        return Ruling(Verdict.INVALID, check.anchor.incomparable)
    if check.settled is not None:
        at_risk = check.settled is Verdict.PASS and check.harm > check.spared
        return Ruling(check.settled, SETTLED, at_risk=at_risk)
    ruling = _by_items(check)
    if ruling.verdict is Verdict.PASS:
        return Ruling(Verdict.PASS, ruling.because, at_risk=check.harm > check.spared)
    if (
        ruling.verdict is Verdict.REGRESSION
        and check.chance is not None
        and check.chance > SIGNIFICANCE
    ):
        p_value = f"Holm-adjusted p = {check.chance:.3g}"
        return Ruling(Verdict.INCONCLUSIVE, f"{MANY} ({p_value})")
    return ruling


def _by_items(check: Check) -> Ruling:
    evidence = check.evidence
    plain = Ruling(Verdict.REGRESSION if check.harmful else Verdict.PASS)
    significant = check.anchor.tolerance.kind == SIGNIFICANT
    if evidence is None or evidence.allowed is None:
        return Ruling(Verdict.INVALID, _without_items(check)) if significant else plain
    fine = evidence.allowed < evidence.detectable
    if unchanged(evidence) or not (fine or significant):
        return plain
    low, high = bounds(evidence, check.direction)
    told = _bounds_in_words(evidence, low, high)
    if high <= evidence.allowed:
        return Ruling(Verdict.PASS, told)
    if low > evidence.allowed or not fine:
        return Ruling(Verdict.REGRESSION, told)
    return Ruling(Verdict.INCONCLUSIVE, f"{UNDETECTABLE}, {evidence.detectable:.3g}; {told}")


def _without_items(check: Check) -> str:
    against = check.anchor.against
    why = check.anchor.unpaired or f"the {against} keeps none that fit"
    update = "update the baseline with --gate-update-baselines to keep them"
    mend = update if against == "baseline" else "name another kind of tolerance"
    return f"{NO_ITEMS}, and {why}: {mend}"


def _bounds_in_words(evidence: Evidence, low: float, high: float) -> str:
    return (
        f"the harm lies above {low:.3g} and below {high:.3g} {evidence.scale}, each with 95 %; "
        f"allowed {evidence.allowed:.3g}"
    )


def better_than_reference(check: Check) -> bool:
    """Whether the candidate does better than what it was quantized from by more than chance.

    That it is faster is what it was quantized for.
    """
    evidence = check.evidence
    if evidence is not None and evidence.scale in PAIRED["speed"].values():
        return False
    if check.anchor.against != "reference" or evidence is None or check.harm >= 0:
        return False
    return evidence.p_value < REMARKABLE and (check.chance is None or check.chance < REMARKABLE)
