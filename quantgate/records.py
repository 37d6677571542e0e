"""Measurements and decisions as plain JSON values, to cross process borders and fill a journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)

MEASUREMENT = "measurement"
DECISION = "decision"


def to_record(value: Measurement | Decision) -> dict[str, Any]:
    """A JSON-ready mapping that `from_record` turns back into an equal value."""
    kind = MEASUREMENT if isinstance(value, Measurement) else DECISION
    return {"kind": kind, "value": asdict(value)}


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
    value["verdict"] = Verdict(value["verdict"])
    value["notes"] = tuple(value["notes"])
    return Decision(**value)
