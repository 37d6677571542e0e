"""Two sides compared, case by case and metric by metric; nothing is judged.

Figures are aligned by case, task and metric. Where both sides keep items, the change is paired item
by item and called better or worse only where chance explains it at most once in twenty times
(p <= 0.05; exact McNemar or Student's t, after Holm's correction for a subject or category) and its
interval leaves 0 out. Figures over other data are not subtracted: which field differs is told. Nor
are those of a run that stopped early, unless the other side asked the same part of the items. A
batching plan and a tokenizer's files may differ, since the digest of the ids proves that both sides
read the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from quantgate.baselines.store import compare_comparability
from quantgate.comparing.alignment import Pair, aligned
from quantgate.comparing.comparison import Comparison, Outcome, Row
from quantgate.comparing.sides import Entry, Side
from quantgate.errors import UsageFault
from quantgate.gate.evidence import adjusted_p_value
from quantgate.gate.evidence import pair as pair_items
from quantgate.gate.pairing import same as same_items
from quantgate.provenance import drift
from quantgate.results import Direction, Evidence, Score

SIGNIFICANT = 0.05
_SHORT = 12


def compare(
    before: Side,
    now: Side,
    *,
    cases: tuple[str, str] | None = None,
    metrics: Sequence[str] = (),
) -> Comparison:
    """Compare two sides.

    Args:
        before: the earlier one, or the one to hold against.
        now: the later one.
        cases: a case of `before` and one of `now` to hold against each other; all of the same
            name where it is None.
        metrics: patterns of the metrics to compare, such as `accuracy`, `perplexity.*/perplexity`
            or `subject.*`; by default those that either side gates, but of subjects and
            categories none.

    Raises:
        UsageFault: a case that a side doesn't have (`compare-case`), or patterns that match no
            metric (`compare-metric`).
    """
    pairs = list(aligned(before, now, cases))
    rows = [row for each in pairs for row in _rows(each, metrics)]
    if metrics and not rows:
        known = {name for p in pairs for e in (p.before, p.now) if e for name in e.scores}
        raise UsageFault(
            "compare-metric",
            need=f"metrics of these runs: {', '.join(sorted(known))[:500]}",
            found=", ".join(metrics),
            fix="correct --metric; it takes patterns such as 'subject.*'",
        )
    shown = {row.task for row in rows}
    both = [p for p in pairs if p.before and p.now and p.task in shown]
    drifted = (line for p in both for line in _drift(p))
    return Comparison(
        before=before.label,
        now=now.label,
        rows=tuple(rows),
        drift=tuple(dict.fromkeys(drifted)),
        notes=tuple(dict.fromkeys(note for p in both for note in _notes(p))),
    )


def _rows(pair: Pair, metrics: Sequence[str]) -> Iterator[Row]:
    now = pair.now.scores if pair.now else {}
    before = pair.before.scores if pair.before else {}
    for metric in selected(pair.task, [e for e in (pair.now, pair.before) if e], metrics):
        yield _row(pair, metric, before.get(metric), now.get(metric))


def selected(task: str, entries: Sequence[Entry], patterns: Sequence[str]) -> list[str]:
    """The metrics of a task to look at: what the patterns match, by default what is gated.

    A pattern is held against `metric` and `task/metric`. Of a task that no policy is for, it is the
    first metric; metrics of subjects and categories are left to patterns.
    """
    known = list(dict.fromkeys(metric for entry in entries for metric in entry.scores))
    if patterns:
        names = {metric: (metric, f"{task}/{metric}") for metric in known}
        return [m for m in known if any(fnmatchcase(n, p) for n in names[m] for p in patterns)]
    gated = {metric for entry in entries for metric in entry.gated}
    return [metric for metric in known if metric in gated and "." not in metric] or known[:1]


def _row(pair: Pair, metric: str, before: Score | None, now: Score | None) -> Row:
    some = now or before
    assert some is not None  # noqa: S101 - the metric is of one of the two
    row = Row(
        case_before=pair.case_before,
        case_now=pair.case_now,
        task=pair.task,
        metric=metric,
        unit=some.unit,
        outcome=Outcome.NEW if before is None else Outcome.GONE,
        before=before.value if before else None,
        now=now.value if now else None,
    )
    if before is None or now is None or pair.before is None or pair.now is None:
        return row
    if why := unlike(pair.before, pair.now, before, now):
        return replace(row, outcome=Outcome.UNLIKE, why=why)
    return _weighed(row, pair.before, pair.now, now)


def unlike(before: Entry, now: Entry, was: Score, is_now: Score) -> str:
    """What makes two scores incomparable, in words; empty where nothing does."""
    same = replace(
        before.comparability,
        plan=now.comparability.plan,
        tokenizer=now.comparability.tokenizer,
    )
    lines = compare_comparability(same, now.comparability, against="before")
    lines += _other_part(before, now)
    if was.unit != is_now.unit:
        lines.append(f"unit: before {was.unit}, now {is_now.unit}")
    lines += [
        f"{score.metric} {when} is no finite number"
        for when, score in (("before", was), ("now", is_now))
        if not math.isfinite(score.value)
    ]
    return "; ".join(lines)


def _other_part(before: Entry, now: Entry) -> list[str]:
    """Say that a run stopped early, unless both sides are known to be over the same items."""
    if not (before.stopped or now.stopped):
        return []
    was, is_now = before.items, now.items
    if was is not None and is_now is not None and same_items(is_now, was):
        return []
    told = [f"stopped after {e.stopped}" if e.stopped else "all" for e in (before, now)]
    return [f"other items were taken: before {told[0]}, now {told[1]}"]


def _weighed(row: Row, before: Entry, now: Entry, score: Score) -> Row:
    """Pair the row where both sides keep items, and say what became of the figure."""
    evidence, p_value = None, None
    if now.items is not None and before.items is not None:
        evidence = pair_items(row.metric, score, now.items, before.items, "before", None)
        p_value = adjusted_p_value(row.metric, now.items, before.items)
    if evidence is not None and p_value is None:
        p_value = evidence.p_value
    delta = row.delta or 0.0 if evidence is None else evidence.delta
    return replace(
        row,
        evidence=evidence,
        p_value=None if evidence is None else p_value,
        outcome=_outcome(delta, score.direction, evidence, p_value),
    )


def _outcome(
    delta: float, direction: Direction, evidence: Evidence | None, p_value: float | None
) -> Outcome:
    better = (delta > 0) == (direction is Direction.HIGHER)
    if delta == 0 and (evidence is None or not (evidence.lost or evidence.won or evidence.stderr)):
        return Outcome.SAME
    if evidence is None or p_value is None:
        return Outcome.UNPAIRED_BETTER if better else Outcome.UNPAIRED_WORSE
    # The interval of medians is the bootstrap's and may be lopsided, where Student's p-value isn't.
    if p_value > SIGNIFICANT or evidence.low <= 0 <= evidence.high:
        return Outcome.NOISE
    return Outcome.BETTER if better else Outcome.WORSE


def _drift(pair: Pair) -> list[str]:
    assert pair.before is not None  # noqa: S101 - only asked of what both sides have
    assert pair.now is not None  # noqa: S101
    lines = drift(pair.before.provenance, pair.now.provenance)
    # Another case runs elsewhere by its name already; what its engine differs in is no news.
    own = pair.case_before == pair.case_now
    return lines + (drift(pair.before.identity, pair.now.identity) if own else [])


def _notes(pair: Pair) -> list[str]:
    assert pair.before is not None  # noqa: S101 - as above
    assert pair.now is not None  # noqa: S101
    notes = []
    if pair.case_before == pair.case_now:
        told = _changed(pair.before.identity, pair.now.identity)
        notes += [f"{pair.case_now}: other files, {told}"] if told else []
    elif not _changed(pair.before.identity, pair.now.identity):
        notes.append(f"{pair.case_before} and {pair.case_now} have the same files")
    references = pair.before.reference, pair.now.reference
    if all(references) and references[0] != references[1]:
        notes.append(f"{pair.case_now} {pair.task}: measured from another reference than before")
    return notes


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How the digest of the files changed, in words; empty where it didn't."""
    digests = [str(identity.get("package", ""))[:_SHORT] for identity in (before, now)]
    return "" if digests[0] == digests[1] else f"digest {digests[0]} -> {digests[1]}"
