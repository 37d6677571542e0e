"""A session in a child process: what kills or hangs a model there ends that session alone."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from quantgate.backends.base import BackendSpec
from quantgate.errors import GateError
from quantgate.execution import frames, generation_wire, wire
from quantgate.execution.bounds import Bounds
from quantgate.execution.child import Child
from quantgate.execution.device_memory import device_memory
from quantgate.execution.exchange import Exchange
from quantgate.execution.frames import Frame
from quantgate.execution.orders import Generated, GenerateOrder, Order, Readings
from quantgate.groups import PlanLimits

AHEAD = 1  # orders sent before the readings of the one in work are there
CPU = "cpu"

AnyOrder = TypeVar("AnyOrder", Order, GenerateOrder)


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
        bounds = bounds or Bounds()
        # A provider's name doesn't always tell its device, so all but the CPU's are watched.
        device = None if spec.provider == CPU else device_memory()
        self._child = Child(bounds.memory_mib, device)
        # Forgotten, or at exit. The exchange doesn't know this object, so nothing keeps it alive.
        weakref.finalize(self, self._child.end)
        self._exchange = Exchange(self._child, bounds, name or spec.folder)
        self._count = 0  # orders sent
        self.loaded_mib = 0
        self._exchange.send(wire.OPENING, opening)

    @property
    def peak_mib(self) -> int:
        """Highest resident memory of the child, in MiB, since it began or `restart_peak`."""
        self._child.watch.read()
        return self._child.watch.peak_mib

    @property
    def device_peak_mib(self) -> int:
        """Highest memory on NVIDIA devices, in MiB, since the child began; 0 where none is known.

        Its driver is asked ten times a second; what a runtime keeps for its next use is in it.
        """
        self._child.watch.read()
        return self._child.watch.device_peak_mib

    def restart_peak(self) -> None:
        """Look for the peak of resident memory anew, from what the child holds now."""
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
        self._exchange.require_open()
        try:
            return wire.opened(self._exchange.answer(wire.OPENING))
        except GateError as fault:
            self._exchange.end(fault)
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
        self._exchange.require_open()
        mine: deque[int] = deque()
        try:
            for order in orders:
                mine.append(self._order(wire.order_frame, order))
                if len(mine) > AHEAD:
                    yield wire.readings_of(self._exchange.answer(mine.popleft()))
            while mine:
                yield wire.readings_of(self._exchange.answer(mine.popleft()))
        finally:
            for number in mine:  # what the child still says of these interests nobody
                self._exchange.forget(number)

    def generate(self, order: GenerateOrder) -> Generated:
        """Generate a sequence; the limit on one batch's time holds for all of it.

        Raises:
            InvalidMeasurement: as `run`.
        """
        _ = self._opened
        number = self._order(generation_wire.order_frame, order)
        generated = generation_wire.generated_of(self._exchange.answer(number))
        self.loaded_mib = self.loaded_mib or generated.loaded_mib
        return generated

    def close(self) -> None:
        """End the child: at once where it is busy, else when it has dropped its model."""
        self._exchange.close()

    def _order(self, frame: Callable[[int, AnyOrder], Frame], order: AnyOrder) -> int:
        self._count += 1
        self._exchange.send(self._count, frames.encode(frame(self._count, order)))
        return self._count
