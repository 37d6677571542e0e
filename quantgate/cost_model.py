"""Relative cost of a row, from the model's shape alone.

Costs are in multiply-add units of dense matrix work. Three effects beside it decide a row's width:
attention reads every pair of (row token, visible token) and runs less efficiently than the
projections, every run streams the weights once, whatever its width, and copies the prefix' cache.
The factors are a least-squares fit by `python -m benchmarks.row_width` to a 30-layer decoder body
of 106 M parameters on a two-core AVX-512 machine (RMS relative error 6 % over 18 rows). They are
constants because a plan must not depend on the machine it is made on.
"""

from __future__ import annotations

from dataclasses import dataclass

PAIR_INEFFICIENCY = 1.4
RUN_OVERHEAD_TOKENS = 9
# Multiply-adds that a copied cache element takes the time of: memory against arithmetic.
COPY = 160


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
        return dense + attention + prefix * self.cache * COPY

    def prefix(self, size: int) -> float:
        """Cost of computing a prefix once; nothing for an empty one."""
        return self.row(size, 0) if size else 0.0
