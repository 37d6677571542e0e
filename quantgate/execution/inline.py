"""A session in this process, for debugging: no limits on time or memory, and no survivor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from quantgate.backends.base import BackendSpec, Head, usable_cores
from quantgate.backends.registry import open_backend
from quantgate.execution import generating
from quantgate.execution.orders import Generated, GenerateOrder, Order, Readings
from quantgate.execution.reading import carry_out
from quantgate.execution.slices import Slices
from quantgate.groups import PlanLimits
from quantgate.packages.stamps import Stamp, require_stamp, stamps


def folder_stamps(folder: Path) -> dict[Path, Stamp]:
    """The stamp of every file in a model's folder; a look at each, none is read."""
    return stamps(path for path in folder.rglob("*") if path.is_file())


class InlineSession:
    """A backend and, where rows are compared, the head of its reference.

    Args:
        spec: the model to open.
        anchor: the reference, whose head is opened when the first comparison comes, from the files
            that are there now.
    """

    def __init__(self, spec: BackendSpec, anchor: BackendSpec | None = None) -> None:
        self._backend = open_backend(spec)
        self._anchor = anchor
        self._anchor_stamps = folder_stamps(Path(anchor.folder)) if anchor else {}
        self._slices = Slices(spec.threads or usable_cores())

    @property
    def identity(self) -> Mapping[str, Any]:
        """The backend's identity."""
        return self._backend.identity

    @property
    def limits(self) -> PlanLimits:
        """The backend's limits."""
        return self._backend.limits

    @cached_property
    def _head(self) -> Head | None:
        if self._anchor is None:
            return None
        head = open_backend(self._anchor).head
        for path, stamp in self._anchor_stamps.items():
            require_stamp(path, stamp)
        return head

    def run(self, orders: Iterable[Order]) -> Iterator[Readings]:
        """Yield the readings of `orders` in their order.

        Raises:
            InvalidMeasurement: what the backend says, or `files-changed` of the reference.
        """
        for order in orders:
            compares = order.comparison is not None and order.comparison.hidden is not None
            yield carry_out(self._backend, order, self._head if compares else None, self._slices)

    def generate(self, order: GenerateOrder) -> Generated:
        """Generate a sequence."""
        return generating.carry_out(self._backend, order)

    def close(self) -> None:
        """Drop the model and the reference's head."""
        self._backend.close()
        self._slices.close()
        self.__dict__.pop("_head", None)
