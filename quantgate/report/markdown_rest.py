"""What stands at the end of a Markdown report: changed answers, early stops.

All is read from loosely formed parts of a results file, which may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quantgate.report.digest import Judged
from quantgate.report.escape import markdown_cell, markdown_code
from quantgate.report.fitting import Section
from quantgate.report.markdown_tables import folded
from quantgate.report.sections.sides import Sides, mapping
from quantgate.results import Measurement
from quantgate.run_file import RunFile

_FLIPS = ("right_to_wrong", "wrong_to_right", "changed")


@dataclass(frozen=True, slots=True)
class _Changed:
    """How many answers of a case changed beside another's; None where that isn't known."""

    case_id: str
    against: str
    questions: int | None
    lost: int
    won: int
    other: int | None

    def __str__(self) -> str:
        counts = (self.questions, self.lost, self.won, self.other)
        told = "|".join("\\-" if count is None else f"{count:,}" for count in counts)
        return f"|{markdown_code(self.case_id)}|{markdown_cell(self.against)}|{told}|"


def answers(run: RunFile, found: Sequence[Judged]) -> list[Section]:
    """How many answers changed beside baseline and reference, by case, the most lost first."""
    cases: dict[str, list[_Changed]] = {}
    for changed in (*_beside_baselines(found), *_beside_references(run)):
        cases.setdefault(changed.case_id, []).append(changed)
    ordered = sorted(cases.values(), key=lambda each: -max(changed.lost for changed in each))
    if not ordered:
        return []
    columns = (
        "|case|held against|questions|right to wrong|wrong to right|one wrong to another|\n"
        "|---|---|---:|---:|---:|---:|\n"
    )
    return [folded("Answers that changed", columns, [str(row) for each in ordered for row in each])]


def _beside_baselines(found: Sequence[Judged]) -> Iterator[_Changed]:
    for judged in found:
        decision, evidence = judged.decision, judged.decision.evidence
        if decision.metric != "accuracy" or evidence is None or evidence.against != "baseline":
            continue
        lost, won = evidence.lost, evidence.won
        if lost is not None and won is not None and lost + won:
            yield _Changed(decision.case_id, "baseline", evidence.n, lost, won, None)


def _beside_references(run: RunFile) -> Iterator[_Changed]:
    sides = Sides(run)
    for measurement in run.measurements:
        counts = mapping(measurement.detail.get("flips"))
        lost, won, changed = (counts.get(name) for name in _FLIPS)
        if not (isinstance(lost, int) and isinstance(won, int) and isinstance(changed, int)):
            continue
        if lost or won or changed:
            name = sides.reference_of(measurement.case_id)
            against = f"reference {name}" if name else "reference"
            questions = _questions(measurement)
            other = changed - lost - won
            yield _Changed(measurement.case_id, against, questions, lost, won, other)


def _questions(measurement: Measurement) -> int | None:
    return next((each.n for each in measurement.scores if each.metric == "accuracy"), None)


def stops(run: RunFile) -> list[Section]:
    """What a sequential run asked of each case before its verdict could no longer change."""
    rows = []
    for measurement in run.measurements:
        told = mapping(measurement.detail.get("sequential"))
        taken, whole = told.get("taken"), told.get("of")
        if isinstance(taken, int) and isinstance(whole, int):
            case, task = markdown_code(measurement.case_id), markdown_cell(measurement.task)
            rows.append(f"|{case}|{task}|{taken:,}|{whole:,}|")
    if not rows:
        return []
    columns = "|case|task|items asked|of|\n|---|---|---:|---:|\n"
    return [folded("Decided before the end", columns, rows)]
