"""What every task brings: items to score, how to score them, how to keep and restore results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from quantgate.backends.base import Backend, FloatArray, Head, Progress
from quantgate.packages.tokenizer import Tokenizer
from quantgate.plan import Plan
from quantgate.requests import Request
from quantgate.traces import Trace, TraceWriter


class Items(Protocol):
    """A corpus as token ids."""

    @property
    def requests(self) -> Sequence[Request]:
        """What is asked of the model."""
        ...

    @property
    def contexts(self) -> Sequence[Sequence[int]]:
        """Ids item by item, to compare tokenizers by."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the scored ids."""
        ...


HIDDEN = "hidden"  # array of a trace: the head's input by corpus position

ItemsT = TypeVar("ItemsT", bound=Items)
SamplesT = TypeVar("SamplesT")


class ReferenceRows(Protocol):
    """Hidden rows that a reference left, by corpus position, and the head that reads them."""

    @property
    def head(self) -> Head:
        """The reference's head."""
        ...

    def hidden(self, positions: NDArray[Any]) -> FloatArray:
        """Rows `[k, H]` of corpus positions `[k]`."""
        ...


@dataclass(frozen=True, slots=True)
class Work(Generic[ItemsT]):
    """One scoring run.

    Attributes:
        backend: the model.
        items: what to score.
        plan: plan of `items.requests` for this backend.
        progress: told the tokens done.
        reference: rows to compare with; None for a case without a reference.
        keep: where a reference leaves its results; None for a candidate.
    """

    backend: Backend
    items: ItemsT
    plan: Plan
    progress: Progress
    reference: ReferenceRows | None = None
    keep: TraceWriter | None = None


class Task(ABC, Generic[ItemsT, SamplesT]):
    """A corpus with its protocol, from ids to per-item results."""

    name: str

    @property
    @abstractmethod
    def corpus_digest(self) -> str:
        """Digest of the selected corpus."""

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, Any]:
        """Protocol parameters, JSON-ready; part of a kept result's key."""

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, context: int) -> ItemsT:
        """Items for a model that reads at most `context` tokens."""

    @abstractmethod
    def score(self, work: Work[ItemsT]) -> SamplesT:
        """Score all items in one pass, keeping what `restore` needs in `work.keep`."""

    @abstractmethod
    def restore(self, trace: Trace) -> SamplesT:
        """Results of an earlier run of the same content."""


@dataclass(frozen=True, slots=True)
class Run(Generic[ItemsT, SamplesT]):
    """Results of one case on one task, with what a later comparison must know.

    Attributes:
        items: what was scored.
        samples: per-item results.
        identity: the backend's identity.
        tokenizer: digest of the tokenizer.
        plan: digest of the plan.
        cost: tokens requested and computed, rows, seconds.
        trace: the kept arrays of a reference, else None.
        kept: whether the results were found on disk.
    """

    items: ItemsT
    samples: SamplesT
    identity: Mapping[str, Any]
    tokenizer: str
    plan: str
    cost: Mapping[str, float]
    trace: Trace | None
    kept: bool
