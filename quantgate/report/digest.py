"""What a run comes to, before any face shows it: the verdict, the order, the drift.

All texts are raw: a case's name may come from a stranger, so every sink escapes them.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from quantgate.gate.findings import DRIFT
from quantgate.marks import SUITE_MARKERS
from quantgate.report.precision import maps_of
from quantgate.results import Decision, Direction, Score, Verdict
from quantgate.run_file import RunFile

ORDER = (
    Verdict.REGRESSION,
    Verdict.INVALID,
    Verdict.INCONCLUSIVE,
    Verdict.NO_BASELINE,
    Verdict.PASS,
)
_WORDS = {
    Verdict.REGRESSION: ("is worse than allowed", "are worse than allowed"),
    Verdict.INVALID: ("is invalid", "are invalid"),
    Verdict.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
    Verdict.NO_BASELINE: ("has no baseline", "have no baseline"),
    Verdict.PASS: ("is within tolerance", "are within tolerance"),
}
_SUITES = tuple(SUITE_MARKERS)


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision with the score it is about; None where nothing was measured."""

    decision: Decision
    score: Score | None

    @property
    def unit(self) -> str:
        """Unit of value, anchor and delta; "" where it isn't known."""
        return "" if self.score is None else self.score.unit

    @property
    def harmful_sign(self) -> str:
        """Sign of a change for the worse: `-` where higher is better."""
        higher = self.score is not None and self.score.direction is Direction.HIGHER
        return "-" if higher else "+"


def judge(run: RunFile) -> list[Judged]:
    """Return the decisions of a run with their scores, the worst first.

    Regressions come before all else; among equals whole suites come before subjects and categories,
    in the order that suites have everywhere, accuracy first. Of one suite, what exceeds its
    tolerance by the larger factor comes first.
    """
    scores = {(m.case_id, m.task, s.metric): s for m in run.measurements for s in m.scores}
    found = [Judged(d, scores.get((d.case_id, d.task, d.metric))) for d in run.decisions]
    return sorted(found, key=_rank)


def _rank(judged: Judged) -> tuple[int, bool, bool, int, float]:
    decision = judged.decision
    return (
        ORDER.index(decision.verdict),
        not decision.at_risk,
        "." in decision.metric,
        suite_rank(decision.task),
        -_excess(decision),
    )


def suite_rank(task: str) -> int:
    """Return the place of a task's suite among all: MMLU, perplexity, divergence, the others."""
    suite = task.partition(".")[0]
    return _SUITES.index(suite) if suite in _SUITES else len(_SUITES)


def _excess(decision: Decision) -> float:
    """How many times the tolerance the change is; 0 where there is none."""
    if decision.delta is None or decision.allowed is None or not math.isfinite(decision.delta):
        return 0.0
    if decision.allowed == 0:
        return math.inf if decision.delta else 0.0
    return abs(decision.delta) / abs(decision.allowed)


def verdict(run: RunFile) -> Verdict | None:
    """Return the worst verdict of a run; None where nothing was decided."""
    found = {decision.verdict for decision in run.decisions}
    return next((each for each in ORDER if each in found), None)


def sentence(run: RunFile) -> str:
    """Return the run in one sentence, the verdict first."""
    counts = Counter(decision.verdict for decision in run.decisions)
    worst = verdict(run)
    if worst is None:
        return "NOTHING WAS DECIDED: no figure was measured or held against anything"
    total = len(run.decisions)
    told = [f"{counts[each]:,} {_WORDS[each][counts[each] > 1]}" for each in ORDER if counts[each]]
    if at_risk := sum(decision.at_risk for decision in run.decisions):
        told[-1] += f" ({at_risk:,} at risk)"
    listed = " and ".join(filter(None, (", ".join(told[:-1]), told[-1])))
    return f"{worst}: of {total:,} figure{'s' if total > 1 else ''}, {listed}"


def beyond_reference(decision: Decision) -> bool:
    """Whether a figure that got worse than its baseline is too much worse than its reference, too.

    Accepting it as the baseline doesn't end that; only the reason tells it.
    """
    held = f"worse than the reference {decision.reference!r}, which exceeds the allowed"
    return decision.against == "baseline" and held in decision.reason


def drifts(run: RunFile) -> list[tuple[str, int]]:
    """Return what differs from the baselines' environment, with how many figures say so."""
    counts: Counter[str] = Counter()
    for decision in run.decisions:
        found = [note.removeprefix(DRIFT) for note in decision.notes if note.startswith(DRIFT)]
        counts.update(list(dict.fromkeys(line for note in found for line in note.split("; "))))
    return counts.most_common()


def notes(run: RunFile) -> list[tuple[str, int]]:
    """Return what else was found, each text once with how often it was."""
    counts = Counter(
        note for decision in run.decisions for note in decision.notes if not note.startswith(DRIFT)
    )
    counts.update(warning for each in run.measurements for warning in each.warnings)
    counts.update(maps_of(run.measurements).warnings)
    return counts.most_common()
