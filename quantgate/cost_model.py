"""Relative cost of a row, from the model's shape alone.

Costs are in multiply-add units of dense matrix work. Two effects beside it decide a row's width:
attention reads every pair of (row token, visible token) and runs less efficiently than the
projections, and every run streams the weights once, whatever its width. The two factors were
measured on a two-core AVX-512 machine with a 30-layer, 106 M parameter decoder body; they are
constants because a plan must not depend on the machine it is made on.
"""

from __future__ import annotations

from dataclasses import dataclass

# One score costs 2 * head_size multiply-adds plus an exponential, at a fraction of the rate of
# the large matrix products: 0.9 µs a pair against 1.3 ms a token for that shape.
PAIR_INEFFICIENCY = 2.2
# A run of 32 tokens takes about as long as 16 more tokens in a wide run: streaming the weights.
RUN_OVERHEAD_TOKENS = 16


@dataclass(frozen=True, slots=True)
class CostModel:
    """Costs of one decoder.

    Attributes:
        linear: multiply-adds of all projections for one token.
        pair: multiply-adds of attention for one (token, visible token) pair, all layers.
        cache: KV-cache elements a token leaves, copied for each row behind a prefix.
    """

    linear: int
    pair: int
    cache: int

    def row(self, size: int, prefix: int) -> float:
        """Cost of computing `size` tokens in one row behind `prefix` kept tokens."""
        dense = (size + RUN_OVERHEAD_TOKENS) * self.linear
        attention = size * (prefix + size) * self.pair * PAIR_INEFFICIENCY
        return dense + attention + prefix * self.cache

    def prefix(self, size: int) -> float:
        """Cost of computing a prefix once; nothing for an empty one."""
        return self.row(size, 0) if size else 0.0
