"""Every figure that isn't fine: its reason, its evidence, what changed around it, the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from quantgate.gate.findings import DRIFT
from quantgate.report import cells
from quantgate.report.charts.interval import interval_chart
from quantgate.report.commands import accept_commands, baseline_files, reproduce_command
from quantgate.report.digest import Judged, beyond_reference
from quantgate.report.noise_words import SIGNIFICANT, p_equals, p_value
from quantgate.report.numbers import FRACTION, change, percent
from quantgate.report.sections.parts import Numbering, Table, attempt, shorten, table
from quantgate.report.wording import word
from quantgate.results import Decision, Evidence, Verdict
from quantgate.run_file import RunFile

FAILING: Final = (Verdict.REGRESSION, Verdict.INVALID, Verdict.INCONCLUSIVE)
_MOST: Final = 16  # in full; the others are rows of a table


@dataclass(frozen=True, slots=True)
class Failure:
    """One figure that isn't fine.

    Attributes:
        name: task and metric.
        lead: the change in a sentence; "" where there is no figure.
        reason: why the gate said so, with unrounded figures.
        facts: pairs of what and how much: value, anchor, change, evidence.
        noise: whether chance alone explains it, in words.
        svg: the interval of the change; "" where no items are paired.
        drift: what differs from the baseline's environment.
        notes: what else was found.
        mend: what to do, where no command does it.
        accept: the command that makes the figure the baseline; "" where that isn't the way out.
        rewritten: the file that it rewrites; "" without a command.
        reproduce: the command that measures it again; "" where its names make none.
    """

    case_id: str
    name: str
    verdict: Verdict
    lead: str
    reason: str
    facts: tuple[tuple[str, str], ...]
    noise: str
    svg: str
    drift: tuple[str, ...]
    notes: tuple[str, ...]
    mend: str
    accept: str
    rewritten: str
    reproduce: str


@dataclass(frozen=True, slots=True)
class Failures:
    """The worst in full, and the others as rows; `rest` is None where there are none.

    `missing` counts the figures without a baseline; `store` are the commands for the first of them.
    """

    listed: tuple[Failure, ...]
    rest: Table | None
    store: tuple[str, ...]
    missing: int


def failures(run: RunFile, found: Sequence[Judged], numbering: Numbering) -> Failures:
    """Return the figures that aren't fine, the worst first, and how to store missing baselines."""
    loud = [judged for judged in found if judged.decision.verdict in FAILING]
    rest = [
        (
            each.decision.case_id,
            cells.measured(each),
            cells.value(each),
            cells.delta(each),
            str(each.decision.verdict),
            each.decision.reason,
        )
        for each in loud[_MOST:]
    ]
    missing = [j.decision for j in found if j.decision.verdict is Verdict.NO_BASELINE]
    headings = ("case", "figure", "value", "change", "verdict", "reason")
    return Failures(
        tuple(_failure(run, judged, numbering) for judged in loud[:_MOST]),
        table("The others", headings, rest, words=(0, 1, 4, 5)) if rest else None,
        tuple(accept_commands(run, missing)[:_MOST]),
        len(missing),
    )


def _failure(run: RunFile, judged: Judged, numbering: Numbering) -> Failure:
    decision = judged.decision
    drift = [note.removeprefix(DRIFT) for note in decision.notes if note.startswith(DRIFT)]
    stale = decision.against == "baseline" and decision.verdict is not Verdict.INCONCLUSIVE
    meant = [decision] if stale else []
    return Failure(
        case_id=decision.case_id,
        name=cells.measured(judged),
        verdict=decision.verdict,
        lead=_lead(run, decision),
        reason=shorten(decision.reason),
        facts=tuple(_facts(judged)),
        noise=_noise(decision.evidence),
        svg=_interval(judged, numbering),
        drift=tuple(line for note in drift for line in note.split("; ")),
        notes=tuple(shorten(note) for note in decision.notes if not note.startswith(DRIFT)),
        mend=_mend(decision),
        accept=next(iter(accept_commands(run, meant)), ""),
        rewritten=next(iter(baseline_files(run, meant)), ""),
        reproduce=reproduce_command(run, decision) or "",
    )


def _lead(run: RunFile, decision: Decision) -> str:
    if decision.delta is None:
        return ""
    measurement = run.measurement(decision.case_id, decision.task)
    return word(decision, measurement, "").partition("\n")[0].rpartition("   [")[0]


def _facts(judged: Judged) -> Iterator[tuple[str, str]]:
    decision, evidence = judged.decision, judged.decision.evidence
    yield "value", cells.value(judged)
    if decision.anchor is not None:
        yield "held against", cells.held_against(judged)
    if decision.delta is not None:
        yield "change", cells.delta(judged)
    if decision.allowed is not None:
        yield "allowed", cells.allowed(judged)[0]
    if evidence is None:
        return
    at, interval = cells.paired(evidence)
    unit = "points" if evidence.scale == FRACTION else evidence.scale
    yield "paired change", f"{at} {unit}, 95 % CI {interval}"
    yield "smallest detectable", _detectable(judged, evidence)
    yield "p, if nothing had changed", f"{p_value(evidence)} ({evidence.method})"
    if evidence.lost is not None and evidence.won is not None:
        told = f"{evidence.lost:,} right to wrong, {evidence.won:,} wrong to right"
        yield "answers", f"of {evidence.n:,} beside the {evidence.against}: {told}"


def _detectable(judged: Judged, evidence: Evidence) -> str:
    told = f"{judged.harmful_sign}{change(evidence.detectable, evidence.scale)}"
    if evidence.allowed is None or evidence.detectable <= evidence.allowed:
        return told
    return f"{told}; a smaller change than that can't be told from noise"


def _noise(evidence: Evidence | None) -> str:
    """Say whether chance explains the change; nothing is decided by it here."""
    if evidence is None:
        return ""
    if evidence.delta == 0 and evidence.stderr == 0:
        return "Nothing changed, item by item."
    told = p_equals(evidence)
    if evidence.p_value < SIGNIFICANT:
        return f"So large a change is rare where nothing changed ({told})."
    return f"So large a change isn't rare where nothing changed ({told})."


def _interval(judged: Judged, numbering: Numbering) -> str:
    evidence = judged.decision.evidence
    if evidence is None:
        return ""
    scale, sign = evidence.scale, float(f"{judged.harmful_sign}1")
    delta, low, high = (
        percent(end, scale) for end in (evidence.delta, evidence.low, evidence.high)
    )
    allowed = None if evidence.allowed is None else sign * percent(evidence.allowed, scale)
    unit = "points" if scale == FRACTION else scale
    svg, _ = attempt(interval_chart, delta, low, high, allowed, unit=unit, ident=numbering.next())
    return svg or ""


def _mend(decision: Decision) -> str:
    if decision.verdict is Verdict.INCONCLUSIVE:
        return "Measure on more items, or raise the tolerance above what this run detects."
    if decision.verdict is Verdict.REGRESSION and decision.against == "reference":
        return (
            "Quantize with less loss, or raise the limit against the reference in the manifest's "
            "[policy]."
        )
    if beyond_reference(decision):
        return (
            "Accepting it won't be enough: it is also worse than the reference by more than the "
            "manifest's [policy] allows."
        )
    return ""
