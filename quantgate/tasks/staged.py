"""Tasks that may be asked in stages, each a part of the same items, and stopped between two.

A stage is a task of its own: it is planned, kept, journalled and resumed like any other, and what
was asked in one is never asked again. The order of the items, and where stages end, depend on the
strata of the items alone (`quantgate.sequential.strata`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from quantgate.packages.tokenizer import Tokenizer
from quantgate.sequential.strata import stage_ends, stratified_blocks
from quantgate.tasks.base import Ask, ItemsT, SamplesT, Task

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stages:
    """Items by number, in blocks and stages.

    Attributes:
        blocks: numbers of the items of each block.
        ends: after which number of blocks each stage ends.
    """

    blocks: tuple[Indices, ...]
    ends: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of stages."""
        return len(self.ends)

    def until(self, stage: int) -> tuple[Indices, ...]:
        """The blocks of the stages before `stage`."""
        return self.blocks[: self.ends[stage - 1]] if stage else ()

    def numbers(self, stage: int) -> Indices:
        """Numbers of the items of one stage, in the items' order."""
        first = len(self.until(stage))
        return np.sort(np.concatenate(self.blocks[first : self.ends[stage]]))

    def taken(self, stage: int) -> Indices:
        """Numbers of the items of all stages before `stage`, in the items' order."""
        return np.sort(np.concatenate(self.until(stage)))


class StagedTask(Task[ItemsT, SamplesT]):
    """A task whose items may be asked in parts.

    `fewest` items at least, and `first_share` of all, are asked before anything is decided.
    """

    fewest: ClassVar[int]
    first_share: ClassVar[float]

    @abstractmethod
    def strata(self, items: ItemsT) -> Sequence[Hashable]:
        """The stratum of each item."""

    @abstractmethod
    def keys(self, items: ItemsT, measurement: str) -> Sequence[int | None]:
        """Where each item's result stands in a measurement's items; None where it has none.

        The number of a question in `ChoiceItems`, the beginning of a window in `WindowItems`.
        """

    @abstractmethod
    def part(self, items: ItemsT, numbers: Indices) -> ItemsT:
        """Some of the items, by number."""

    @abstractmethod
    def merge(self, items: ItemsT, parts: Sequence[tuple[Indices, SamplesT]]) -> SamplesT:
        """The results of parts that share nothing, each with its numbers, as those of `items`."""

    def stages(self, items: ItemsT) -> Stages:
        """The items in their order."""
        blocks = stratified_blocks(self.strata(items))
        sizes = [len(block) for block in blocks]
        return Stages(blocks, stage_ends(sizes, self.fewest, self.first_share))


class StageTask(Task[ItemsT, SamplesT]):
    """One stage of a task.

    Args:
        whole: the task.
        stage: number of the stage, from 0.
    """

    def __init__(self, whole: StagedTask[ItemsT, SamplesT], stage: int) -> None:
        self.whole, self.stage = whole, stage
        self.name = f"{whole.name} {stage + 1}"
        self.compares = whole.compares

    @property
    def corpus_digest(self) -> str:
        """Digest of the whole selected corpus."""
        return self.whole.corpus_digest

    def encode(self, tokenizer: Tokenizer, context: int) -> ItemsT:
        """The stage's items."""
        return self.cut(self.whole.encode(tokenizer, context))

    def cut(self, items: ItemsT) -> ItemsT:
        """The stage's part of all items."""
        return self.whole.part(items, self.whole.stages(items).numbers(self.stage))

    def score(self, items: ItemsT, ask: Ask, tokenizer: Tokenizer) -> SamplesT:
        """Ask as the whole task does."""
        return self.whole.score(items, ask, tokenizer)
