"""Answers to multiple-choice questions: how much the accuracy of each subject changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantgate import stats
from quantgate.gate.evidence import pair
from quantgate.gate.pairing import figure, labels, mismatch, restrict
from quantgate.items import ChoiceItems, items_of
from quantgate.report.charts.subjects import Change, subject_chart
from quantgate.report.numbers import FRACTION
from quantgate.report.sections.parts import Numbering, Plot, Table, attempt, table
from quantgate.report.sections.sides import Side, Sides
from quantgate.results import Direction, Evidence, Score

_MOST_BARS: Final = 80
_MANY: Final = 20  # so many intervals that chance puts one of them off zero
_HEADINGS: Final = (
    "questions", "reference", "candidate", "change, points", "95 % interval", "lost", "won", "p",
    "p (Holm)",
)  # fmt: skip

# Evidence is of items; of the score it takes no more than what it is and its unit.
_ACCURACY: Final = Score(
    metric="accuracy", value=math.nan, n=0, unit=FRACTION, direction=Direction.HIGHER
)


@dataclass(frozen=True, slots=True)
class AnswersOfCase:
    """One case: its charts, or a table of plain accuracies, or why there is neither."""

    case_id: str
    plots: tuple[Plot, ...]
    table: Table | None
    remark: str


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    before: float
    now: float
    evidence: Evidence

    @property
    def rank(self) -> tuple[float, float, str]:
        """The worst comes first."""
        return self.evidence.delta, self.evidence.low, self.name


def answers(sides: Sides, numbering: Numbering) -> list[AnswersOfCase]:
    """Return the subjects of every case with answers; a reference shows in its candidates'."""
    found = []
    for side in sides.of("mmlu"):
        if side.reference is None and sides.is_anchor(side.case_id) and _has_candidates(sides):
            continue
        made, fault = attempt(_of_case, side, numbering)
        found.append(made or AnswersOfCase(side.case_id, (), None, fault))
    return found


def _has_candidates(sides: Sides) -> bool:
    return any(side.reference is not None for side in sides.of("mmlu"))


def _of_case(side: Side, numbering: Numbering) -> AnswersOfCase:
    now = items_of(side.measurement)
    if not isinstance(now, ChoiceItems):
        return AnswersOfCase(side.case_id, (), None, "No answers were kept.")
    if side.reference is None:
        return AnswersOfCase(side.case_id, (), _accuracies(side, now), "")
    before = items_of(side.reference)
    why = "the reference kept no answers" if before is None else mismatch(now, before)
    if why or not isinstance(before, ChoiceItems):
        told = f"Not held against the reference question by question: {why}."
        return AnswersOfCase(side.case_id, (), _accuracies(side, now), told)
    before = restrict(before, now)
    assert isinstance(before, ChoiceItems)  # noqa: S101 - it was before
    plots = (_plot(side, family, now, before, numbering) for family in ("subject", "category"))
    return AnswersOfCase(side.case_id, tuple(filter(None, plots)), None, "")


def _plot(
    side: Side, family: str, now: ChoiceItems, before: ChoiceItems, numbering: Numbering
) -> Plot | None:
    """The chart of all subjects, or of all categories; None where there are none."""
    overall = pair("accuracy", _ACCURACY, now, before, "reference", None)
    rows = sorted(_rows(side, family, now, before), key=lambda row: row.rank)
    if not rows or overall is None or side.reference is None:
        return None
    title = f"Accuracy by {family}, {side.case_id} against {side.reference.case_id}"
    # Where not all fit, those that moved most are drawn, and the table has the others.
    drawn = sorted(rows, key=lambda row: -abs(row.evidence.delta))[:_MOST_BARS]
    changes = [_change(row.name, row.evidence) for row in rows if row in drawn]
    svg = subject_chart(
        changes, _change("all questions", overall), ident=numbering.next(), title=title
    )
    adjusted = stats.holm([row.evidence.p_value for row in rows])
    listed = [_cells(row, float(p_value)) for row, p_value in zip(rows, adjusted, strict=True)]
    made = table(title, (family, *_HEADINGS), listed)
    return Plot(svg, title, (), made, tuple(_remarks(len(rows), len(drawn))))


def _rows(side: Side, family: str, now: ChoiceItems, before: ChoiceItems) -> Iterator[_Row]:
    groups = labels(family, now)
    if groups is None or not any(
        s.metric.startswith(f"{family}.") for s in side.measurement.scores
    ):
        return
    for name in np.unique(groups[groups != ""]).tolist():
        after, anchor = (_some(items, groups == name) for items in (now, before))
        evidence = pair("accuracy", _ACCURACY, after, anchor, "reference", None)
        was, value = figure("accuracy", anchor), figure("accuracy", after)
        if evidence is not None and was is not None and value is not None:
            yield _Row(name, was, value, evidence)


def _some(items: ChoiceItems, mask: NDArray[np.bool_]) -> ChoiceItems:
    """Some questions of all; that they are of one subject is known to who asks."""
    return ChoiceItems(("",) * int(mask.sum()), items.chosen[mask], items.gold[mask])


def _remarks(many: int, drawn: int) -> Iterator[str]:
    if drawn < many:
        yield f"The {drawn} of {many} that changed most are drawn; the table has more."
    if many >= _MANY:
        yield (
            f"Of {many} intervals at 95 % about {round(many / 20)} would exclude zero by chance "
            "alone; Holm's p-values in the table allow for that."
        )


def _change(name: str, evidence: Evidence) -> Change:
    return Change(
        name, evidence.delta, evidence.low, evidence.high, evidence.lost or 0, evidence.won or 0
    )


def _cells(row: _Row, adjusted: float) -> tuple[str, ...]:
    evidence = row.evidence
    return (
        row.name,
        f"{evidence.n:,}",
        f"{100 * row.before:.2f} %",
        f"{100 * row.now:.2f} %",
        f"{100 * evidence.delta:+.2f}",
        f"{100 * evidence.low:+.2f} to {100 * evidence.high:+.2f}",
        f"{evidence.lost:,}",
        f"{evidence.won:,}",
        f"{evidence.p_value:.2g}",
        f"{adjusted:.2g}",
    )


def _accuracies(side: Side, items: ChoiceItems) -> Table:
    """Accuracy of each group by itself, with Wilson's interval, the worst first."""
    rows = []
    for score in side.measurement.scores:
        value = figure(score.metric, items)
        if value is None or score.unit != FRACTION or score.n < 1:
            continue
        low, high = stats.wilson_interval(round(value * score.n), score.n)
        interval = f"{100 * low:.2f} to {100 * high:.2f} %"
        rows.append((value, (score.metric, f"{score.n:,}", f"{100 * value:.2f} %", interval)))
    rows.sort(key=lambda row: row[0])
    headings = ("metric", "questions", "accuracy", "95 % interval (Wilson)")
    return table(f"Accuracy of {side.case_id}", headings, (cells for _, cells in rows))
