"""Measurements and decisions as plain JSON values, to cross process borders and fill a journal.

JSON has no word for a number that isn't finite: it is null, as in `results.json`. One such figure
must not take those beside it along.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Evidence,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)
from quantgate.storage import canonical_json

MEASUREMENT = "measurement"
DECISION = "decision"


def to_record(value: Measurement | Decision) -> dict[str, Any]:
    """A JSON-ready mapping that `from_record` turns back into an equal value.

    What isn't finite comes back as NaN where it is a score's figure, and as None elsewhere.
    """
    kind = MEASUREMENT if isinstance(value, Measurement) else DECISION
    # Through JSON, because enumerations and tuples don't cross to another process as they are.
    record = {"kind": kind, "value": _finite(asdict(value))}
    plain: dict[str, Any] = json.loads(canonical_json(record))
    return plain


def from_record(record: Mapping[str, Any]) -> Measurement | Decision:
    """The value that a record holds; KeyError or TypeError for any other mapping."""
    value = dict(record["value"])
    if record["kind"] == MEASUREMENT:
        value["scores"] = tuple(
            Score(**{**score, "value": _figure(score), "direction": Direction(score["direction"])})
            for score in value["scores"]
        )
        value["comparability"] = Comparability(**value["comparability"])
        value["warnings"] = tuple(value["warnings"])
        return Measurement(**value)
    if value["tolerance"] is not None:
        value["tolerance"] = Tolerance(**value["tolerance"])
    if value["evidence"] is not None:
        value["evidence"] = Evidence(**value["evidence"])
    value["verdict"] = Verdict(value["verdict"])
    value["notes"] = tuple(value["notes"])
    return Decision(**value)


def _finite(value: Any) -> Any:
    """The same value with None for each number in it that isn't finite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(score: Mapping[str, Any]) -> float:
    value: float | None = score["value"]
    return math.nan if value is None else value
