"""What a sequential run must settle before it may stop: every comparison that the gate will make.

A *claim* is one of them: a metric of a measurement against the stored baseline or the reference,
with the harm that is allowed there, per item, on the scale on which items are paired
(`gate.scales`). A share of an accuracy's anchor stays a share, because the anchor's accuracy
over all questions needn't be known; a share of a perplexity is a difference of logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from quantgate.baselines.schema import TaskBaseline
from quantgate.gate.checks import gated_metrics, reference_value
from quantgate.gate.findings import is_divergence
from quantgate.gate.pairing import mismatch
from quantgate.gate.scales import LOGARITHMIC, PAIRED
from quantgate.gate.tolerances import (
    ABSOLUTE,
    SHARES,
    SIGNIFICANT,
    allowance,
    exact,
    paired_allowance,
)
from quantgate.items import ChoiceItems, ItemResults, WindowItems
from quantgate.results import Direction, Limits, Measurement, Score, Tolerance
from quantgate.sequential.betting import OPEN, Limit, judge_answers, judge_windows

BASELINE: Final = "baseline"
REFERENCE: Final = "reference"
ACCURACY: Final = "accuracy"


@dataclass(frozen=True, slots=True)
class Claim:
    """One comparison that has to be settled.

    Attributes:
        limit: the harm allowed per item; None where it can't be told before everything is asked.
    """

    metric: str
    against: str
    direction: Direction
    limit: Limit | None

    def testable(self, task: str) -> bool:
        """Whether items are kept of the metric, so that a part of them can settle it."""
        return self.metric in PAIRED[task.partition(".")[0]]


def claims_of(
    measurement: Measurement,
    limits: Mapping[str, Limits],
    baseline: TaskBaseline | None,
    reference: Measurement | None,
) -> list[Claim]:
    """The comparisons that the gate makes of a measurement's whole-suite figures.

    Args:
        measurement: of any part of the items.
        limits: the policy by metric, those included that only a complete run has.
        baseline: what is stored for its task.
        reference: the reference's measurement, or None.
    """
    claims = []
    # The first one's stored baseline is in force even where its policy is gone.
    gated = gated_metrics(limits, [score.metric for score in measurement.scores])
    for score in measurement.scores:
        if "." in score.metric or score.metric not in gated:
            continue
        policy = limits.get(score.metric, Limits())
        stored = None if baseline is None else baseline.metrics.get(score.metric)
        if stored is not None:
            limit = _limit(stored.tolerance.tolerance(), score, exact(stored.value), BASELINE)
            claims.append(Claim(score.metric, BASELINE, score.direction, limit))
        value = reference_value(measurement, score.metric, reference)
        if value is not None and policy.reference is not None:
            # Of a divergence the ideal is known, of another figure the anchor only in the end.
            anchor = exact(value) if is_divergence(measurement) else None
            limit = _limit(policy.reference, score, anchor, REFERENCE)
            claims.append(Claim(score.metric, REFERENCE, score.direction, limit))
    return claims


def _limit(
    tolerance: Tolerance, score: Score, anchor: Fraction | None, against: str
) -> Limit | None:
    """The limit per item; `anchor` is None where it isn't known before everything is asked."""
    shares = tolerance.kind in SHARES
    if score.metric == ACCURACY and shares:
        _, share = allowance(tolerance, Fraction(1), score.metric, score.direction)
        return Limit(0.0, share=float(share))
    if anchor is None:
        if score.metric in LOGARITHMIC and tolerance.kind == ABSOLUTE:
            return None
        anchor = Fraction(1)
    # As in `checks`: a share of a reference's 0 would allow nothing.
    as_it_stands = anchor == 0 and shares and against == REFERENCE
    share_of = Fraction(1) if as_it_stands else None
    _, allowed = allowance(tolerance, anchor, score.metric, score.direction, share_of=share_of)
    paired = paired_allowance(tolerance, anchor, allowed, score.metric)
    return None if paired is None else Limit(paired, bounded=tolerance.kind == SIGNIFICANT)


def settle(
    claim: Claim,
    now: ItemResults | None,
    before: ItemResults | None,
    blocks: Sequence[Sequence[int]],
    total: int,
) -> int:
    """Settle a claim by what was taken: `sequential.WITHIN`, `OPEN` or `BEYOND`.

    Args:
        claim: what is claimed.
        now: items of the measurement so far.
        before: those of the anchor, restricted to what `now` has.
        blocks: keys of the items taken (`StagedTask.keys`), block by block.
        total: items of the complete run.
    """
    if claim.limit is None or now is None or before is None or mismatch(now, before):
        return OPEN
    if isinstance(now, ChoiceItems) and isinstance(before, ChoiceItems):
        if claim.metric != ACCURACY:
            return OPEN
        return int(judge_answers(_tally(now, before, blocks), total, claim.limit))
    if isinstance(now, WindowItems) and isinstance(before, WindowItems):
        return _settle_windows(claim, claim.limit, now, before, blocks, total)
    return OPEN


def _tally(
    now: ChoiceItems, before: ChoiceItems, blocks: Sequence[Sequence[int]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Answers by block and kind, `[blocks, 4]`: both right, lost, won, both wrong."""
    kinds = (2 * (1 - before.correct) + (1 - now.correct)).astype(np.int64)
    counts = [np.bincount(kinds[list(block)], minlength=4) for block in blocks]
    return np.array(counts, dtype=np.float64)


def _settle_windows(  # noqa: PLR0917 - a claim with all that bears on it
    claim: Claim,
    limit: Limit,
    now: WindowItems,
    before: WindowItems,
    blocks: Sequence[Sequence[int]],
    total: int,
) -> int:
    if claim.metric not in now.sums or claim.metric not in before.sums:
        return OPEN
    place = {int(begin): number for number, begin in enumerate(now.begins)}
    order = [place[begin] for block in blocks for begin in block]
    harms = (now.sums[claim.metric] - before.sums[claim.metric])[order]
    sign = -1.0 if claim.direction is Direction.HIGHER else 1.0
    sizes = now.counts[claim.metric][order]
    counts = np.array([len(block) for block in blocks])
    return int(judge_windows(sign * harms, sizes, counts, total, limit))
