"""How a report opens: which case failed, what changed about it, and its worst figures.

Raw texts: a case's name, and what differs in the environment, may come from a stranger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from quantgate.gate.findings import DRIFT
from quantgate.report import cells
from quantgate.report.commands import is_case
from quantgate.report.digest import Judged, sentence, suite_rank, verdict
from quantgate.report.names import figure_words, listed, place_words, suite_words
from quantgate.report.noise_words import SIGNIFICANT
from quantgate.report.stored import package_changed
from quantgate.results import Verdict
from quantgate.run_file import RunFile

# What is told of a case, by the worst verdict there is.
_OPENINGS: Final = {
    Verdict.REGRESSION: "got worse by more than is allowed",
    Verdict.INVALID: "has no valid figure of",
    Verdict.INCONCLUSIVE: "may have got worse by more than is allowed, which this run can't tell",
}
_NAMED: Final = 2  # cases that a headline names
_TOLD: Final = 5  # cases that have a story
_DRIFTS: Final = 3


@dataclass(frozen=True, slots=True)
class Story:
    """A case in a few sentences; `told` goes on after its name."""

    case_id: str
    told: str


def headline(run: RunFile, found: Sequence[Judged]) -> str:
    """Return the verdict with what it is about: `REGRESSION: MMLU and speed of a-b-ort-cpu`."""
    worst = verdict(run)
    if worst is None or worst not in _OPENINGS:
        return sentence(run)
    failing = _of(found, worst)
    suites = sorted({each.decision.task for each in failing}, key=suite_rank)
    words = list(dict.fromkeys(suite_words(task) or "other figures" for task in suites))
    cases = list(dict.fromkeys(each.decision.case_id for each in failing))
    named = len(cases) <= _NAMED and all(map(is_case, cases))
    count = f"{len(cases):,} case{'s' if len(cases) > 1 else ''}"
    return f"{worst}: {listed(words)} of {listed(cases) if named else count}"


def counts(run: RunFile) -> str:
    """Return how many figures have which verdict, as a sentence."""
    told = sentence(run).partition(": ")[2]
    return f"{told[:1].upper()}{told[1:]}."


def stories(run: RunFile, found: Sequence[Judged]) -> tuple[list[Story], int]:
    """Return the cases with the worst verdict of a run, the worst first, and how many are left out.

    There is none where all is well.
    """
    worst = verdict(run)
    if worst is None or worst not in _OPENINGS:
        return [], 0
    cases: dict[str, list[Judged]] = {}
    for judged in _of(found, worst):
        cases.setdefault(judged.decision.case_id, []).append(judged)
    told = [
        Story(case_id, " ".join(_sentences(run, worst, failing)))
        for case_id, failing in list(cases.items())[:_TOLD]
    ]
    return told, len(cases) - len(told)


def _of(found: Sequence[Judged], worst: Verdict) -> list[Judged]:
    return [judged for judged in found if judged.decision.verdict is worst]


def _sentences(run: RunFile, worst: Verdict, failing: Sequence[Judged]) -> Iterator[str]:
    """Sentences about one case; of each suite the first figure, which is the worst."""
    first: dict[str, Judged] = {}
    for judged in failing:
        first.setdefault(judged.decision.task.partition(".")[0], judged)
    figures = [judged for judged in first.values() if judged.decision.delta is not None]
    place = place_words(failing[0].decision.case_id)
    opening = f"{f'({place}) ' if place else ''}{_OPENINGS[worst]}"
    if worst is Verdict.INVALID:
        yield f"{opening} {listed(list(map(figure_words, first.values())))}; why stands below."
        return
    yield f"{opening}. {_changed(run, failing)}"
    if figures:
        yield f"{'; '.join(map(_was_and_is, figures))}."
        yield _noise(figures)


def _changed(run: RunFile, failing: Sequence[Judged]) -> str:
    """What changed about a case since its baseline."""
    if not any(judged.decision.against == "baseline" for judged in failing):
        return "It is held against its reference, which was measured in the same run."
    package = {
        True: "Its package differs from the baseline's",
        False: "Its package is the baseline's",
        None: "Whether its package is the baseline's isn't known",
    }[package_changed(run, failing[0].decision.case_id)]
    notes = [note for judged in failing for note in judged.decision.notes if note.startswith(DRIFT)]
    lines = [line for note in notes for line in note.removeprefix(DRIFT).split("; ")]
    drift = list(dict.fromkeys(lines))
    if not drift:
        return f"{package}; the environment is the baseline's."
    more = f" and {len(drift) - _DRIFTS:,} more" if len(drift) > _DRIFTS else ""
    return f"{package}; the environment differs in {', '.join(drift[:_DRIFTS])}{more}."


def _was_and_is(judged: Judged) -> str:
    """A figure in words: `perplexity 2.51 -> 98.80 (about 39 times, allowed +1.00 %)`."""
    moved, limit = cells.brief(judged)
    held = " (the reference)" if judged.decision.against == "reference" else ""
    figures = f"{cells.anchor(judged)}{held} -> {cells.value(judged)}"
    return f"{figure_words(judged)} {figures} ({moved}, allowed {limit})"


def _noise(figures: Sequence[Judged]) -> str:
    """Which of the figures changed by more than they do where nothing changed."""
    kinds: dict[str, list[str]] = {}
    for judged in figures:
        kinds.setdefault(_kind(judged), []).append(figure_words(judged))
    if len(kinds) == 1:
        it = "All of it" if len(figures) > 1 else "It"
        return {
            "beyond noise": f"{it} is beyond noise.",
            "possibly noise": f"{it} may be noise.",
            "unknown": f"Whether {it.lower()} is noise isn't known: no items are paired.",
        }[next(iter(kinds))]
    told = "; ".join(f"{kind}: {listed(names)}" for kind, names in kinds.items())
    return f"{told[:1].upper()}{told[1:]}."


def _kind(judged: Judged) -> str:
    evidence = judged.decision.evidence
    if evidence is None:
        return "unknown"
    sure = evidence.delta != 0 and evidence.p_value < SIGNIFICANT
    return "beyond noise" if sure else "possibly noise"
