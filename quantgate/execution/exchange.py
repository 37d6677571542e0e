"""Messages to a child and its answers, in order and in time, and how it ended where none comes."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from quantgate.errors import GateError, InvalidMeasurement
from quantgate.execution import endings, frames, wire
from quantgate.execution.bounds import Bounds
from quantgate.execution.child import Child, Received
from quantgate.execution.frames import Buffer, Frame

CLOSE_SECONDS = 3.0
# A parent that was away itself gives its reader the time to say that the answer came long ago.
LEAST_WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message without an answer yet: its number and when it was sent."""

    number: int
    at: float

    def __str__(self) -> str:
        return f"batch {self.number}" if self.number else "opening"


class Exchange:
    """A conversation with a child, each message of which is answered once, in order.

    It is over with the first fault that isn't an answer; everything asked later raises the same.

    Args:
        child: a worker that was not sent anything yet.
        bounds: limits on time and memory.
        name: of the case, for messages.

    Attributes:
        bounds: those in force.
        spent: seconds in which an answer was due.
    """

    def __init__(self, child: Child, bounds: Bounds, name: str) -> None:
        self.bounds = bounds
        self.spent = 0.0
        self._child = child
        self._name = name
        self._fault: GateError | None = None
        self._sent: deque[_Sent] = deque()  # unanswered, in the order of their answers
        self._answers: dict[int, Frame | None] = {}  # those waited for
        self._since = 0.0  # when the last answer came

    def require_open(self) -> None:
        """Refuse a conversation that is over, with the fault that ended it."""
        if self._fault is not None:
            ended = self._fault  # raised anew: a kept traceback would keep this object alive
            raise type(ended)(ended.code, need=ended.need, found=ended.found, fix=ended.fix)

    def send(self, number: int, buffers: list[Buffer]) -> None:
        """Queue a message whose answer is waited for; doesn't wait itself."""
        self.require_open()
        self._sent.append(_Sent(number, time.monotonic()))
        self._answers[number] = None
        self._child.send(buffers)

    def forget(self, number: int) -> None:
        """Drop the answer to `number`, come or yet to come."""
        self._answers.pop(number, None)

    def answer(self, number: int) -> Frame:
        """Wait for the answer to `number`.

        Raises:
            GateError: its fault, or what ended the conversation: `child-died`, `child-hung`,
                `child-memory`, `frame-malformed` or `session-closed`.
        """
        while (frame := self._answers[number]) is None:
            self.require_open()
            self._take()
        del self._answers[number]
        if frame.kind == "fault":
            raise wire.fault_of(frame)
        return frame

    def close(self) -> None:
        """End the child: at once where it is busy, else when it has dropped its model."""
        if self._fault is None:
            self._fault = endings.closed(self._name)
            if not self._sent:
                self._child.send(frames.encode(Frame("close")))
                self._child.wait(CLOSE_SECONDS)
        self._child.end()

    def end(self, fault: GateError) -> None:
        """End the conversation and the child for `fault`, unless another has done so."""
        self._fault = self._fault or fault
        self._child.end()

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
            self.end(received)
        elif received.values.get("number") != head.number:
            self.end(frames.malformed(f"an answer to {received.values.get('number')!r}"))
        else:
            self._sent.popleft()
            self._since = at
            self.spent += at - started
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
        batch, session = self.bounds.batch_seconds, self.bounds.session_seconds
        if batch:
            yield f"{batch:g} s for a batch or opening", batch, 0.0
        if session:
            yield f"{session:g} s for the session", session, self.spent

    def _end_hung(self, head: _Sent, elapsed: float) -> None:
        self._child.dump_stacks()
        self._child.end()
        limit, _, used = min(self._limits(), key=lambda each: each[1] - each[2])
        self.end(endings.hung(self._child, self._name, str(head), limit, used + elapsed))

    def _end_dead(self, head: _Sent) -> None:
        # A process that is ending has closed its pipe already; what it ends with is not there yet.
        gone = self._child.wait(CLOSE_SECONDS)
        self._child.end()
        if self._child.watch.exceeded:
            self.end(endings.over_memory(self._child, self._name, str(head), self.bounds))
        else:
            self.end(endings.died(self._child, self._name, str(head), gone=gone))
