"""The greedy choice, the same in every engine."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from quantgate.errors import InvalidMeasurement


def most_likely(logits: NDArray[Any], tokens: int) -> int:
    """Id of the largest of `logits` `[V]`, of equal ones the lowest.

    The maximum is NaN where any logit is, and infinite where one is, so it alone is looked at.

    Args:
        logits: of the position behind the sequence.
        tokens: how many tokens that has, for the message.

    Raises:
        InvalidMeasurement: `logits-not-finite`.
    """
    best = int(logits.argmax())
    if not math.isfinite(logits[best]):
        raise InvalidMeasurement(
            "logits-not-finite",
            need="finite logits",
            found=f"{logits[best]} as the largest logit behind {tokens} tokens",
            fix="export with a wider type, or find the layer that overflows",
        )
    return best
