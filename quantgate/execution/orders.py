"""What is asked of an opened backend, batch by batch, and what comes back: numbers, not logits.

An order and its readings are plain arrays and JSON values, so that a session may live in this
process, in a child or on another host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import FloatArray
from quantgate.plan import Group, PlanLimits


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows to hold against a reference's.

    Attributes:
        rows: which of the batch's wanted rows, int64 `[c]`, ascending.
        hidden: the reference's hidden rows for them, `[c, H]`; None compares with the session's
            own rows, sent through its head a second time: the self-check of a reference.
        tokens: number of ids that the tokenizer has.
    """

    rows: NDArray[np.int64]
    hidden: FloatArray | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Order:
    """One batch and what to read from its rows.

    Attributes:
        batch: what to compute.
        rows: wanted row of each reading, int64 `[m]`, ascending.
        targets: the id whose log-probability is read there, int64 `[m]`; `NO_TARGET` reads none.
        keep: wanted rows whose hidden states come back, int64 `[k]`, ascending.
        comparison: divergences to compute.
    """

    batch: Group
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    keep: NDArray[np.int64]
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """What an order yields.

    Attributes:
        logprobs: of the targets in nats, float64 `[m]`; NaN for `NO_TARGET`.
        top: most likely next id of every wanted row, of equal ones the lowest, int64 `[n]`.
        hidden: the kept rows `[k, H]`; None where none were asked for.
        kl, abs_log_ratio, same_top: float64 `[c]` each (`metrics.divergence`); empty without a
            comparison.
    """

    logprobs: NDArray[np.float64]
    top: NDArray[np.int64]
    hidden: FloatArray | None
    kl: NDArray[np.float64]
    abs_log_ratio: NDArray[np.float64]
    same_top: NDArray[np.float64]


class Session(Protocol):
    """An opened backend, wherever it lives."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """The backend's identity."""
        ...

    @property
    def limits(self) -> PlanLimits:
        """The backend's limits."""
        ...

    def run(self, orders: Iterable[Order]) -> Iterator[Readings]:
        """Yield the readings of `orders` in their order; may look one order ahead.

        Raises:
            InvalidMeasurement: what the backend says, `logits-not-finite` with the number of the
                row; of a child process also `child-died`, `child-hung`, `child-memory`,
                `child-error`, `frame-malformed` or `session-closed`.
        """
        ...

    def close(self) -> None:
        """End the session and free its memory."""
        ...
