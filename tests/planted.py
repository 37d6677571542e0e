"""Backends that misbehave in this process: a real one, wrapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from quantgate.backends.base import ScoredBlock
from quantgate.cost_model import CostModel
from quantgate.errors import InvalidMeasurement
from quantgate.groups import Group, PlanLimits


@dataclass
class Deeds:
    """What planted backends do, and what they were asked.

    Attributes:
        out_of_memory_above: tokens computed at once that there is memory for.
        fails_at: number of the batch, from 1, at which a backend gives up.
        code: of the fault it then raises.
        asked: every batch, of all backends.
        opened: how often a backend was opened.
    """

    out_of_memory_above: int = 10**9
    fails_at: int = 0
    code: str = "run-failed"
    asked: list[Group] = field(default_factory=list)
    opened: int = 0

    @property
    def widest(self) -> int:
        """Most tokens asked for at once."""
        return max(_width(batch) for batch in self.asked)

    def plant(self, monkeypatch) -> None:
        """Let every session in this process open such backends."""
        from quantgate.execution import inline

        real = inline.open_backend

        def open_planted(spec: Any) -> Planted:
            self.opened += 1
            return Planted(real(spec), self)

        monkeypatch.setattr(inline, "open_backend", open_planted)


class Planted:
    """A real backend but for its deeds."""

    def __init__(self, backend: Any, deeds: Deeds) -> None:
        self._backend, self._deeds = backend, deeds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    @property
    def limits(self) -> PlanLimits:
        """The backend's, with costs that make wide rows the cheapest: there is much to halve."""
        return replace(self._backend.limits, cost=CostModel(linear=10**6, pair=1, cache=1))

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        self._deeds.asked.append(batch)
        if len(self._deeds.asked) == self._deeds.fails_at:
            raise fault(self._deeds.code)
        if _width(batch) > self._deeds.out_of_memory_above:
            raise fault("out-of-memory")
        yield from self._backend.score(batch)


def fault(code: str) -> InvalidMeasurement:
    return InvalidMeasurement(code, need="luck", found="none", fix="try again")


def _width(batch: Group) -> int:
    if batch.padded:
        return batch.tokens
    return max(len(batch.prefix), *(len(row.ids) for row in batch.rows))
