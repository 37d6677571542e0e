"""Measurements and decisions as plain JSON values, to cross process borders and fill a journal."""

from __future__ import annotations

import json
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
    """A JSON-ready mapping that `from_record` turns back into an equal value."""
    kind = MEASUREMENT if isinstance(value, Measurement) else DECISION
    # Through JSON, because enumerations and tuples don't cross to another process as they are.
    plain: dict[str, Any] = json.loads(canonical_json({"kind": kind, "value": asdict(value)}))
    return plain


def from_record(record: Mapping[str, Any]) -> Measurement | Decision:
    """The value that a record holds; KeyError or TypeError for any other mapping."""
    value = dict(record["value"])
    if record["kind"] == MEASUREMENT:
        value["scores"] = tuple(
            Score(**{**score, "direction": Direction(score["direction"])})
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
