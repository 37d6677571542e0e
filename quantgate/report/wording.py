"""The text of a failed test: what is wrong by how much, what changed, what mends it.

perplexity 14.82 is 3.13 % above the baseline 14.37; allowed +1.50 %   [tiny-int4-ort-cpu]
  paired delta to the reference +0.0308 nats/token, 95 % CI +0.0226..+0.0390 (64 windows)
  -> REGRESSION
  differs from the baseline: onnxruntime 1.30.0 -> 1.31.1     file: baselines/tiny/...
  accept: pytest -m perplexity --gate-update-baselines --gate-reason "..."
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import PurePath

from quantgate.findings import DRIFT
from quantgate.report.escape import plain
from quantgate.report.numbers import FRACTION, change, digits_for, figure, percent
from quantgate.results import Decision, Direction, Measurement, Score, Verdict
from quantgate.stats import normal_interval

_LOG_UNITS = ("nats/token", "nats/word", "nats/byte")


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
    if decision.verdict in {Verdict.REGRESSION, Verdict.PASS}:
        lines += _evidence(decision, score)
    elif decision.verdict is Verdict.INCONCLUSIVE:
        lines.append(f"  {decision.reason}")
        lines.append("  -> INCONCLUSIVE: batching alone moves the figure by more than is allowed")
    elif decision.verdict is Verdict.INVALID:
        lines.append(f"  {decision.reason}")
        lines.append("  -> INVALID: the number means nothing, so it is neither good nor bad")
    lines += _surroundings(decision, baseline_file)
    lines += _way_out(decision)
    return "\n".join(lines)


def accept_command(task: str) -> str:
    """Return the command that stores the suite's figures as the new baseline."""
    marker = task.partition(".")[0]
    return f'pytest -m {marker} --gate-update-baselines --gate-reason "..."'


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
    sign = "-" if score is not None and score.direction is Direction.HIGHER else "+"
    if decision.tolerance is not None and decision.tolerance.kind == "relative" and anchor:
        by, limit = (100 * size / abs(anchor) for size in (abs(delta), allowed))
        digits = digits_for(by, limit)
        told = f"{by:.{digits}f} %", f"{limit:.{digits}f} %"
    else:
        digits = digits_for(percent(abs(delta), unit), percent(allowed, unit))
        told = change(abs(delta), unit, digits), change(allowed, unit, digits)
    digits = digits_for(percent(value, unit), percent(anchor, unit))
    by_how_much = f"is {told[0]} {'above' if delta > 0 else 'below'}" if delta else "equals"
    held = f"the {decision.against} {figure(anchor, unit, digits)}"
    return f"{figure(value, unit, digits)} {by_how_much} {held}; allowed {sign}{told[1]}"


def _evidence(decision: Decision, score: Score | None) -> list[str]:
    """Word the paired difference, or the standard error where nothing is paired; the verdict."""
    lines = []
    if score is not None and score.paired_delta is not None:
        lines.append(f"  {_paired(decision, score)}")
    elif score is not None and (error := _stderr(score)) is not None:
        lines.append(f"  standard error {change(error, score.unit)} (n {score.n:,})")
    if lines:
        return [f"{lines[0]} -> {decision.verdict}"]
    return [f"  -> {decision.verdict}"]


def _stderr(score: Score) -> float | None:
    return score.stderr if score.stderr_clustered is None else score.stderr_clustered


def _paired(decision: Decision, score: Score) -> str:
    """Word the paired difference to the reference, with its 95 % interval over the clusters."""
    delta, unit = score.paired_delta or 0.0, score.paired_unit
    shown_unit = "points" if unit == FRACTION else unit
    ends = () if score.paired_stderr is None else normal_interval(delta, score.paired_stderr)
    digits = digits_for(*(percent(end, unit) for end in (delta, *ends)))
    text = [f"{percent(number, unit):+.{digits}f}" for number in (delta, *ends)]
    line = f"paired delta to the reference {text[0]} {shown_unit}".rstrip()
    if ends:
        line += f", 95 % CI {text[1]}..{text[2]}"
    if score.clusters:
        noun = "subjects" if unit == FRACTION else "windows"
        line += f" ({score.clusters:,} {noun})"
    allowed = _allowed_paired(decision, score)
    return line if allowed is None else f"{line}; allowed {percent(allowed, unit):+.{digits}f}"


def _allowed_paired(decision: Decision, score: Score) -> float | None:
    """Return the allowance on the paired scale; None where the check was not the reference's.

    A relative tolerance t on a perplexity is ln(1 + t) in nats per token, word or byte.
    """
    if decision.against != "reference" or decision.tolerance is None:
        return None
    if score.paired_unit == score.unit and decision.allowed is not None:
        return -decision.allowed if score.direction is Direction.HIGHER else decision.allowed
    if score.paired_unit in _LOG_UNITS and decision.tolerance.kind == "relative":
        return math.log1p(decision.tolerance.value)
    return None


def _surroundings(decision: Decision, baseline_file: PurePath | str) -> list[str]:
    """Word the drift beside the baseline's file, then the other notes."""
    drifted = [note for note in decision.notes if note.startswith(DRIFT)]
    told = f"{drifted[0]}     " if drifted else ""
    others = [f"  note: {note}" for note in decision.notes if not note.startswith(DRIFT)]
    if decision.reference is not None and decision.verdict is Verdict.REGRESSION:
        # Two anchors may have been looked at, and the headline names one.
        others.insert(0, f"  {decision.reason}")
    return [f"  {told}file: {plain(str(baseline_file))}", *others]


def _way_out(decision: Decision) -> list[str]:
    command = accept_command(decision.task)
    if decision.verdict is Verdict.NO_BASELINE:
        return [f"  store: {command}"]
    if decision.verdict is Verdict.INCONCLUSIVE:
        return ["  mend: raise the tolerance above the noise, or measure on more items"]
    if decision.verdict is Verdict.REGRESSION and decision.against == "reference":
        return ["  mend: quantize with less loss, or raise the limit against the reference"]
    # What isn't comparable with the baseline may have been meant; other faults have their own fix.
    meant = decision.verdict is Verdict.INVALID and decision.against == "baseline"
    if decision.verdict is Verdict.REGRESSION or meant:
        return [f"  accept: {command}"]
    return []
