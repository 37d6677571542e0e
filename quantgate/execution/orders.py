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
from quantgate.groups import Group, PlanLimits
from quantgate.requests import Generation, Ids


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


@dataclass(frozen=True, slots=True)
class GenerateOrder:
    """A sequence to generate greedily, in one round or several.

    Attributes:
        rounds: ids to append; those of a round follow the whole answer to the round before.
        limit: most ids to generate in each round.
        stop_ids: any of them ends an answer and is its last id.
        capacity: tokens to make room for, at least as many as there can be.

    Raises:
        ValueError: nothing to append or to generate, or too little room.
    """

    rounds: tuple[Ids, ...]
    limit: int
    stop_ids: Ids
    capacity: int

    def __post_init__(self) -> None:
        if not self.rounds or not all(self.rounds) or self.limit < 1:
            raise ValueError("a generation appends and generates at least one id in every round")
        if self.capacity < (most := most_tokens(self.rounds, self.limit)):
            raise ValueError(f"room for {self.capacity} tokens, but there may be {most}")

    @classmethod
    def of(cls, request: Generation) -> GenerateOrder:
        """The order of a request, with room for it alone; its stop strings are the caller's."""
        capacity = most_tokens(request.rounds, request.limit)
        return cls(request.rounds, request.limit, request.stop_ids, capacity)


def most_tokens(rounds: tuple[Ids, ...], limit: int) -> int:
    """Most tokens of a sequence: all rounds, and `limit` generated in each."""
    return sum(map(len, rounds)) + limit * len(rounds)


@dataclass(frozen=True, slots=True)
class Generated:
    """What was generated, and how long each id took.

    Attributes:
        ids: the answer to each round, its stop id included.
        first_s: seconds from a round's ids to the first id of its answer, float64 `[rounds]`.
        step_s: seconds of each id after an answer's first, float64, round by round:
            `len(answer) - 1` of each.
        ended: by round, `stop` where the answer ends with a stop id, else `limit`.
        loaded_mib: resident memory of the process that holds the model, in MiB, with the model
            loaded, the sequence's room made and nothing appended. What earlier orders have left
            there is in it, so the first order of a session tells what the model takes.
    """

    ids: tuple[Ids, ...]
    first_s: NDArray[np.float64]
    step_s: NDArray[np.float64]
    ended: tuple[str, ...]
    loaded_mib: int


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

    def generate(self, order: GenerateOrder) -> Generated:
        """Generate a sequence.

        Raises:
            InvalidMeasurement: `context-overflow`, what the backend says, or what `run` raises of
                a child process.
        """
        ...

    def close(self) -> None:
        """End the session and free its memory."""
        ...
