"""Reads `results.json` back: what reports are drawn from and runs are compared by.

The file may come from a job that ran a stranger's code, so it is taken as hostile: its size is
bounded, its form is checked field by field, and its texts are left raw for the sink to escape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from quantgate.errors import UsageFault
from quantgate.report.results_json import SCHEMA_VERSION
from quantgate.results import Decision, Measurement

LARGEST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """A finished run.

    Attributes:
        facts: `started`, `ended`, `options`, `configuration`, `provenance` and `baselines`.
        measurements: in the order they came.
        decisions: in the order they came.
    """

    facts: Mapping[str, Any]
    measurements: tuple[Measurement, ...]
    decisions: tuple[Decision, ...]

    def measurement(self, case_id: str, task: str) -> Measurement | None:
        """The measurement of a case's task, or None."""
        keys = (case_id, task)
        return next((m for m in self.measurements if (m.case_id, m.task) == keys), None)


def read_run(path: Path) -> RunFile:
    """Read a results file.

    Raises:
        UsageFault: `run-unreadable`, `run-too-large`, `run-not-json`, `run-version` or
            `run-schema`.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        _refuse("run-unreadable", str(path), "a results.json", error.strerror or str(error))
    return parse_run(data, str(path))


def parse_run(data: bytes, origin: str) -> RunFile:
    """Read a results file's bytes; `origin` names it in messages. Errors as `read_run`."""
    if len(data) > LARGEST_BYTES:
        _refuse("run-too-large", origin, f"at most {LARGEST_BYTES:,} bytes", "more")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        _refuse("run-not-json", origin, "JSON in UTF-8", str(error))
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        found = document.get("schema_version") if isinstance(document, dict) else "no mapping"
        _refuse("run-version", origin, f"schema_version {SCHEMA_VERSION}", repr(found))
    try:
        measurements = [_with_nan(each) for each in document["measurements"]]
        return RunFile(
            facts=_FACTS.validate_python(document["run"]),
            measurements=_MEASUREMENTS.validate_python(measurements),
            decisions=_DECISIONS.validate_python(document["decisions"]),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        _refuse("run-schema", origin, "the fields of a results file", f"{place}: {first['msg']}")
    except (KeyError, TypeError, AttributeError) as error:
        _refuse("run-schema", origin, "the fields of a results file", repr(error))


_FACTS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_MEASUREMENTS: TypeAdapter[tuple[Measurement, ...]] = TypeAdapter(tuple[Measurement, ...])
_DECISIONS: TypeAdapter[tuple[Decision, ...]] = TypeAdapter(tuple[Decision, ...])


def _with_nan(measurement: dict[str, Any]) -> dict[str, Any]:
    """A figure that wasn't finite was written as null."""
    scores = [
        {**score, "value": math.nan if score["value"] is None else score["value"]}
        for score in measurement["scores"]
    ]
    return {**measurement, "scores": scores}


def _refuse(code: str, origin: str, need: str, found: str) -> NoReturn:
    raise UsageFault(
        code, need=f"{need} in {origin}", found=found, fix="name a results.json of quantgate"
    )
