"""Which metrics keep their items, so that two runs can be paired, and the scale pairs are on.

Answers are paired as they are. A perplexity is the exponential of a mean, so its pairs are on the
logarithm's scale, where windows add up; a divergence and bits a byte are means already. A speed
is a ratio to the reference's, round by round, and its figure their median.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LOGARITHMIC: Final[Mapping[str, str]] = MappingProxyType(
    {
        "perplexity": "nats/token",
        "word_perplexity": "nats/word",
        "byte_perplexity": "nats/byte",
    }
)
# By suite. `subject`, `category` and `prefill_speedup` stand for all that begin with `<name>.`.
PAIRED: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "mmlu": {"accuracy": "fraction", "subject": "fraction", "category": "fraction"},
        "perplexity": {**LOGARITHMIC, "bits_per_byte": "bits/byte"},
        "kl_divergence": {
            "kl_mean": "nats",
            "top1_agreement": "fraction",
            "log_perplexity_ratio": "nats",
        },
        "generation": {"matched_share": "fraction", "identical": "fraction"},
        "speed": {
            "generation_speedup": "ratio",
            "first_token_speedup": "ratio",
            "prefill_speedup": "ratio",
        },
    }
)
_BY_DOCUMENT = frozenset({"word_perplexity", "byte_perplexity", "bits_per_byte"})


def is_median(metric: str) -> bool:
    """Whether a figure is the median of its items: one of speed, measured in rounds."""
    return metric.partition(".")[0] in PAIRED["speed"]


def cluster_noun(metric: str) -> str:
    """What counts as independent: questions, generations, windows or documents."""
    if metric.partition(".")[0] in PAIRED["mmlu"]:
        return "questions"
    if metric in PAIRED["generation"]:
        return "generations"
    return "documents" if metric in _BY_DOCUMENT else "windows"
