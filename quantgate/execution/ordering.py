"""From a plan to orders, and from their readings back to answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantgate.answers import Answers, offsets_of
from quantgate.backends.base import FloatArray
from quantgate.execution.orders import Comparison, Order, Readings
from quantgate.groups import Group
from quantgate.plan import Plan
from quantgate.requests import Request
from quantgate.row_files import RowFile

Entry = tuple[int, int, int | None]  # answer number, target, place


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where an order's readings belong.

    Attributes:
        order: the order.
        entries: answer number of each reading, int64 `[m]`.
        places: place of each kept or compared row, int64 `[k]`.
        first: request that the batch's first wanted row answers, for messages.
    """

    order: Order
    entries: NDArray[np.int64]
    places: NDArray[np.int64]
    first: int

    def fill(self, answers: Answers, readings: Readings) -> None:
        """Put the readings where they belong."""
        answers.logprobs[self.entries] = readings.logprobs
        answers.top[self.entries] = readings.top[self.order.rows]
        if self.order.comparison is not None:
            answers.kl[self.places] = readings.kl
            answers.abs_log_ratio[self.places] = readings.abs_log_ratio
            answers.same_top[self.places] = readings.same_top


class Ordering:
    """The orders of a plan.

    Args:
        plan: plan of `requests`.
        requests: what is asked.
        keep: rows with a place come back.
        compare: rows with a place are compared.
        anchor: the reference's rows by place `[P, H]`, to compare them with; None compares them
            with themselves.
        tokens: number of ids that the tokenizer has.

    Where rows with a place travel, kept ones to here or the reference's from here, the plan's
    `carried_rows` bounds a batch.
    """

    def __init__(
        self,
        plan: Plan,
        requests: Sequence[Request],
        *,
        keep: bool,
        compare: bool,
        anchor: FloatArray | RowFile | None,
        tokens: int,
    ) -> None:
        self._plan = plan
        self._requests = requests
        self._keep, self.compares = keep, compare
        self._anchor, self._tokens = anchor, tokens
        self._offsets = offsets_of(requests)
        travel = keep or (compare and anchor is not None)
        placed = any(request.place is not None for request in requests)
        self._most_rows = plan.carried_rows if travel and placed else 0

    @property
    def digest(self) -> str:
        """SHA-256 over what is read at which positions of the plan's sequences."""
        digest = hashlib.sha256(f"{self._keep}|{self.compares}|{self._tokens}".encode())
        if self._most_rows:  # a journal knows batches by their number
            digest.update(f"|{self._most_rows}".encode())
        for sequence, members in enumerate(self._plan.members):
            for number in members:
                request = self._requests[number]
                digest.update(
                    f"{sequence}|{number}|{request.scored}|{request.targets}|{request.place}\n".encode()
                )
        return digest.hexdigest()

    def _batches(self) -> Iterator[Group]:
        """Made anew each time: parts of windows repeat the ids before them."""
        return self._plan.batches(self._most_rows)

    @cached_property
    def count(self) -> int:
        """Number of batches."""
        return sum(1 for _ in self._batches())

    def tickets(self, numbers: Iterable[int]) -> Iterator[tuple[int, Ticket]]:
        """The batches of these numbers, in the plan's order, each made when it is asked for."""
        wanted = set(numbers)
        for number, batch in enumerate(self._batches()):
            if number in wanted:
                yield number, self._ticket(batch)

    def _ticket(self, batch: Group) -> Ticket:
        found = [
            (row, *entry)
            for row, want in enumerate(batch.wanted)
            for entry in self._entries(want.sequence, want.position)
        ]
        rows, entries, targets = (
            np.array([each[column] for each in found], dtype=np.int64) for column in range(3)
        )
        placed = [(each[0], each[3]) for each in found if each[3] is not None]
        placed_rows = np.array([row for row, _ in placed], dtype=np.int64)
        places = np.array([place for _, place in placed], dtype=np.int64)
        order = Order(
            batch=batch,
            rows=rows,
            targets=targets,
            keep=placed_rows if self._keep else placed_rows[:0],
            comparison=self._comparison(placed_rows, places),
        )
        return Ticket(order, entries, places, self._plan.members[batch.wanted[0].sequence][0])

    def _entries(self, sequence: int, position: int) -> Iterator[Entry]:
        for number in self._plan.members[sequence]:
            request = self._requests[number]
            if position in request.scored:
                index = request.scored.index(position)
                place = None if request.place is None else request.place + position
                yield int(self._offsets[number]) + index, request.targets[index], place

    def _comparison(self, rows: NDArray[np.int64], places: NDArray[np.int64]) -> Comparison | None:
        if not len(rows) or not self.compares:
            return None
        hidden = None if self._anchor is None else np.ascontiguousarray(self._anchor[places])
        return Comparison(rows, hidden, self._tokens)
