"""Answers to the same questions, before and now."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from quantgate.stats.estimates import Estimate, effective, student
from quantgate.stats.means import clustered_stderr, mean_stderr
from quantgate.stats.vectors import cluster_codes, pair


def paired_share(
    now: ArrayLike,
    before: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the mean of now - before over the same questions: the change in accuracy.

    The standard error is `mean_stderr`'s, or with clusters `clustered_stderr`'s; the interval is
    Student's, with n - 1 degrees of freedom, or with clusters G* - 1 (`estimates.effective`). The
    plain error holds for new questions of the same subjects; the clustered one also for other
    subjects, where some suffer more than others.

    The interval holds from about five pairs that differ on; up to twenty a drop looks somewhat
    smaller than it is, with two it covers 82 % only (docs/statistics.md). Without any it is the
    single point 0, and `paired_detectable` says what such a run can't see.

    Args:
        now: whether each answer is right, `[n]`, booleans or 0 and 1.
        before: the same of the anchor.
        clusters: labels to cluster the error by (subjects); None for the plain error.
        confidence: of the two-sided interval.

    Raises:
        ValueError: values other than 0 and 1, or as `paired`.
    """
    candidate, anchor = pair(now, before)
    if not (np.isin(candidate, (0, 1)).all() and np.isin(anchor, (0, 1)).all()):
        raise ValueError("an answer is right or wrong: 1 or 0")
    difference = candidate - anchor
    n = difference.size
    value, stderr = mean_stderr(difference)
    independent = n
    if clusters is not None:
        stderr = clustered_stderr(difference, clusters)
        codes, groups = cluster_codes(clusters, n)
        independent = effective(np.bincount(codes, minlength=groups).astype(np.float64))
    return student(value, stderr, n=n, clusters=independent, confidence=confidence)


def mcnemar(lost: int, won: int) -> float:
    """Return the exact two-sided p-value that answers are lost as often as they are won.

    The binomial test of `lost` among lost + won at a half (McNemar, Psychometrika 12, 1947); 1.0
    where no pair differs.

    Args:
        lost: answers that went from right to wrong.
        won: answers that went from wrong to right.

    Raises:
        ValueError: a negative count.
    """
    if lost < 0 or won < 0:
        raise ValueError(f"counts are 0 or more, not {lost} and {won}")
    if lost == won:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + won, 0.5).pvalue)
