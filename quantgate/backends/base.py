"""The one protocol that every engine speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantgate.packages.tokenizer import Tokenizer
from quantgate.plan import Plan, PlanLimits

BLOCK_ROWS = 64

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """At most `BLOCK_ROWS` scored rows.

    Attributes:
        keys: (sequence, position) of each row: the plan's sequence number and the position whose
            next-token distribution the row holds.
        hidden: the head's input, `[n, H]`, in the graph's own type.
        logits: `[n, V]` float32, finite.
    """

    keys: tuple[tuple[int, int], ...]
    hidden: FloatArray
    logits: NDArray[np.float32]


Progress = Callable[[int], None]


class Head(Protocol):
    """Turns kept hidden rows back into logits."""

    def logits(self, hidden: FloatArray) -> NDArray[np.float32]:
        """`[n, H]` to `[n, V]` float32, n at most `BLOCK_ROWS`."""
        ...


class Backend(Protocol):
    """A loaded model.

    `identity` is JSON-ready: a digest of every file read, the provider attached, options and
    versions. Results are keyed by it; paths are labels only.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """What was loaded, where it runs and with which options."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The package's tokenizer."""
        ...

    @property
    def limits(self) -> PlanLimits:
        """What the planner may do with this model."""
        ...

    @property
    def head(self) -> Head:
        """The model's head alone."""
        ...

    def score(self, plan: Plan, progress: Progress) -> Iterator[ScoredBlock]:
        """Yield every wanted row of `plan` once, in blocks; `progress` is told tokens done."""
        ...

    def close_body(self) -> None:
        """Drop all but the head."""
        ...

    def close(self) -> None:
        """Drop the sessions, so that the next model finds their memory free."""
        ...
