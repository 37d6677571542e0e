"""What is wrong or remarkable about a measurement, before anyone compares its figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from quantgate.baselines.anchors import anchor_drift, compare_anchors
from quantgate.baselines.schema import TaskBaseline
from quantgate.baselines.store import compare_comparability
from quantgate.provenance import drift
from quantgate.results import Comparability, Measurement, Verdict

DISTANCES = frozenset({"kl_divergence", "agreement", "generation", "speed", "memory"})
DRIFT = "differs from the baseline: "
IDENTICAL = "identical packages: the candidate's digest is the reference's"
PACKAGE = "package"  # the key of a backend's identity that digests every file it reads


@dataclass(frozen=True, slots=True)
class Findings:
    """Faults make the verdict INVALID; notes change nothing.

    `unlike_baseline` is set where the stored baseline is of something else, so that an update is
    the way out where the change was meant.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unlike_baseline: bool = False


def is_divergence(measurement: Measurement) -> bool:
    """Say whether the task holds against the reference by itself.

    The reference's own figure is then 0 (a distance), or 1 where higher is better: full agreement,
    or a ratio to itself.
    """
    return measurement.task.partition(".")[0] in DISTANCES


def stopped(measurement: Measurement) -> bool:
    """Say whether a sequential run stopped before it had asked everything."""
    return bool(_sequential(measurement).get("stopped"))


def settled(measurement: Measurement, metric: str, against: str) -> Verdict | None:
    """What a run that stopped early had settled of a comparison; None where it hadn't."""
    if not stopped(measurement):
        return None
    found = _sequential(measurement).get("verdicts", {}).get(metric, {}).get(against)
    return None if found is None else Verdict(found)


def find(
    measurement: Measurement,
    metric: str,
    baseline: TaskBaseline | None,
    reference: Measurement | None,
    provenance: Mapping[str, Any] | None,
) -> Findings:
    """Look for everything but degenerate answers and faults of the evaluation itself.

    A measurement that is its own reference is held against its baseline alone. A sequential run is
    batched stage by stage, so its plan says nothing about whether it is comparable.
    """
    own = _own(measurement, reference)
    unlike = [] if baseline is None else _unlike_baseline(measurement, metric, baseline)
    faults = [*_not_a_number(measurement, metric), *unlike]
    if reference is not None and not own:
        faults += _unlike_reference(measurement, metric, reference)
    digest = measurement.identity.get(PACKAGE)
    identical = digest is not None and reference_digest(measurement, reference) == digest
    if _zero_divergence(measurement) and not (identical or own):
        faults.append(
            "the divergence is exactly 0 though the packages' digests are not equal: "
            "both sides read the same scores"
        )
    notes = [IDENTICAL] if identical and not own else []
    notes += _elsewhere(measurement, reference)
    notes += _partial(measurement)
    drifted = [] if baseline is None else _drift(measurement, baseline, provenance)
    if drifted:
        notes.append(f"{DRIFT}{'; '.join(drifted)}")
    return Findings(faults, notes, bool(unlike))


def _own(measurement: Measurement, reference: Measurement | None) -> bool:
    """Whether a measurement is held against itself."""
    named = measurement.detail.get("reference") if reference is None else reference.case_id
    return bool(named == measurement.case_id)


def reference_digest(measurement: Measurement, reference: Measurement | None) -> str | None:
    """Return the digest of the reference's package, where it is known.

    A divergence may carry the reference's identity as `detail["reference_identity"]`, where the
    reference wasn't measured by that task.
    """
    identity = measurement.detail.get("reference_identity") if reference is None else None
    if reference is not None:
        identity = reference.identity
    digest = identity.get(PACKAGE) if isinstance(identity, Mapping) else None
    return digest if isinstance(digest, str) else None


def _not_a_number(measurement: Measurement, metric: str) -> list[str]:
    for score in measurement.scores:
        if score.metric == metric:
            value: object = score.value  # a hostile or broken metric may hold None all the same
            finite = isinstance(value, int | float) and math.isfinite(value)
            return [] if finite else [f"{metric} is {value}, which is no finite number"]
    told = ", ".join(score.metric for score in measurement.scores) or "none"
    return [f"{measurement.task} yielded no {metric}; its metrics: {told}"]


def _unlike_baseline(measurement: Measurement, metric: str, baseline: TaskBaseline) -> list[str]:
    stored, now = baseline.comparability.comparability(), measurement.comparability
    if _sequential(measurement):
        stored = replace(stored, plan=now.plan)
    lines = compare_comparability(stored, now)
    lines += [
        f"{key}: baseline {baseline.identity.get(key)}, now {measurement.identity.get(key)}"
        for key in ("backend", "provider")
        if key in baseline.identity and baseline.identity[key] != measurement.identity.get(key)
    ]
    lines += compare_anchors(baseline, measurement)
    entry = baseline.metrics.get(metric)
    units = {score.unit for score in measurement.scores if score.metric == metric}
    if entry is not None and units and entry.unit not in units:
        lines.append(f"unit: baseline {entry.unit}, now {units.pop()}")
    return [f"not comparable with the baseline: {'; '.join(lines)}"] if lines else []


def _unlike_reference(measurement: Measurement, metric: str, reference: Measurement) -> list[str]:
    """Compare with the reference.

    Its plan may differ, since a plan depends on the backend, and so may the files of its
    tokenizer: that both read the same ids is proved by their digest.
    """
    if reference.task != measurement.task:
        if is_divergence(measurement):
            return []  # it only lends its identity
        return [f"the reference's measurement is of {reference.task}, not of {measurement.task}"]
    now: Comparability = measurement.comparability
    lines = compare_comparability(
        replace(reference.comparability, plan=now.plan, tokenizer=now.tokenizer),
        now,
        against="reference",
    )
    faults = [f"not comparable with the reference: {'; '.join(lines)}"] if lines else []
    return faults + [f"the reference: {fault}" for fault in _not_a_number(reference, metric)]


def _elsewhere(measurement: Measurement, reference: Measurement | None) -> list[str]:
    """Tell where candidate and reference didn't run on the same engine and provider."""
    held = measurement.detail.get("reference_identity") if reference is None else reference.identity
    places = [
        f"{identity.get('backend')} on {identity.get('provider')}"
        for identity in (measurement.identity, held)
        if isinstance(identity, Mapping) and "provider" in identity
    ]
    if len(set(places)) < 2:
        return []
    return [f"held across engines: this ran by {places[0]}, its reference by {places[1]}"]


def _sequential(measurement: Measurement) -> Mapping[str, Any]:
    found = measurement.detail.get("sequential")
    return found if isinstance(found, Mapping) else {}


def _partial(measurement: Measurement) -> list[str]:
    if not stopped(measurement):
        return []
    found = _sequential(measurement)
    taken = f"the {found.get('taken')} items taken of {found.get('of')}"
    return [f"stopped early: its figures, and what they are held against, are over {taken}"]


def _zero_divergence(measurement: Measurement) -> bool:
    return any(score.metric == "kl_mean" and score.value == 0.0 for score in measurement.scores)


def _drift(
    measurement: Measurement, baseline: TaskBaseline, provenance: Mapping[str, Any] | None
) -> list[str]:
    lines = drift(baseline.identity, measurement.identity) + anchor_drift(baseline, measurement)
    if provenance is not None:
        lines += drift(baseline.provenance, provenance)
    return list(dict.fromkeys(lines))
