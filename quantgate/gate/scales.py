"""Which metrics keep their items, so that two runs can be paired, and the scale pairs are on.

Answers are paired as they are. A perplexity is the exponential of a mean, so its pairs are on the
logarithm's scale, where windows add up; a divergence and bits a byte are means already.
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
# By suite. `subject` and `category` stand for every `subject.<name>` and `category.<name>`.
PAIRED: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "mmlu": {"accuracy": "fraction", "subject": "fraction", "category": "fraction"},
        "perplexity": {**LOGARITHMIC, "bits_per_byte": "bits/byte"},
        "kl_divergence": {
            "kl_mean": "nats",
            "top1_agreement": "fraction",
            "log_perplexity_ratio": "nats",
        },
    }
)
_BY_DOCUMENT = frozenset({"word_perplexity", "byte_perplexity", "bits_per_byte"})


def cluster_noun(metric: str) -> str:
    """What counts as independent: questions, windows or documents."""
    if metric.partition(".")[0] in PAIRED["mmlu"]:
        return "questions"
    return "documents" if metric in _BY_DOCUMENT else "windows"
