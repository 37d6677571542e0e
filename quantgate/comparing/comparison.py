"""The nouns of a comparison: rows of two figures, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from quantgate.results import Evidence


class Outcome(StrEnum):
    """What became of a figure."""

    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    NOISE = "within noise"
    UNPAIRED_BETTER = "better, unpaired"
    UNPAIRED_WORSE = "worse, unpaired"
    UNLIKE = "not comparable"
    GONE = "only before"
    NEW = "only now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric before and now.

    Attributes:
        case_before: the case that `before` is of; empty where there is none.
        case_now: the case that `now` is of; empty where there is none.
        before: the figure, unrounded, or None.
        now: the same.
        evidence: what the items say of the change; None where it isn't paired.
        p_value: of the evidence, corrected by Holm where the metric is one of many.
        why: what makes the two incomparable.
    """

    case_before: str
    case_now: str
    task: str
    metric: str
    unit: str
    outcome: Outcome
    before: float | None = None
    now: float | None = None
    evidence: Evidence | None = None
    p_value: float | None = None
    why: str = ""

    @property
    def case(self) -> str:
        """The case, or both where they are two."""
        cases = dict.fromkeys(filter(None, (self.case_before, self.case_now)))
        return " -> ".join(cases)

    @property
    def delta(self) -> float | None:
        """Now less before, in the metric's unit; None where the two can't be compared."""
        if self.outcome is Outcome.UNLIKE or self.before is None or self.now is None:
            return None
        return self.now - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sides, compared.

    Attributes:
        before: label of the earlier side.
        now: label of the later one.
        rows: in the order of `now`, then what is only before.
        drift: what differs in the environment and can move a figure.
        notes: what else a reader must know: other weights, another reference.
    """

    before: str
    now: str
    rows: tuple[Row, ...]
    drift: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
