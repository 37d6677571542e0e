"""Questions whose answer differs from the reference's, lost ones first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quantgate.corpus.questions import LETTERS
from quantgate.report.sections.parts import attempt, shorten
from quantgate.report.sections.sides import Sides

_MOST: Final = 200  # of a case
_KINDS: Final = ("lost", "won", "changed")


@dataclass(frozen=True, slots=True)
class Flip:
    """One question.

    Attributes:
        options: pairs of a letter and its text; empty where a run kept none.
        gold: the right option's letter.
        reference: what the reference chose.
        candidate: what the candidate chose.
    """

    question: str
    text: str
    options: tuple[tuple[str, str], ...]
    gold: str
    reference: str
    candidate: str

    @property
    def kind(self) -> str:
        """What became of the answer: `lost`, `won`, or `changed` from wrong to wrong."""
        if self.reference == self.gold:
            return "lost"
        return "won" if self.candidate == self.gold else "changed"


@dataclass(frozen=True, slots=True)
class FlipsOfCase:
    """The answers of one case that changed."""

    case_id: str
    lost: int
    won: int
    changed: int
    listed: tuple[Flip, ...]
    remark: str = ""

    @property
    def left_out(self) -> int:
        """How many changed answers aren't listed."""
        return max(0, self.changed - len(self.listed))


def flips(sides: Sides) -> list[FlipsOfCase]:
    """Return the changed answers of every case that has a reference, the most lost first."""
    found = []
    for side in sides.of("mmlu"):
        detail = side.measurement.detail.get("flips")
        if detail is None:
            continue
        made, fault = attempt(_of_case, side.case_id, detail)
        found.append(made or FlipsOfCase(side.case_id, 0, 0, 0, (), fault))
    return sorted(found, key=lambda each: -each.lost)


def _of_case(case_id: str, detail: Mapping[str, Any]) -> FlipsOfCase:
    lost, won, changed = (
        int(detail[name]) for name in ("right_to_wrong", "wrong_to_right", "changed")
    )
    listed = [_flip(each) for each in detail["listed"][:_MOST]]
    listed.sort(key=lambda flip: _KINDS.index(flip.kind))
    return FlipsOfCase(case_id, lost, won, changed, tuple(listed))


def _flip(told: Mapping[str, Any]) -> Flip:
    options = told.get("options") or ()
    return Flip(
        question=shorten(str(told["question"])),
        text=shorten(str(told.get("text", ""))),
        options=tuple(
            (letter, shorten(str(text))) for letter, text in zip(LETTERS, options, strict=False)
        ),
        gold=shorten(str(told["gold"])),
        reference=shorten(str(told["reference"])),
        candidate=shorten(str(told["candidate"])),
    )
