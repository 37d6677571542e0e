"""Carries out an order on a backend: blocks of logits in, a few numbers a row out.

Memory is bounded by blocks (`backends.base.block_rows`), whatever the vocabulary and the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import Backend, FloatArray, Head, ScoredBlock
from quantgate.errors import InvalidMeasurement
from quantgate.execution.orders import Comparison, Order, Readings
from quantgate.execution.slices import Slices
from quantgate.metrics.divergence import PositionDivergence, divergence
from quantgate.metrics.loglikelihood import log_normalizer, token_logprobs
from quantgate.requests import NO_TARGET


def carry_out(
    backend: Backend, order: Order, anchor: Head | None, slices: Slices | None = None
) -> Readings:
    """Score the order's batch and read what it asks for.

    Args:
        backend: an opened backend.
        order: what to score and read.
        anchor: the reference's head; None where the order compares with nothing or itself.
        slices: who reads the rows of a block; None has the caller's thread do it.

    Raises:
        InvalidMeasurement: `rows-missing` where the backend yields another number of rows than
            wanted, `logits-not-finite`, or what the backend raises.
    """
    head = anchor or backend.head if order.comparison else None
    reader = _Reader(order, head, slices or Slices())
    for block in backend.score(order.batch):
        reader.take(block)
    return reader.readings()


@dataclass(slots=True)
class _Reader:
    """Reads blocks as they come; `_at` is the number of the next wanted row."""

    order: Order
    anchor: Head | None
    slices: Slices
    _at: int = 0
    _logprobs: list[NDArray[np.float64]] = field(default_factory=list)
    _top: list[NDArray[np.int64]] = field(default_factory=list)
    _hidden: list[FloatArray] = field(default_factory=list)
    _divergences: list[NDArray[np.float64]] = field(default_factory=list)

    def take(self, block: ScoredBlock) -> None:
        """Read one block."""
        start, stop = self._at, self._at + len(block.logits)
        tops, normalizers = zip(*self._slices(block.logits, start), strict=True)
        self._top += tops
        self._logprobs.append(self._targets(block, start, stop, np.concatenate(normalizers)))
        if len(kept := _within(self.order.keep, start, stop)):
            self._hidden.append(_picked(block.hidden, kept - start))
        comparison = self.order.comparison
        if comparison is not None and self.anchor is not None:
            self._compare(block, comparison, self.anchor)
        self._at = stop

    def _slices(
        self, logits: NDArray[np.float32], start: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Most likely id and log-normalizer of every row, slice by slice."""

        def read(rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
            require_finite(logits[rows], start + rows.start)
            return logits[rows].argmax(axis=-1), log_normalizer(logits[rows])

        return self.slices.map(read, logits, len(logits))

    def _targets(
        self,
        block: ScoredBlock,
        start: int,
        stop: int,
        normalizers: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Log-probabilities of the block's targets; NaN for those that aren't known."""
        left, right = np.searchsorted(self.order.rows, (start, stop))
        rows, targets = self.order.rows[left:right] - start, self.order.targets[left:right]
        values = np.full(len(rows), np.nan)
        known = targets != NO_TARGET
        values[known] = token_logprobs(block.logits, normalizers, rows[known], targets[known])
        return values

    def _compare(self, block: ScoredBlock, comparison: Comparison, anchor: Head) -> None:
        start, stop = self._at, self._at + len(block.logits)
        left, right = np.searchsorted(comparison.rows, (start, stop))
        if left == right:
            return
        rows = comparison.rows[left:right] - start
        theirs = comparison.hidden
        own = _picked(block.hidden, rows) if theirs is None else theirs[left:right]
        reference = anchor.logits(np.ascontiguousarray(own))

        def compare(part: slice) -> PositionDivergence:
            return divergence(reference[part], block.logits[rows[part]], comparison.tokens)

        for found in self.slices.map(compare, reference, len(rows)):
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
            hidden=_joined(self._hidden),
            kl=found[0],
            abs_log_ratio=found[1],
            same_top=found[2],
        )


def _picked(rows: FloatArray, numbers: NDArray[np.int64]) -> FloatArray:
    """The rows of these numbers; not a copy where they are all: they may be logits."""
    return rows if np.array_equal(numbers, np.arange(len(rows))) else rows[numbers]


def _joined(parts: list[FloatArray]) -> FloatArray | None:
    """All parts as one array, a single one as it is; None for none."""
    if len(parts) > 1:
        return np.concatenate(parts)
    return parts[0] if parts else None


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
    with np.errstate(invalid="ignore", over="ignore"):  # infinities of both signs
        total = logits.sum()
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
