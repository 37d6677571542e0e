"""What the items of two runs say about a change: is it more than chance, and what could be seen.

Answers are paired question by question: the difference in accuracy with its standard error, and
McNemar's exact test over the answers that changed sides. Texts are paired window by window (or
document by document): the difference of the sums over the sum of the counts, with an error that
allows for windows that are like their neighbours, and Student's t. Perplexities are paired on the
scale of their logarithm, in nats per token, word or byte. A divergence that is held against its
ideal has the ideal in every window, so its evidence is that of one sample.

Speeds are medians of rounds, whose error is the bootstrap's; the rounds of two runs have nothing to
do with each other, so they are compared but not paired.

Greedy generations are paired one by one, each as good as any other.

Only what was asked on both sides is paired; results over other questions or windows are not paired
at all (`pairing.mismatch` says why), and what has fewer than two pairs has no error to go by.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantgate import stats
from quantgate.gate.pairing import labels, mismatch, questions_of
from quantgate.gate.scales import LOGARITHMIC, cluster_noun, is_median
from quantgate.items import ChoiceItems, ItemResults, WindowItems
from quantgate.results import Direction, Evidence, Score
from quantgate.stats.quantiles import t_quantile

LEVEL: Final = 0.95  # of a bound on one side
# Every subject's decision asks for the p-values of all of them.
_mcnemar = lru_cache(maxsize=4096)(stats.mcnemar)
_FEWEST: Final = 2


def pair(  # noqa: PLR0917 - what is paired, and what with
    metric: str,
    score: Score,
    now: ItemResults,
    before: ItemResults,
    against: str,
    allowed: float | None,
) -> Evidence | None:
    """Return the evidence of a change.

    Args:
        metric: name of the score.
        score: the candidate's, for its unit.
        now: the candidate's items.
        before: the anchor's.
        against: `baseline` or `reference`.
        allowed: the harmful change that passes, on the evidence's scale; None without one.

    Returns:
        None where the metric keeps no items, or the items don't match or are too few.
    """
    if mismatch(now, before):
        return None
    if isinstance(now, ChoiceItems) and isinstance(before, ChoiceItems):
        mask = questions_of(metric, now)
        if mask is None or (mask := mask & before.asked).sum() < _FEWEST:
            return None
        return _answers(score, now.correct[mask], before.correct[mask], against, allowed)
    if isinstance(now, WindowItems) and isinstance(before, WindowItems):
        known = metric in now.sums and metric in before.sums
        if known and (now.counts[metric] > 0).sum() >= _FEWEST:
            return _windows(score, now, before, against, allowed)
    return None


def bounds(evidence: Evidence, direction: Direction) -> tuple[float, float]:
    """Return the one-sided 95 % bounds of the harm: it is at least the first, at most the second.

    Each is wrong in at most one run of twenty, both together in one of ten. They are Student's with
    clusters - 1 degrees of freedom, like the interval.
    """
    value = harm(evidence, direction)
    half = t_quantile(LEVEL, evidence.clusters - 1) * evidence.stderr
    return value - half, value + half


def harm(evidence: Evidence, direction: Direction) -> float:
    """Return how much worse it got, on the evidence's scale; negative where it got better."""
    return -evidence.delta if direction is Direction.HIGHER else evidence.delta


def unchanged(evidence: Evidence) -> bool:
    """Whether not a single item changed, so that there is nothing chance could have done."""
    return evidence.delta == 0 and evidence.stderr == 0


def adjusted_p_value(metric: str, now: ItemResults, before: ItemResults) -> float | None:
    """Return McNemar's p-value of a subject or category after Holm's correction over all of them.

    Of 57 subjects about three have a p-value below 0.05 by chance alone.

    Returns:
        None where the metric is none of many.
    """
    family, _, name = metric.partition(".")
    both = isinstance(now, ChoiceItems) and isinstance(before, ChoiceItems)
    if not both or not name or mismatch(now, before):
        return None
    assert isinstance(now, ChoiceItems)  # noqa: S101 - for mypy, as the next
    assert isinstance(before, ChoiceItems)  # noqa: S101
    groups = labels(family, now)
    if groups is None:
        return None
    asked = now.asked & before.asked & (groups != "")
    names, codes = np.unique(groups[asked], return_inverse=True)
    change = now.correct[asked] - before.correct[asked]
    lost = np.bincount(codes[change < 0], minlength=len(names)).tolist()
    won = np.bincount(codes[change > 0], minlength=len(names)).tolist()
    if name not in names:
        return None
    adjusted = stats.holm([_mcnemar(*counts) for counts in zip(lost, won, strict=True)])
    return float(adjusted[names.tolist().index(name)])


def _answers(
    score: Score,
    now: NDArray[np.float64],
    before: NDArray[np.float64],
    against: str,
    allowed: float | None,
) -> Evidence:
    lost, won = int((now < before).sum()), int((now > before).sum())
    estimate = stats.paired_share(now, before)
    found = _evidence(
        estimate,
        against,
        scale=score.unit,
        allowed=allowed,
        detectable=stats.paired_detectable(lost, won, estimate.n),
        p_value=_mcnemar(lost, won),
        method=f"exact McNemar, {estimate.n:,} questions",
    )
    return replace(found, lost=lost, won=won)


def _windows(
    score: Score, now: WindowItems, before: WindowItems, against: str, allowed: float | None
) -> Evidence:
    if is_median(score.metric):
        return _rounds(score, now, before, against, allowed)
    metric, noun = score.metric, cluster_noun(score.metric)
    order = np.argsort(now.begins, kind="stable")  # a sequential run takes them in another
    difference = (now.sums[metric] - before.sums[metric])[order]
    counts = now.counts[metric][order]
    estimate = stats.clustered_ratio(difference, counts, independent=noun != "windows")
    return _evidence(
        estimate,
        against,
        scale=LOGARITHMIC.get(metric, score.unit),
        allowed=allowed,
        method=_students(estimate.clusters - 1, len(order), noun),
    )


def _students(freedom: int, count: int, noun: str) -> str:
    """Name the test; where windows are like their neighbours, few degrees of freedom are left."""
    plural = "s" if freedom > 1 else ""
    known = f"neighbouring {noun}" if noun == "windows" else noun
    return f"Student's t, {freedom:,} degree{plural} of freedom, {count:,} {known}"


def _rounds(
    score: Score, now: WindowItems, before: WindowItems, against: str, allowed: float | None
) -> Evidence:
    estimate = stats.median_shift(now.sums[score.metric], before.sums[score.metric])
    return _evidence(
        estimate,
        against,
        scale=score.unit,
        allowed=allowed,
        method=f"bootstrap of the median, {estimate.n:,} rounds",
    )


def _evidence(
    estimate: stats.Estimate,
    against: str,
    *,
    scale: str,
    allowed: float | None,
    method: str,
    detectable: float | None = None,
    p_value: float | None = None,
) -> Evidence:
    """The evidence of an estimated change; what is detectable and p are Student's unless given."""
    if detectable is None:
        detectable = stats.detectable(estimate.stderr, clusters=estimate.clusters)
    return Evidence(
        against=against,
        scale=scale,
        delta=estimate.value,
        stderr=estimate.stderr,
        low=estimate.low,
        high=estimate.high,
        detectable=detectable,
        allowed=allowed,
        p_value=stats.t_p_value(estimate) if p_value is None else p_value,
        method=method,
        n=estimate.n,
        clusters=estimate.clusters,
    )
