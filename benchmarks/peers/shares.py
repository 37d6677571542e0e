"""Which questions a slow side answers for all of them, and how its time is scaled.

The part is fixed: of each subject the questions 0, `share`, 2 * `share`, … in file order, so that
every subject has at least one, and all sides the same. A side that runs each prompt as a whole
takes time by tokens, not by questions; so its time is multiplied by the tokens that it computes for
all prompts over those for the part's. (Attention grows faster than that, but over the same mix of
lengths.) A batch computes as many tokens for each of its prompts as the longest one has. lm-eval
and Olive sort by length before they cut into batches; in a part, neighbours are further apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def fixed_part(rows: Sequence[T], share: int) -> Sequence[T]:
    """Every `share`-th of one subject's rows, the first one among them."""
    return rows[::share]


@dataclass(frozen=True)
class Scale:
    """All questions beside the part of them.

    Attributes:
        subjects: number of subjects, in all and in the part.
        whole: tokens of every prompt, longest first.
        part: of those in the part, likewise.
    """

    subjects: int
    whole: tuple[int, ...]
    part: tuple[int, ...]

    @classmethod
    def of(cls, prompt_tokens: Iterable[Sequence[int]], share: int) -> Scale:
        """Count; `prompt_tokens` has the lengths of a subject's prompts in file order."""
        subjects = list(prompt_tokens)
        parts = [fixed_part(lengths, share) for lengths in subjects]
        return cls(len(subjects), _longest_first(subjects), _longest_first(parts))

    @property
    def by_questions(self) -> float:
        """How many times the part's questions all are."""
        return len(self.whole) / len(self.part)

    def by_tokens(self, batch: int = 1) -> float:
        """How many times the part's computed tokens all are: what times are multiplied by.

        Args:
            batch: prompts that are computed at a time.
        """
        return _computed(self.whole, batch) / _computed(self.part, batch)


def _longest_first(subjects: Iterable[Sequence[int]]) -> tuple[int, ...]:
    return tuple(sorted(itertools.chain.from_iterable(subjects), reverse=True))


def _computed(lengths: Sequence[int], batch: int) -> int:
    """Tokens of all batches, padding included; `lengths` has the longest first."""
    batches = (lengths[start : start + batch] for start in range(0, len(lengths), batch))
    return sum(len(each) * each[0] for each in batches)
