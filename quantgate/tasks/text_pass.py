"""One pass over a text's windows: per-token vectors filled from blocks in whatever order they come.

A candidate is compared with its reference's kept rows, a reference with its own, read back from
the trace that is being written: its divergence of 0 proves the way that later runs will take.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import FloatArray, Head
from quantgate.errors import InvalidMeasurement
from quantgate.metrics.divergence import divergence
from quantgate.metrics.loglikelihood import token_logprobs
from quantgate.requests import LoglikelihoodRolling
from quantgate.tasks.base import HIDDEN, ReferenceRows, Work
from quantgate.tasks.collect import RowBlock
from quantgate.tasks.windows import Window

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextItems:
    """A text as one id sequence and the windows over it."""

    ids: NDArray[np.int64]
    windows: tuple[Window, ...]

    @property
    def requests(self) -> list[LoglikelihoodRolling]:
        """One request per window."""
        ids = tuple(self.ids.tolist())
        return [LoglikelihoodRolling(ids[w.begin : w.end], w.scored) for w in self.windows]

    @property
    def contexts(self) -> list[list[int]]:
        """The one sequence."""
        return [self.ids.tolist()]

    @property
    def digest(self) -> str:
        """SHA-256 over the ids."""
        return hashlib.sha256(self.ids.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class TextSamples:
    """Per-token figures of one model, over N ids.

    Attributes:
        strided: log-probability of id t in its strided window, `[N]`; NaN at 0.
        next_token: log-probability of id t+1 at position t of its disjoint window, `[N]`; NaN at
            N-1, which has no next.
        divergence: figures against the reference, or None for a reference.
    """

    strided: Vector
    next_token: Vector
    divergence: DivergenceSamples | None


@dataclass(frozen=True, slots=True)
class DivergenceSamples:
    """Per position `[N]`: see `metrics.divergence`."""

    kl: Vector
    abs_log_ratio: Vector
    same_top: Vector


class HiddenSink:
    """Writes a reference's hidden rows to its trace, and reads them back for a self-check."""

    def __init__(self, work: Work[TextItems], count: int) -> None:
        self._work = work
        self._count = count
        self._rows: FloatArray | None = None

    @property
    def head(self) -> Head:
        """The reference's own head."""
        return self._work.backend.head

    def put(self, positions: NDArray[np.int64], hidden: FloatArray) -> None:
        """Keep `hidden [k, H]` under corpus `positions [k]`."""
        if self._rows is None and self._work.keep:
            shape = (self._count, hidden.shape[1])
            self._rows = self._work.keep.allocate(HIDDEN, shape, hidden.dtype)
        if self._rows is not None:
            self._rows[positions] = hidden

    def hidden(self, positions: NDArray[np.int64]) -> FloatArray:
        """Rows kept under `positions`; KeyError before the first was kept."""
        if self._rows is None:
            raise KeyError("no rows kept yet")
        return np.ascontiguousarray(self._rows[positions])


class TextPass:
    """Fills per-token vectors from blocks in whatever order they come."""

    def __init__(
        self, work: Work[TextItems], reference: ReferenceRows | None, sink: HiddenSink | None
    ) -> None:
        items = work.items
        count = len(items.ids)
        self._ids = items.ids
        self._tokens = work.backend.tokenizer.size
        self._reference, self._sink = reference, sink
        self._begin = np.array([w.begin for w in items.windows])
        self._first = np.array([w.targets.start for w in items.windows])
        self._stop = np.array([w.targets.stop for w in items.windows])
        self._whole = np.array([w.whole for w in items.windows])
        self._strided, self._next = np.full(count, np.nan), np.full(count, np.nan)
        self._kl, self._ratio, self._top = (np.full(count, np.nan) for _ in range(3))

    def consume(self, block: RowBlock) -> None:
        """Take one block: log-probabilities of the next ids, then the divergence."""
        window = block.requests
        position = self._begin[window] + block.positions
        target = position + 1
        known = target < len(self._ids)
        logprobs = np.full(len(target), np.nan)
        logprobs[known] = token_logprobs(block.logits, block.rows[known], self._ids[target[known]])
        strided = (target >= self._first[window]) & (target < self._stop[window])
        self._strided[target[strided]] = logprobs[strided]
        whole = self._whole[window]
        self._next[position[whole]] = logprobs[whole]
        if self._sink is not None:
            self._sink.put(position[whole], block.hidden[block.rows[whole]])
        if self._reference is not None and whole.any():
            self._compare(position[whole], block.logits[block.rows[whole]], self._reference)

    def _compare(
        self, positions: NDArray[np.int64], logits: NDArray[np.float32], reference: ReferenceRows
    ) -> None:
        anchor = reference.head.logits(reference.hidden(positions))
        found = divergence(anchor, logits, self._tokens)
        self._kl[positions] = found.kl
        self._ratio[positions] = found.abs_log_ratio
        self._top[positions] = found.same_top

    def samples(self) -> TextSamples:
        """All vectors, once every entry was proved to be filled."""
        require_filled(self._strided[1:], "strided targets")
        require_filled(self._next[:-1], "positions of disjoint windows")
        if self._reference is None:
            return TextSamples(self._strided, self._next, None)
        require_filled(self._kl, "divergences")
        if (lowest := float(self._kl.min())) < -1e-9:
            raise InvalidMeasurement(
                "divergence-negative",
                need="KL divergences of at least -1e-9 nats",
                found=f"{lowest:g}",
                fix="report this: the two distributions can't both sum to one",
            )
        return TextSamples(
            self._strided, self._next, DivergenceSamples(self._kl, self._ratio, self._top)
        )


def require_filled(values: Vector, what: str) -> None:
    """Refuse a vector with a gap: a partial figure is no figure.

    Raises:
        InvalidMeasurement: `rows-missing`.
    """
    missing = int(np.isnan(values).sum())
    if missing:
        raise InvalidMeasurement(
            "rows-missing",
            need=f"all {len(values)} {what}",
            found=f"{missing} missing",
            fix="run again; if it persists, report it with the package's layout",
        )
