"""One round of requests by one plan: from the journal or the model, batch by batch, to answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from quantgate.answers import Answers, places_of
from quantgate.backends.base import FloatArray
from quantgate.cases import Case
from quantgate.errors import InvalidMeasurement
from quantgate.execution.journal import BatchJournal, RunJournal
from quantgate.execution.ordering import Ordering, Ticket
from quantgate.execution.orders import Order, Readings
from quantgate.own_code import answering_digest
from quantgate.plan import Plan
from quantgate.requests import Ids, Request
from quantgate.row_files import RowFile
from quantgate.sessions import Sessions
from quantgate.storage import canonical_json, require_free_space, sha256_bytes
from quantgate.tasks.base import KeptRows
from quantgate.traces import HIDDEN, Trace, TraceStore, TraceWriter

NameOf = Callable[[int], str]


class Listener(Protocol):
    """Told what is being scored, for a progress line."""

    def begin(self, case: Case, task: str, tokens: int) -> None:
        """A run over `tokens` tokens begins."""
        ...

    def advance(self, tokens: int) -> None:
        """So many more tokens are done."""
        ...

    def end(self) -> None:
        """The run has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Asker:
    """What asking needs.

    Attributes:
        sessions: where models are opened.
        traces: where references are kept.
        journal: where finished batches are kept.
        listener: told the progress.
    """

    sessions: Sessions
    traces: TraceStore
    journal: BatchJournal
    listener: Listener


class Round:
    """Requests to one case, by one plan.

    Args:
        asker: what asking needs.
        case: who is asked.
        requests: what is asked.
        plan: plan of `requests`.
        compare: compare rows with a place.
        anchor: the reference's kept rows; None compares rows with themselves.
    """

    def __init__(
        self,
        asker: Asker,
        case: Case,
        requests: Sequence[Request],
        plan: Plan,
        *,
        compare: bool,
        anchor: KeptRows | None,
    ) -> None:
        self._asker, self._case = asker, case
        self._requests, self._plan = requests, plan
        self._anchor = anchor if places_of(requests) else None
        self._ordering = Ordering(
            plan,
            requests,
            keep=case.is_reference,
            compare=compare,
            anchor=self._anchor.rows if self._anchor else None,
            tokens=asker.sessions.tokenizer(case).size,
        )

    @cached_property
    def _key(self) -> dict[str, Any]:
        """What the answers depend on; never a name or a path."""
        return {
            "identity": dict(self._asker.sessions.facts(self._case).identity),
            "requests": self._ordering.digest,
            "plan": self._plan.digest,
            "anchor": self._anchor.digest if self._anchor else "",
            "code": answering_digest(),
            "numpy": np.__version__,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of all that the answers depend on."""
        return sha256_bytes(canonical_json(self._key))

    def kept(self) -> Trace | None:
        """What an earlier run of the same content left."""
        return self._asker.traces.load(self._key)

    def keep(self, task: str, name_of: NameOf) -> Trace:
        """Ask, write the answers to the store and read them back, as every later run will."""
        traces = self._asker.traces
        with traces.write(self._key) as writer:
            answers = self._ask(task, name_of, writer)
            for name, array in answers.arrays().items():
                writer.save(name, array)
        trace = traces.load(self._key)
        if trace is None:
            raise InvalidMeasurement(
                "trace-unreadable",
                need=f"the reference's results just written to {traces.folder(self._key)}",
                found="; ".join(traces.warnings) or "nothing there",
                fix="check that disk, or choose another with --gate-cache-dir",
            )
        return trace

    def answers(self, task: str, name_of: NameOf) -> Answers:
        """Ask a candidate."""
        return self._ask(task, name_of, None)

    def _ask(self, task: str, name_of: NameOf, writer: TraceWriter | None) -> Answers:
        answers = Answers.blank(self._requests, compared=self._ordering.compares)
        folder = self._asker.traces.folder(self._key)
        rows = _RowSink(writer, places_of(self._requests), folder)
        listener = self._asker.listener
        listener.begin(self._case, task, self._plan.computed)
        try:
            prefix: Ids = ()
            end: Ids = ()  # a window in parts goes on behind its last one
            for ticket, readings in self._read(name_of):
                ticket.fill(answers, readings)
                rows.put(ticket, readings.hidden)
                batch = ticket.order.batch
                new = () if batch.prefix in (prefix, end) else batch.prefix
                listener.advance(batch.tokens + len(new))
                prefix, end = batch.prefix, batch.prefix + batch.rows[-1].ids
        finally:
            listener.end()
        answers.require_complete(self._requests)
        return answers

    def _read(self, name_of: NameOf) -> Iterator[tuple[Ticket, Readings]]:
        """Every batch's readings: those of the journal first, then the model's as they come."""
        journal = self._asker.journal.open_run(self._key)
        known: set[int] = set()
        for number, ticket in self._ordering.tickets(journal.done):
            readings = journal.load(number)
            if readings is not None:
                known.add(number)
                yield ticket, readings
        left = [number for number in range(self._ordering.count) if number not in known]
        if left:
            yield from self._run(left, journal, name_of)
        journal.finish()

    def _run(
        self, left: list[int], journal: RunJournal, name_of: NameOf
    ) -> Iterator[tuple[Ticket, Readings]]:
        """The readings of the batches that are left, kept as they come."""
        session = self._asker.sessions.session(self._case)
        # A ticket holds copies of the reference's rows, so only those on their way are made.
        sent: deque[Ticket] = deque()

        def orders() -> Iterator[Order]:
            for _, ticket in self._ordering.tickets(left):
                sent.append(ticket)
                yield ticket.order

        run = session.run(orders())
        for number in left:
            try:
                readings = next(run)
            except InvalidMeasurement as fault:
                raise _at(fault, name_of(sent[0].first) if sent else "the first item") from None
            journal.store(number, readings)
            yield sent.popleft(), readings


def _at(fault: InvalidMeasurement, item: str) -> InvalidMeasurement:
    """The same fault, naming what the batch in flight began with."""
    found = f"{fault.found}, in the batch that begins with {item}"
    return InvalidMeasurement(fault.code, need=fault.need, found=found, fix=fault.fix)


class _RowSink:
    """Writes a reference's hidden rows into its trace, by place; `folder` is where that will be."""

    def __init__(self, writer: TraceWriter | None, places: int, folder: Path) -> None:
        self._writer, self._places, self._folder = writer, places, folder
        self._rows: RowFile | None = None

    def put(self, ticket: Ticket, hidden: FloatArray | None) -> None:
        """Keep the rows of a batch, if any came."""
        if self._writer is None or hidden is None:
            return
        if self._rows is None:
            self._rows = self._allocate(self._writer, hidden)
        self._rows[ticket.places] = hidden

    def _allocate(self, writer: TraceWriter, hidden: FloatArray) -> RowFile:
        shape = (self._places, hidden.shape[1])
        size = shape[0] * shape[1] * hidden.dtype.itemsize
        # Until the session has ended, the journal on the same disk has the rows as well.
        require_free_space(self._folder, 2 * size)
        return writer.allocate(HIDDEN, shape, hidden.dtype)
