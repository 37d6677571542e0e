"""Quantiles of the normal and of Student's t distribution, and t's two tails."""

from __future__ import annotations

from statistics import NormalDist


def z_quantile(share: float) -> float:
    """Return the standard normal quantile of `share`; ValueError unless 0 < share < 1."""
    return NormalDist().inv_cdf(_checked(share))


def t_quantile(share: float, freedom: float) -> float:
    """Return Student's t quantile of `share` at `freedom` degrees of freedom.

    Raises:
        ValueError: unless 0 < share < 1 and freedom > 0.
    """
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    if not freedom > 0:
        raise ValueError(f"degrees of freedom are positive, not {freedom}")
    return float(stdtrit(freedom, _checked(share)))


def t_tails(statistic: float, freedom: float) -> float:
    """Return P(|T| >= |statistic|) of Student's t; ValueError unless freedom > 0."""
    from scipy.special import stdtr

    if not freedom > 0:
        raise ValueError(f"degrees of freedom are positive, not {freedom}")
    return float(min(1.0, 2 * stdtr(freedom, -abs(statistic))))


def two_sided(confidence: float) -> float:
    """Return the share below the upper end of a two-sided interval: 0.975 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence}")
    return (1 + confidence) / 2


def _checked(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError(f"a share of a distribution lies between 0 and 1, not at {share}")
    return share
