"""Runs a plan and hands its scored rows to whoever keeps numbers of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import Backend, FloatArray, Progress, ScoredBlock
from quantgate.errors import InvalidMeasurement
from quantgate.plan import Plan


class RowBlock:
    """A block with one entry per (request, position) that reads its rows.

    Attributes:
        requests: request number of each entry, int64 `[k]`.
        positions: position in the request's ids, int64 `[k]`.
        rows: which row of `logits` and `hidden` the entry reads, int64 `[k]`.
        logits: `[n, V]` float32.
        hidden: `[n, H]`.
    """

    def __init__(self, block: ScoredBlock, plan: Plan) -> None:
        entries = [
            (request, position, row)
            for row, (sequence, position) in enumerate(block.keys)
            for request in plan.members[sequence]
        ]
        self.requests, self.positions, self.rows = np.array(entries, dtype=np.int64).T
        self.logits: NDArray[np.float32] = block.logits
        self.hidden: FloatArray = block.hidden


def collect(
    backend: Backend, plan: Plan, progress: Progress, consume: Callable[[RowBlock], None]
) -> None:
    """Score `plan` and pass every block to `consume`.

    Raises:
        InvalidMeasurement: `rows-missing` where the backend yields other rows than wanted.
    """
    seen = 0
    for block in backend.score(plan, progress):
        seen += len(block.keys)
        consume(RowBlock(block, plan))
    wanted = sum(len(row.wanted) for group in plan.groups for row in group.rows)
    if seen != wanted:
        raise InvalidMeasurement(
            "rows-missing",
            need=f"{wanted} scored rows from the backend",
            found=str(seen),
            fix="report this with the package's layout (quantgate inspect)",
        )
