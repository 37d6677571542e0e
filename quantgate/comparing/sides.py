"""What is compared: the figures of one run, or of baselines, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from quantgate.baselines.schema import TaskBaseline
from quantgate.baselines.sets import BaselineSet
from quantgate.errors import UsageFault
from quantgate.gate.findings import stopped
from quantgate.items import ItemResults, items_of
from quantgate.results import Comparability, Direction, Measurement, Score
from quantgate.run_file import RunFile

# A baseline doesn't keep which way its figures get better; all others get better downwards.
_HIGHER_BEGINS = (
    "accuracy",
    "subject.",
    "category.",
    "top1_agreement",
    "matched_share",
    "identical",
    "match_length",
)
# Of what stands before a dot: `prefill_speedup.128`.
_HIGHER_ENDS = ("_speedup", "_saving", "_tokens_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a side holds of one task of one case.

    Attributes:
        scores: by metric, in their order.
        gated: the metrics that a policy is for.
        provenance: facts of the process that measured it.
        items: what it can be paired by; None where none are kept.
        reference: digest of the package that a divergence was measured from; None where unknown.
        stopped: how far a run that stopped early had asked, such as `120 of 812 items`; empty where
            everything was asked.
    """

    scores: Mapping[str, Score]
    gated: frozenset[str]
    comparability: Comparability
    identity: Mapping[str, Any]
    provenance: Mapping[str, Any]
    items: ItemResults | None = None
    reference: str | None = None
    stopped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared.

    Attributes:
        label: what it is, in words: `run 0003`, `baselines at main (1f2e3d4c5b6a)`.
        entries: by case and task, in their order.
    """

    label: str
    entries: Mapping[tuple[str, str], Entry]


def side_of_run(run: RunFile, label: str, *, with_items: bool = True) -> Side:
    """The figures of a run.

    Args:
        run: the run.
        label: what to call it.
        with_items: read its items too, which takes longer. Those of a task that stopped early are
            read anyway: they tell which others it is comparable with.

    Raises:
        UsageFault: `run-items`: what it keeps of its items is damaged.
    """
    facts = run.facts.get("provenance")
    provenance = facts if isinstance(facts, Mapping) else {}
    gated: dict[tuple[str, str], set[str]] = {}
    for decision in run.decisions:
        gated.setdefault((decision.case_id, decision.task), set()).add(decision.metric)
    entries = {}
    for measurement in run.measurements:
        key = measurement.case_id, measurement.task
        entry = _measured(measurement, provenance)
        items = _items(measurement, label) if with_items or entry.stopped else None
        entries[key] = replace(entry, gated=frozenset(gated.get(key, ())), items=items)
    return Side(label=label, entries=entries)


def side_of_baselines(baselines: BaselineSet, *, with_items: bool = True) -> Side:
    """The figures of stored baselines; UsageFault where a file is damaged."""
    known = baselines.cases_with_items() if with_items else [(b, {}) for b in baselines.cases()]
    entries = {
        (baseline.case, name): _stored(task, items.get(name))
        for baseline, items in known
        for name, task in baseline.tasks.items()
    }
    return Side(label=baselines.label, entries=entries)


def direction_of(metric: str) -> Direction:
    """Which way a metric of ours gets better, by its name."""
    family = metric.partition(".")[0]
    higher = metric.startswith(_HIGHER_BEGINS) or family.endswith(_HIGHER_ENDS)
    return Direction.HIGHER if higher else Direction.LOWER


def _measured(measurement: Measurement, provenance: Mapping[str, Any]) -> Entry:
    reference = measurement.detail.get("reference_identity")
    digest = reference.get("package") if isinstance(reference, Mapping) else None
    return Entry(
        scores={score.metric: score for score in measurement.scores},
        gated=frozenset(),
        comparability=measurement.comparability,
        identity=measurement.identity,
        provenance=provenance,
        reference=digest if isinstance(digest, str) else None,
        stopped=_stopped(measurement),
    )


def _stopped(measurement: Measurement) -> str:
    if not stopped(measurement):
        return ""
    told = measurement.detail["sequential"]
    return f"{told.get('taken')} of {told.get('of')} items"


def _items(measurement: Measurement, label: str) -> ItemResults | None:
    try:
        return items_of(measurement)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UsageFault(
            "run-items",
            need=f"whole items of {measurement.case_id} {measurement.task} in {label}",
            found=f"{type(error).__name__}: {error}",
            fix="measure again: an older version wrote the file, or it was changed since",
        ) from error


def _stored(task: TaskBaseline, items: ItemResults | None) -> Entry:
    scores = {
        name: Score(
            metric=name,
            value=metric.value,
            n=metric.n,
            unit=metric.unit,
            direction=direction_of(name),
            stderr=metric.stderr,
            noise=metric.noise,
        )
        for name, metric in task.metrics.items()
    }
    return Entry(
        scores=scores,
        gated=frozenset(scores),
        comparability=task.comparability.comparability(),
        identity=task.identity,
        provenance=task.provenance,
        items=items,
    )
