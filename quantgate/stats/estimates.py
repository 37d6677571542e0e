"""A figure with its error and its interval."""

from __future__ import annotations

from dataclasses import dataclass

from quantgate.stats.quantiles import t_quantile, t_tails, two_sided
from quantgate.stats.vectors import Vector


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or a ratio of items.

    Attributes:
        value: the estimate, in the items' unit.
        stderr: its standard error, in the same unit.
        low: lower end of its two-sided interval.
        high: upper end.
        n: items behind it (questions, tokens, words).
        clusters: of them, what counts as independent: the degrees of freedom of `stderr` plus one.
    """

    value: float
    stderr: float
    low: float
    high: float
    n: int
    clusters: int


def student(value: float, stderr: float, *, n: int, clusters: int, confidence: float) -> Estimate:
    """Return the estimate with Student's interval of clusters - 1 degrees of freedom."""
    half = t_quantile(two_sided(confidence), clusters - 1) * stderr
    return Estimate(value, stderr, value - half, value + half, n, clusters)


def effective(sizes: Vector) -> int:
    """Return sum(sizes)^2 / sum(sizes^2), rounded down, at least 2.

    It is the number of equal clusters whose error is known as well as that of the unequal ones: an
    error that rests on two large subjects and ten small ones has few degrees of freedom (Carter,
    Schnepel and Steigerwald, Review of Economics and Statistics 99, 2017, for items that are hardly
    more alike within a cluster than across). MMLU's 57 subjects count as 29.

    Args:
        sizes: items of each cluster, `[G]`, two of them positive.
    """
    share = float(sizes.sum()) ** 2 / float(sizes @ sizes)
    return max(2, int(share * (1 + 1e-12)))  # equal sizes give their number, whatever the rounding


def t_p_value(estimate: Estimate) -> float:
    """Return the two-sided p-value of `estimate` against 0.

    Student's t of value / stderr with clusters - 1 degrees of freedom. Where the error is 0 there
    is nothing to doubt: 1.0 for a value of 0, else 0.0.

    Raises:
        ValueError: fewer than two clusters.
    """
    if estimate.clusters < 2:
        raise ValueError(f"a p-value needs two clusters at least, not {estimate.clusters}")
    if estimate.stderr == 0:
        return 1.0 if estimate.value == 0 else 0.0
    return t_tails(estimate.value / estimate.stderr, estimate.clusters - 1)
