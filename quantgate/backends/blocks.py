"""Hidden rows to blocks of logits, so that a head always runs on full blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from quantgate.backends.base import BLOCK_ROWS, FloatArray, Head, ScoredBlock


def in_blocks(
    parts: Iterable[FloatArray], head: Head, most: int = BLOCK_ROWS
) -> Iterator[ScoredBlock]:
    """Yield the rows of `parts` (each `[n, H]`, n at least 1) in blocks of `most` rows.

    Only the last block may be smaller; what a block doesn't take waits for the next part.
    """
    waiting: list[FloatArray] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part)
        if count < most:
            continue
        rows = _joined(waiting)
        full = count - count % most
        for start in range(0, full, most):
            yield _block(rows[start : start + most], head)
        waiting = [rows[full:]] if full < count else []
        count -= full
    if count:
        yield _block(_joined(waiting), head)


def _joined(parts: list[FloatArray]) -> FloatArray:
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _block(rows: FloatArray, head: Head) -> ScoredBlock:
    hidden = np.ascontiguousarray(rows)
    return ScoredBlock(hidden, head.logits(hidden))
