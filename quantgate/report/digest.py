"""What a run comes to, before any face shows it: the verdict, the order, the drift, the way out.

All texts are raw: a case's name may come from a stranger, so every sink escapes them. Commands are
an exception: they are built from names that are known or plain, or not at all, since a reader will
paste them into a shell.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from quantgate.cases import SLUG
from quantgate.gate.findings import DRIFT
from quantgate.marks import SUITE_MARKERS
from quantgate.report import wording
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
# Options of a run that change its figures and whose values are numbers or plain names.
_REPEATED = ("--gate-limit", "--gate-threads", "--gate-accuracy-level", "--gate-sequential")


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
    and what exceeds its tolerance by the larger factor comes first.
    """
    scores = {(m.case_id, m.task, s.metric): s for m in run.measurements for s in m.scores}
    found = [Judged(d, scores.get((d.case_id, d.task, d.metric))) for d in run.decisions]
    return sorted(found, key=_rank)


def _rank(judged: Judged) -> tuple[int, bool, bool, float]:
    decision = judged.decision
    part = "." in decision.metric
    return ORDER.index(decision.verdict), not decision.at_risk, part, -_excess(decision)


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
    return counts.most_common()


def accept_commands(decisions: Iterable[Decision]) -> list[str]:
    """Return the commands that store these decisions' figures as baselines, one a suite."""
    suites = dict.fromkeys(decision.task.partition(".")[0] for decision in decisions)
    return [wording.accept_command(suite) for suite in suites if suite in SUITE_MARKERS]


def reproduce_command(run: RunFile, decision: Decision) -> str | None:
    """Return the command that measures a decision's case and suite again.

    None where its names aren't those of a case and a suite.
    """
    suite = decision.task.partition(".")[0]
    parts = decision.case_id.split("-")
    if suite not in SUITE_MARKERS or len(parts) != 4 or not all(map(SLUG.fullmatch, parts)):
        return None
    return " ".join([wording.reproduce_command(decision.task, decision.case_id), *_given(run)])


def _given(run: RunFile) -> list[str]:
    options = run.facts.get("options")
    given = options if isinstance(options, dict) else {}
    words = []
    for name in _REPEATED:
        value = given.get(name)
        if value is True:
            words.append(name)
        elif isinstance(value, int | str) and SLUG.fullmatch(str(value)):
            words.append(f"{name}={value}")
    return words
