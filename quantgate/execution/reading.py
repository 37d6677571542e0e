"""Carries out an order on a backend: blocks of logits in, a few numbers a row out.

Memory is bounded by one block of at most 64 rows, whatever the vocabulary and the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import Backend, FloatArray, Head, ScoredBlock
from quantgate.errors import InvalidMeasurement
from quantgate.execution.orders import Comparison, Order, Readings
from quantgate.metrics.divergence import divergence
from quantgate.metrics.loglikelihood import token_logprobs
from quantgate.requests import NO_TARGET


def carry_out(backend: Backend, order: Order, anchor: Head | None) -> Readings:
    """Score the order's batch and read what it asks for.

    Args:
        backend: an opened backend.
        order: what to score and read.
        anchor: the reference's head; None where the order compares with nothing or itself.

    Raises:
        InvalidMeasurement: `rows-missing` where the backend yields another number of rows than
            wanted, `logits-not-finite`, or what the backend raises.
    """
    reader = _Reader(order, anchor or backend.head if order.comparison else None)
    for block in backend.score(order.batch):
        reader.take(block)
    return reader.readings()


@dataclass(slots=True)
class _Reader:
    """Reads blocks as they come; `_at` is the number of the next wanted row."""

    order: Order
    anchor: Head | None
    _at: int = 0
    _logprobs: list[NDArray[np.float64]] = field(default_factory=list)
    _top: list[NDArray[np.int64]] = field(default_factory=list)
    _hidden: list[FloatArray] = field(default_factory=list)
    _divergences: list[NDArray[np.float64]] = field(default_factory=list)

    def take(self, block: ScoredBlock) -> None:
        """Read one block."""
        start, stop = self._at, self._at + len(block.logits)
        require_finite(block.logits, start)
        self._top.append(block.logits.argmax(axis=-1))
        self._logprobs.append(self._targets(block, start, stop))
        if len(kept := _within(self.order.keep, start, stop)):
            self._hidden.append(block.hidden[kept - start])
        comparison = self.order.comparison
        if comparison is not None and self.anchor is not None:
            self._compare(block, comparison, self.anchor)
        self._at = stop

    def _targets(self, block: ScoredBlock, start: int, stop: int) -> NDArray[np.float64]:
        left, right = np.searchsorted(self.order.rows, (start, stop))
        rows, targets = self.order.rows[left:right] - start, self.order.targets[left:right]
        values = np.full(len(rows), np.nan)
        known = targets != NO_TARGET
        values[known] = token_logprobs(block.logits, rows[known], targets[known])
        return values

    def _compare(self, block: ScoredBlock, comparison: Comparison, anchor: Head) -> None:
        start, stop = self._at, self._at + len(block.logits)
        left, right = np.searchsorted(comparison.rows, (start, stop))
        if left == right:
            return
        rows = comparison.rows[left:right] - start
        own = block.hidden[rows] if comparison.hidden is None else comparison.hidden[left:right]
        reference = anchor.logits(np.ascontiguousarray(own))
        found = divergence(reference, block.logits[rows], comparison.tokens)
        self._divergences.append(np.stack([found.kl, found.abs_log_ratio, found.same_top]))

    def readings(self) -> Readings:
        """All that was read, once every wanted row was there."""
        wanted = len(self.order.batch.wanted)
        if self._at != wanted:
            raise InvalidMeasurement(
                "rows-missing",
                need=f"{wanted} scored rows from the backend",
                found=str(self._at),
                fix="report this with the package's layout (quantgate inspect)",
            )
        found = np.concatenate(self._divergences or [np.empty((3, 0))], axis=1)
        return Readings(
            logprobs=np.concatenate(self._logprobs),
            top=np.concatenate(self._top),
            hidden=np.concatenate(self._hidden) if self._hidden else None,
            kl=found[0],
            abs_log_ratio=found[1],
            same_top=found[2],
        )


def _within(numbers: NDArray[np.int64], start: int, stop: int) -> NDArray[np.int64]:
    left, right = np.searchsorted(numbers, (start, stop))
    return numbers[left:right]


def require_finite(logits: NDArray[np.float32], start: int) -> None:
    """Refuse NaN and infinities: no masked ids are declared, so none is expected.

    Args:
        logits: a block `[n, V]`.
        start: number of its first row within the batch.

    Raises:
        InvalidMeasurement: `logits-not-finite`, naming row and count.
    """
    # A sum is finite exactly where all terms are, short of overflow, which isfinite settles.
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = logits.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    bad = ~np.isfinite(logits)
    if not bad.any():
        return
    row = start + int(bad.any(axis=1).argmax())
    raise InvalidMeasurement(
        "logits-not-finite",
        need="finite logits",
        found=f"{int(bad.sum())} of {bad.size} are NaN or infinite, first in scored row {row} of "
        "the batch",
        fix="export with a wider type, or find the layer that overflows",
    )
