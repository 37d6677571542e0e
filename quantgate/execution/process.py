"""A session in a child process: what kills or hangs a model there ends that session alone."""

from __future__ import annotations

import queue
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from quantgate.backends.base import BackendSpec
from quantgate.errors import GateError, InvalidMeasurement
from quantgate.execution import endings, frames, generation_wire, wire
from quantgate.execution.bounds import Bounds
from quantgate.execution.child import Child, Received
from quantgate.execution.frames import Frame
from quantgate.execution.orders import Generated, GenerateOrder, Order, Readings
from quantgate.plan import PlanLimits

AHEAD = 1  # orders sent before the readings of the one in work are there
CLOSE_SECONDS = 3.0
# A parent that was away itself gives its reader the time to say that the answer came long ago.
LEAST_WAIT_SECONDS = 0.5

AnyOrder = TypeVar("AnyOrder", Order, GenerateOrder)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message without an answer yet: its number and when it was sent."""

    number: int
    at: float

    def __str__(self) -> str:
        return f"batch {self.number}" if self.number else "opening"


class ProcessSession:
    """A backend in a child of its own, which starts at once and opens it meanwhile.

    Args:
        spec: the model to open.
        anchor: the reference, whose head is opened when the first comparison comes.
        bounds: limits on time and memory; those of `Bounds()` by default.
        name: of the case, for messages.

    Attributes:
        loaded_mib: resident memory of the child in MiB with its whole model loaded, as its first
            generation found it; 0 before.
    """

    def __init__(
        self,
        spec: BackendSpec,
        anchor: BackendSpec | None = None,
        *,
        bounds: Bounds | None = None,
        name: str = "",
    ) -> None:
        opening = frames.encode(wire.open_frame(spec, anchor))
        self._bounds = bounds or Bounds()
        self._name = name or spec.folder
        self._child = Child(self._bounds.memory_mib)
        self._finalizer = weakref.finalize(self, self._child.end)  # forgotten, or at exit
        self._fault: GateError | None = None
        self._sent: deque[_Sent] = deque()  # unanswered, in the order of their answers
        self._answers: dict[int, Frame | None] = {}  # those waited for
        self._count = 0  # orders sent
        self._since = 0.0  # when the last answer came
        self._spent = 0.0  # seconds in which an answer was due
        self.loaded_mib = 0
        self._send(wire.OPENING, opening)

    @property
    def peak_mib(self) -> int:
        """Highest resident memory of the child, in MiB, since it began or `restart_peak`."""
        self._child.watch.read()
        return self._child.watch.peak_mib

    def restart_peak(self) -> None:
        """Look for the peak anew, from what the child holds now."""
        self._child.watch.restart_peak()

    @property
    def identity(self) -> Mapping[str, Any]:
        """The backend's identity; waits until it is open.

        Raises:
            UsageFault: or InvalidMeasurement, from the package, the provider or the child's end.
        """
        return self._opened[0]

    @property
    def limits(self) -> PlanLimits:
        """The backend's limits; waits and raises as `identity` does."""
        return self._opened[1]

    @cached_property
    def _opened(self) -> tuple[dict[str, Any], PlanLimits]:
        self._require_open()
        try:
            return wire.opened(self._answer(wire.OPENING))
        except GateError as fault:
            self._fault = self._fault or fault
            self._finalizer()
            raise

    def run(self, orders: Iterable[Order]) -> Iterator[Readings]:
        """Yield the readings of `orders` in their order; looks one order ahead.

        The arrays of an order must not change until its readings are there.

        Raises:
            InvalidMeasurement: what the backend says (the session goes on), or `child-died`,
                `child-hung`, `child-memory`, `frame-malformed` (it is over, and every later run
                raises the same), or `session-closed`.
        """
        _ = self._opened
        self._require_open()
        mine: deque[int] = deque()
        try:
            for order in orders:
                mine.append(self._order(wire.order_frame, order))
                if len(mine) > AHEAD:
                    yield wire.readings_of(self._answer(mine.popleft()))
            while mine:
                yield wire.readings_of(self._answer(mine.popleft()))
        finally:
            for number in mine:  # what the child still says of these interests nobody
                self._answers.pop(number, None)

    def generate(self, order: GenerateOrder) -> Generated:
        """Generate a sequence; the limit on one batch's time holds for all of it.

        Raises:
            InvalidMeasurement: as `run`.
        """
        _ = self._opened
        number = self._order(generation_wire.order_frame, order)
        generated = generation_wire.generated_of(self._answer(number))
        self.loaded_mib = self.loaded_mib or generated.loaded_mib
        return generated

    def close(self) -> None:
        """End the child: at once where it is busy, else when it has dropped its model."""
        if self._fault is None:
            self._fault = endings.closed(self._name)
            if not self._sent:
                self._child.send(frames.encode(Frame("close")))
                self._child.wait(CLOSE_SECONDS)
        self._finalizer()

    def _order(self, frame: Callable[[int, AnyOrder], Frame], order: AnyOrder) -> int:
        self._count += 1
        self._send(self._count, frames.encode(frame(self._count, order)))
        return self._count

    def _send(self, number: int, buffers: list[frames.Buffer]) -> None:
        self._require_open()
        self._sent.append(_Sent(number, time.monotonic()))
        self._answers[number] = None
        self._child.send(buffers)

    def _require_open(self) -> None:
        """Refuse a session that is over, with the fault that ended it."""
        if self._fault is not None:
            ended = self._fault  # raised anew: a kept traceback would keep this object alive
            raise type(ended)(ended.code, need=ended.need, found=ended.found, fix=ended.fix)

    def _answer(self, number: int) -> Frame:
        """Wait for the answer to `number`.

        Raises:
            GateError: its fault, or what ended the session.
        """
        while (frame := self._answers[number]) is None:
            self._require_open()
            self._take()
        del self._answers[number]
        if frame.kind == "fault":
            raise wire.fault_of(frame)
        return frame

    def _take(self) -> None:
        """Take in the answer to the message sent first, or end the session that gives none."""
        head = self._sent[0]
        started = max(self._since, head.at)
        try:
            at, received = self._receive(started)
        except queue.Empty:
            self._end_hung(head, time.monotonic() - started)
            return
        except KeyboardInterrupt:
            self.close()
            raise
        if received is None:
            self._end_dead(head)
        elif isinstance(received, InvalidMeasurement):
            self._end(received)
        elif received.values.get("number") != head.number:
            self._end(frames.malformed(f"an answer to {received.values.get('number')!r}"))
        else:
            self._sent.popleft()
            self._since = at
            self._spent += at - started
            if head.number in self._answers:
                self._answers[head.number] = received

    def _receive(self, started: float) -> tuple[float, Received]:
        left = [seconds - used for _, seconds, used in self._limits()]
        if not left:
            return self._child.receive(None)
        if min(left) <= 0:
            raise queue.Empty
        return self._child.receive(max(LEAST_WAIT_SECONDS, started + min(left) - time.monotonic()))

    def _limits(self) -> Iterator[tuple[str, float, float]]:
        """The time limits: in words, in seconds, and what earlier answers have used of them."""
        batch, session = self._bounds.batch_seconds, self._bounds.session_seconds
        if batch:
            yield f"{batch:g} s for a batch or opening", batch, 0.0
        if session:
            yield f"{session:g} s for the session", session, self._spent

    def _end_hung(self, head: _Sent, elapsed: float) -> None:
        self._child.dump_stacks()
        self._child.end()
        limit, _, used = min(self._limits(), key=lambda each: each[1] - each[2])
        self._end(endings.hung(self._child, self._name, str(head), limit, used + elapsed))

    def _end_dead(self, head: _Sent) -> None:
        # A process that is ending has closed its pipe already; what it ends with is not there yet.
        gone = self._child.wait(CLOSE_SECONDS)
        self._child.end()
        if self._child.watch.exceeded:
            self._end(endings.over_memory(self._child, self._name, str(head), self._bounds))
        else:
            self._end(endings.died(self._child, self._name, str(head), gone=gone))

    def _end(self, fault: InvalidMeasurement) -> None:
        self._fault = fault
        self._finalizer()
