"""The figures of a divergence that every side tells, and how far they may be apart.

fp32 perplexities show that all sides score the same ids in the same windows. A candidate's own
figures differ more, because int4 packages round activations to int8: what changes the last bit of a
float, such as another number of rows in a product, moves a log-probability by 0.01 to 0.1 nats
(docs/measurements.md). In a perplexity that averages out over thousands of tokens; of a divergence,
which is a square, the squared ratio of noise to damage stays, a few per cent at most. Formulas that
are no KL, such as sum p |log p - log q|, are off by factors of 8 and more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LIMITS = {"reference_perplexity": 1e-5, "perplexity": 1e-3, "kl_mean": 5e-2}
"""Relative differences that are a failure, by figure."""


def figure_rows(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The figures of every side's record."""
    return [
        {"side": name, **{figure: f"{record[figure]:.8g}" for figure in LIMITS}}
        for name, record in records.items()
    ]


def differences(records: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Relative differences by figure: the largest over the smallest, less 1.

    NaN where a side found NaN, infinite where the smallest isn't positive.
    """
    return {
        figure: _difference([float(record[figure]) for record in records.values()])
        for figure in LIMITS
    }


def _difference(values: Sequence[float]) -> float:
    low, high = float(np.min(values)), float(np.max(values))
    return float("inf") if low <= 0 else high / low - 1


def failures(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What doesn't agree, a line each."""
    found = [
        f"{figure} differs by {difference:.2g}, {LIMITS[figure]:g} or more"
        for figure, difference in differences(records).items()
        if not difference < LIMITS[figure]
    ]
    texts = {record["ids"] for record in records.values()}
    return [*found, "the sides scored other ids"] if len(texts) > 1 else found
