"""The text of a failed test: what is wrong by how much, whether it is chance, what mends it.

perplexity 14.82 is 3.13 % above the baseline 14.37; allowed +1.50 %   [tiny-int4-ort-cpu]
  paired delta to the baseline +0.0308 nats/token, 95 % CI +0.0226..+0.0390 (64 windows);
  allowed +0.0149 -> REGRESSION
  isn't chance: p = 7.1e-10 (Student's t, 4 degrees of freedom, 64 neighbouring windows); the
  smallest change for the worse this run detects is 0.0104 nats/token
  differs from the baseline: onnxruntime 1.30.0 -> 1.31.1     file: baselines/tiny/...
  accept: quantgate run -m perplexity -k "[tiny-int4-ort-cpu]" --gate-update-baselines \
          --gate-reason "..."
  reproduce: quantgate run -m perplexity -k "[tiny-int4-ort-cpu]"
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from quantgate.gate.decision import NOISE
from quantgate.gate.findings import DRIFT
from quantgate.gate.rulings import MANY, UNDETECTABLE
from quantgate.gate.tolerances import SHARES, SIGNIFICANT, THREE_STATE
from quantgate.report.commands import UPDATE, command
from quantgate.report.escape import plain
from quantgate.report.noise_words import evidence_lines
from quantgate.report.numbers import FRACTION, change, digits_for, figure, percent, times
from quantgate.results import Decision, Direction, Measurement, Score, Tolerance, Verdict

_AT_RISK: Final = "PASS (at risk)"
_NO_WORD = re.compile(r"[^A-Za-z0-9_.\-]")  # nothing that a shell would read as more than a word
# Why a verdict is INCONCLUSIVE, by what its reason says, and the way out.
_UNCLEAR: Final = {
    NOISE: (
        "batching alone moves the figure by more than is allowed",
        "raise the tolerance above the noise, or measure on more items",
    ),
    UNDETECTABLE: (
        "this run is too small to tell the allowed change from chance",
        "measure on more items, or raise the tolerance to what this run detects",
    ),
    MANY: (
        "one of many subjects changes as much by chance",
        "look at the accuracy over all, or ask more questions of each subject",
    ),
}


def word(decision: Decision, measurement: Measurement | None, baseline_file: PurePath | str) -> str:
    """Return the text of a decision, one idea a line, without colours or control characters.

    Args:
        decision: any verdict.
        measurement: what was decided on; None where there is none.
        baseline_file: the case's baseline, as a person should read it.
    """
    score = _score(decision, measurement)
    decision = _clean(decision)
    lines = [f"{_headline(decision, score)}   [{decision.case_id}]"]
    lines += [f"  {line}" for line in _body(decision, score)]
    lines += _surroundings(decision, baseline_file)
    lines += _way_out(decision)
    return "\n".join(lines)


def accept_command(task: str, case_id: str) -> str:
    """Return the command that stores a case's figures of a suite as its new baseline."""
    return _command(task, case_id, UPDATE)


def reproduce_command(task: str, case_id: str) -> str:
    """Return the command that measures a case's suite again, and nothing else."""
    return _command(task, case_id)


def _command(task: str, case_id: str, *words: str) -> str:
    return command([_marker(task)], _NO_WORD.sub("", case_id), words)


def _marker(task: str) -> str:
    return _NO_WORD.sub("", task.partition(".")[0])


def _score(decision: Decision, measurement: Measurement | None) -> Score | None:
    scores = () if measurement is None else measurement.scores
    return next((score for score in scores if score.metric == decision.metric), None)


def _clean(decision: Decision) -> Decision:
    """Return the decision with every text in one harmless line."""
    return replace(
        decision,
        case_id=plain(decision.case_id),
        task=plain(decision.task),
        metric=plain(decision.metric),
        reason=plain(decision.reason),
        notes=tuple(map(plain, decision.notes)),
    )


def _headline(decision: Decision, score: Score | None) -> str:
    metric, unit = decision.metric, "" if score is None else score.unit
    if decision.verdict is Verdict.INVALID:
        return f"{metric} of {decision.task} is INVALID"
    if decision.value is None or decision.anchor is None or decision.delta is None:
        shown = "" if decision.value is None else f" {figure(decision.value, unit)}"
        return f"{metric}{shown} has no baseline yet"
    text = f"{metric} {_compared(decision, score)}"
    return text + ("; no baseline yet" if decision.verdict is Verdict.NO_BASELINE else "")


def _compared(decision: Decision, score: Score | None) -> str:
    """Word value, difference, anchor and allowance, with digits that show what was decided."""
    unit = "" if score is None else score.unit
    value, anchor = decision.value or 0.0, decision.anchor or 0.0
    delta, allowed = decision.delta or 0.0, decision.allowed or 0.0
    tolerance = decision.tolerance
    sign = "-" if score is not None and score.direction is Direction.HIGHER else "+"
    manifold = ""
    if tolerance is not None and tolerance.kind in SHARES and anchor:
        by, limit = (100 * size / abs(anchor) for size in (abs(delta), allowed))
        digits = digits_for(by, limit)
        told = f"{by:.{digits}f} %", f"{limit:.{digits}f} %"
        manifold = "" if unit == FRACTION else times(value, anchor)
    else:
        digits = digits_for(percent(abs(delta), unit), percent(allowed, unit))
        told = change(abs(delta), unit, digits), change(allowed, unit, digits)
    shown = None if manifold else digits_for(percent(value, unit), percent(anchor, unit))
    by_how_much = manifold or f"{told[0]} {'above' if delta > 0 else 'below'}"
    by_how_much = f"is {by_how_much}" if delta else "equals"
    held = f"the {decision.against} {figure(anchor, unit, shown)}"
    limit_told = f"allowed {sign}{told[1]}{_manner(tolerance, FRACTION if anchor else unit)}"
    return f"{figure(value, unit, shown)} {by_how_much} {held}; {limit_told}"


def _manner(tolerance: Tolerance | None, unit: str) -> str:
    """Say what is special about an allowance; `unit` is its first bound's."""
    if tolerance is not None and tolerance.kind == SIGNIFICANT:
        return " at the 95 % bound"
    if tolerance is not None and tolerance.kind == THREE_STATE:
        return f", at risk above {figure(tolerance.value, unit)}"
    return ""


def _body(decision: Decision, score: Score | None) -> list[str]:
    """Word what is known of the error, and the verdict."""
    verdict = decision.verdict
    if verdict is Verdict.INVALID:
        told = "-> INVALID: the number means nothing, so it is neither good nor bad"
        return [decision.reason, told]
    if verdict is Verdict.NO_BASELINE:
        return []
    lines = evidence_lines(decision, score)
    if verdict is Verdict.INCONCLUSIVE:
        return [*lines, decision.reason, f"-> INCONCLUSIVE: {_unclear(decision)[0]}"]
    shown = _AT_RISK if decision.at_risk else verdict
    first = f"{lines[0]} -> {shown}" if lines else f"-> {shown}"
    return [first, *lines[1:]]


def _unclear(decision: Decision) -> tuple[str, str]:
    found = (told for mark, told in _UNCLEAR.items() if mark in decision.reason)
    return next(found, _UNCLEAR[UNDETECTABLE])


def _surroundings(decision: Decision, baseline_file: PurePath | str) -> list[str]:
    """Word what changed in the environment beside the baseline's file, then the other notes."""
    drifted = [note for note in decision.notes if note.startswith(DRIFT)]
    if drifted:
        told = f"{drifted[0]}     "
    elif decision.against == "baseline" and decision.verdict is not Verdict.INVALID:
        told = "in the environment nothing differs from the baseline's     "
    elif decision.against == "reference" and decision.verdict is not Verdict.INVALID:
        told = "candidate and reference were measured in one environment     "
    else:
        told = ""
    others = [f"  note: {note}" for note in decision.notes if not note.startswith(DRIFT)]
    if decision.reference is not None and decision.verdict is Verdict.REGRESSION:
        # Two anchors may have been looked at, and the headline names one.
        others.insert(0, f"  {decision.reason}")
    return [f"  {told}file: {plain(str(baseline_file))}", *others]


def _way_out(decision: Decision) -> list[str]:
    accept = f"  accept: {accept_command(decision.task, decision.case_id)}"
    again = f"  reproduce: {reproduce_command(decision.task, decision.case_id)}"
    if decision.verdict is Verdict.NO_BASELINE:
        return [f"  store: {accept_command(decision.task, decision.case_id)}"]
    if decision.verdict is Verdict.INCONCLUSIVE:
        return [f"  mend: {_unclear(decision)[1]}", again]
    if decision.verdict is Verdict.REGRESSION and decision.against == "reference":
        return [
            "  mend: quantize with less loss, or raise the limit against the reference",
            again,
        ]
    if decision.verdict is Verdict.REGRESSION:
        return [accept, again]
    if decision.verdict is Verdict.INVALID:
        # What isn't comparable may have been meant; other faults have their own fix.
        return [accept, again] if decision.against == "baseline" else [again]
    return []
