"""What every task brings: items to score, how to ask for them, how to read the answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from quantgate.answers import Answers
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import Generation, Ids, Request
from quantgate.row_files import RowFile


class Items(Protocol):
    """A corpus as token ids."""

    @property
    def contexts(self) -> Sequence[Sequence[int]]:
        """Ids item by item, to compare tokenizers by."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the scored ids."""
        ...

    def name(self, request: int) -> str:
        """What a request is about, for messages."""
        ...


ItemsT = TypeVar("ItemsT", bound=Items)
SamplesT = TypeVar("SamplesT")


class Ask(Protocol):
    """Asks the model; `name` says what a request is about, the items' own name by default."""

    def __call__(
        self, requests: Sequence[Request], name: Callable[[int], str] | None = None
    ) -> Answers:
        """Answers to `requests`; raises InvalidMeasurement."""
        ...


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Hidden rows that a reference left, by place `[P, H]`, and a digest of how they came to be."""

    rows: RowFile
    digest: str


class BaseTask(ABC, Generic[ItemsT, SamplesT]):
    """A corpus with its protocol, as far as what is asked: ids."""

    name: str

    @property
    @abstractmethod
    def corpus_digest(self) -> str:
        """Digest of the selected corpus."""

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, context: int) -> ItemsT:
        """Items for a model that reads at most `context` tokens."""


class Task(BaseTask[ItemsT, SamplesT]):
    """A corpus with its protocol, from ids to the per-item results of teacher forcing.

    `compares` says that a candidate's rows with a place are held against its reference's; without
    it, every case's are held against its own, as a reference's always are.
    """

    compares: bool = False

    @abstractmethod
    def score(self, items: ItemsT, ask: Ask, tokenizer: Tokenizer) -> SamplesT:
        """Ask for all items, in one round or several, and read the answers.

        Only one round may hold requests with a place.
        """


class Generate(Protocol):
    """Lets the model generate: the answers to each request, round by round, stop ids included."""

    def __call__(self, requests: Sequence[Generation]) -> list[tuple[Ids, ...]]:
        """Answers to `requests`; raises InvalidMeasurement."""
        ...


class GenerativeTask(BaseTask[ItemsT, SamplesT]):
    """A corpus with its protocol, from ids to what a model generates behind them."""

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, context: int, ends: Ids = ()) -> ItemsT:
        """Items as any task's; `ends` are ids that end a text, the tokenizer's own being one."""

    @abstractmethod
    def answer(self, items: ItemsT, generate: Generate, tokenizer: Tokenizer) -> SamplesT:
        """Let the model answer all items."""


@dataclass(frozen=True, slots=True)
class Run(Generic[ItemsT, SamplesT]):
    """Results of one case on one task, with what a later comparison must know.

    Attributes:
        items: what was scored.
        samples: per-item results.
        identity: the backend's identity.
        tokenizer: digest of the tokenizer.
        plan: digest of the plan.
        cost: tokens requested and computed, rows, seconds; `kept` is 1 where all was found on disk.
        kept_rows: what a reference leaves for its candidates, else None.
        warnings: findings that change no figure.
    """

    items: ItemsT
    samples: SamplesT
    identity: Mapping[str, Any]
    tokenizer: str
    plan: str
    cost: Mapping[str, float]
    kept_rows: KeptRows | None
    warnings: tuple[str, ...]
