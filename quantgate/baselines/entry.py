"""What an update stores of a measurement, and the bytes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from quantgate.baselines.anchors import anchor_to_store
from quantgate.baselines.schema import CaseBaseline, ItemsEntry, TaskBaseline, wrong_fields
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.results import Limits, Measurement, Score, Tolerance

LimitsOf = Callable[[str, str], Limits]


def make_entry(
    measurement: Measurement,
    limits: LimitsOf,
    items: ItemsEntry | None,
    *,
    reason: str,
    provenance: Mapping[str, Any],
    is_reference: bool = False,
) -> TaskBaseline | None:
    """Return the stored form of a measurement; None where no metric has a baseline tolerance.

    `items` says what the side file will hold of it, `is_reference` whether it is a reference's.

    Raises:
        InvalidMeasurement: a figure to store is not finite (`baseline-not-finite`).
        UsageFault: the entry would not be read again, for example by its tolerance
            (`baseline-entry`).
    """
    metrics = {
        score.metric: _metric(measurement.task, score, tolerance)
        for score in measurement.scores
        if (tolerance := limits(measurement.task, score.metric).baseline) is not None
    }
    if not metrics:
        return None
    document = {
        "comparability": asdict(measurement.comparability),
        # Through JSON, so that what is compared later is what was stored.
        "identity": json.loads(json.dumps(dict(measurement.identity), allow_nan=False)),
        "reference": anchor_to_store(measurement, is_reference=is_reference),
        "provenance": json.loads(json.dumps(dict(provenance), allow_nan=False)),
        "reason": reason.strip(),
        "updated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "items": None if items is None else items.model_dump(),
        "metrics": metrics,
    }
    try:
        return TaskBaseline.model_validate(document)
    except ValidationError as error:
        raise UsageFault(
            "baseline-entry",
            need=f"an entry for {measurement.task} that can be read again",
            found=wrong_fields(error),
            fix="correct the tolerance in the manifest, or the reason; nothing was stored",
        ) from error


def _metric(task: str, score: Score, tolerance: Tolerance) -> dict[str, Any]:
    stderr = score.stderr if score.stderr_clustered is None else score.stderr_clustered
    if not all(math.isfinite(number) for number in (score.value, stderr or 0.0)):
        raise InvalidMeasurement(
            "baseline-not-finite",
            need=f"a finite {score.metric} of {task} to store",
            found=f"{score.value} with standard error {stderr}",
            fix="find out why the measurement is not finite; nothing was stored",
        )
    return {
        "value": float(score.value),
        "stderr": None if stderr is None else float(stderr),
        "n": int(score.n),
        "unit": score.unit,
        "tolerance": asdict(tolerance),
        "noise": None if score.noise is None else float(score.noise),
    }


def serialize(file: CaseBaseline) -> bytes:
    """Return the file's bytes: sorted keys, two spaces, a last newline; optional fields if set."""
    document = file.model_dump()
    for task in document["tasks"].values():
        _drop_if_none(task, "reference")
        _drop_if_none(task, "items")
        for metric in task["metrics"].values():
            _drop_if_none(metric, "noise")
            _drop_if_none(metric["tolerance"], "at_risk")
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def _drop_if_none(fields: dict[str, Any], name: str) -> None:
    if fields[name] is None:
        del fields[name]
