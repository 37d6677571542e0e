"""The only place where per-item vectors become figures; everything runs in float64.

- `means`: means of items with plain and clustered standard errors.
- `pairs`: the change in accuracy over the same questions, exact McNemar.
- `ratios`: log-perplexities and divergences by window; `serial`: windows that are alike.
- `intervals`: of a normal estimate and of a fraction; `resampling`: of anything, by bootstrap.
- `medians`: the shift of a median, of figures some of which were disturbed.
- `power`: the smallest change a run would have found.
- `pareto`: what no other beats in two figures.
- `multiplicity`: many questions asked at once.

Every docstring is a specification; docs/statistics.md shows that the intervals hold.
"""

from quantgate.stats.estimates import Estimate, t_p_value
from quantgate.stats.intervals import normal_interval, wilson_interval
from quantgate.stats.means import clustered_stderr, mean_stderr, paired
from quantgate.stats.medians import median_shift
from quantgate.stats.multiplicity import holm
from quantgate.stats.pairs import mcnemar, paired_share
from quantgate.stats.pareto import pareto_front
from quantgate.stats.power import detectable, paired_detectable
from quantgate.stats.ratios import clustered_ratio
from quantgate.stats.resampling import bootstrap_interval

__all__ = [
    "Estimate",
    "bootstrap_interval",
    "clustered_ratio",
    "clustered_stderr",
    "detectable",
    "holm",
    "mcnemar",
    "mean_stderr",
    "median_shift",
    "normal_interval",
    "paired",
    "paired_detectable",
    "paired_share",
    "pareto_front",
    "t_p_value",
    "wilson_interval",
]
