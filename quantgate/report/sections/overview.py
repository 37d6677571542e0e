"""The verdict, and one cell for every case and metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from quantgate.marks import SUITE_MARKERS
from quantgate.report import cells
from quantgate.report.digest import ORDER, Judged, sentence, verdict
from quantgate.report.sections.parts import shorten
from quantgate.report.sections.sides import Sides, mapping
from quantgate.report.story import stories
from quantgate.results import Verdict
from quantgate.run_file import RunFile

_MOST_CASES: Final = 200
_MOST_METRICS: Final = 40


@dataclass(frozen=True, slots=True)
class Headline:
    """What the page opens with.

    Attributes:
        verdict: the worst there is; None where nothing was decided.
        sentence: the run in one sentence.
        counts: how many figures have each verdict, the worst first.
        lead: what is known of each failing case, in a few sentences.
        caveats: what must be known before the figures are read.
    """

    verdict: Verdict | None
    sentence: str
    counts: tuple[tuple[Verdict, int], ...]
    lead: tuple[str, ...]
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure: its value, its change with what it is held against, and the verdict."""

    value: str
    delta: str
    verdict: Verdict
    told: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The subjects or categories of one case: how many have each verdict."""

    counts: tuple[tuple[Verdict, int], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cases by metrics; a cell is None where nothing was decided."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | Parts | None, ...]], ...]
    left_out: int


def headline(run: RunFile, found: Sequence[Judged]) -> Headline:
    """Return the verdict of a run in words."""
    counts = Counter(decision.verdict for decision in run.decisions)
    configuration = mapping(run.facts.get("configuration"))
    caveats = []
    if configuration.get("complete") is False:
        caveats.append("The run was interrupted: not everything was measured.")
    if mapping(run.facts.get("options")).get("--gate-update-baselines"):
        caveats.append("This run stored baselines, so nothing was held against older ones.")
    told = sentence(run).partition(": ")[2]
    return Headline(verdict(run), told, _in_order(counts), _lead(run, found), tuple(caveats))


def _lead(run: RunFile, found: Sequence[Judged]) -> tuple[str, ...]:
    listed, more = stories(run, found)
    told = [shorten(f"{story.case_id} {story.told}") for story in listed]
    return (*told, *([f"{more:,} more cases are below."] if more else []))


def matrix(found: Sequence[Judged], sides: Sides) -> Matrix:
    """Return the overview; subjects and categories are counted in a column of their own."""
    whole: dict[tuple[str, str], Cell] = {}
    parts: dict[tuple[str, str], Counter[Verdict]] = {}
    metrics: dict[tuple[str, bool], str] = {}  # by task, parts behind figures
    for judged in found:
        decision = judged.decision
        family, _, part = decision.metric.partition(".")
        column = f"{decision.task} by {family}" if part else cells.measured(judged)
        metrics.setdefault((column, bool(part)), decision.task)
        if part:
            counts = parts.setdefault((decision.case_id, column), Counter())
            counts[decision.verdict] += 1
        else:
            whole[decision.case_id, column] = _cell(judged)
    suites = list(SUITE_MARKERS)

    def place(key: tuple[str, bool]) -> tuple[int, str, bool, str]:
        suite = metrics[key].partition(".")[0]
        known = suites.index(suite) if suite in suites else len(suites)
        return known, metrics[key], key[1], key[0]

    columns = [name for name, _ in sorted(metrics, key=place)][:_MOST_METRICS]
    decided = {judged.decision.case_id for judged in found}
    cases = [case for case in sides.cases if case in decided]
    rows = []
    for case in cases[:_MOST_CASES]:
        row: list[Cell | Parts | None] = []
        for column in columns:
            counted = parts.get((case, column))
            told = None if counted is None else Parts(_in_order(counted))
            row.append(whole.get((case, column), told))
        rows.append((case, tuple(row)))
    return Matrix(tuple(columns), tuple(rows), len(cases) - len(rows))


def _cell(judged: Judged) -> Cell:
    decision = judged.decision
    delta = ""
    if decision.delta is not None:
        delta = f"{cells.difference(judged)} vs {decision.against}"
    return Cell(cells.value(judged), delta, decision.verdict, cells.told(judged))


def _in_order(counts: Counter[Verdict]) -> tuple[tuple[Verdict, int], ...]:
    return tuple((each, counts[each]) for each in ORDER if counts[each])
