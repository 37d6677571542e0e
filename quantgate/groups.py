"""Rows that are computed behind one prefix, and what bounds them.

A *group*'s prefix is computed once and its KV cache kept for all of its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantgate.cost_model import CostModel
from quantgate.rows import Row, Wanted
from quantgate.token_trie import Ids

# Tokens that a backend computes before it hands results over: enough to keep its matrix products
# full, few enough to lose little when it dies.
BATCH_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a backend declares about a package.

    Attributes:
        packs: a row may carry a token tree (attention takes a bias and position ids).
        keeps_prefix: a row may start from a kept KV cache.
        context: longest sequence in tokens.
        cost: relative costs, from the model's shape.
        unseen: tokens that a packed row behind no prefix has in front, which nobody sees.
        alone: share nothing: every sequence in a row of its own, from an empty cache.
        batch_tokens: most tokens in a packed row or a padded batch; less after a device ran out of
            memory.
        carried_rows: most hidden rows that an order may carry along, or its readings; 0 sets no
            bound. Where they are logits, those of one window outgrow the model.
    """

    packs: bool
    keeps_prefix: bool
    context: int
    cost: CostModel
    unseen: int = 0
    alone: bool = False
    batch_tokens: int = BATCH_TOKENS
    carried_rows: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Rows behind one kept prefix; a `padded` group is one right-padded batch of whole rows.

    `room` is how many tokens the batches after this one append behind its only row: a cache of
    fixed length is made for all of them.
    """

    prefix: Ids
    rows: tuple[Row, ...]
    padded: bool = False
    room: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all rows; the prefix' not counted."""
        return sum(len(row.ids) for row in self.rows)

    @property
    def wanted(self) -> list[Wanted]:
        """What is scored, row by row: the order of a backend's results."""
        return [want for row in self.rows for want in row.wanted]
