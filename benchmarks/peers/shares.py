"""Which questions a slow side answers for all of them, and how its time is scaled.

The part is fixed: of each subject the questions 0, `share`, 2 * `share`, … in file order, so that
every subject has at least one, and all sides the same. A side that runs each prompt as a whole
takes time by tokens, not by questions; so its time is multiplied by the tokens of all prompts over
those of the part's. (Attention grows faster than that, but over the same mix of lengths.)
"""

from __future__ import annotations

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
        questions: number of all.
        tokens: of all prompts.
        part_questions: number of those in the part.
        part_tokens: of their prompts.
    """

    subjects: int
    questions: int
    tokens: int
    part_questions: int
    part_tokens: int

    @classmethod
    def of(cls, prompt_tokens: Iterable[Sequence[int]], share: int) -> Scale:
        """Count; `prompt_tokens` has the lengths of a subject's prompts in file order."""
        whole = list(prompt_tokens)
        parts = [fixed_part(lengths, share) for lengths in whole]
        return cls(
            subjects=len(whole),
            questions=sum(map(len, whole)),
            tokens=sum(map(sum, whole)),
            part_questions=sum(map(len, parts)),
            part_tokens=sum(map(sum, parts)),
        )

    @property
    def by_questions(self) -> float:
        """How many times the part's questions all are."""
        return self.questions / self.part_questions

    @property
    def by_tokens(self) -> float:
        """How many times the part's prompt tokens all are: what times are multiplied by."""
        return self.tokens / self.part_tokens
