"""The form of a baseline file, and the strict reading of its bytes.

Version 2: `{"schema_version": 2, "case": id, "tasks": {task: {"comparability", "identity",
"reference": {"package", "backend", "provider"}, "provenance", "reason", "updated", "items":
{"sha256", "n"}, "metrics": {name: {"value", "stderr", "n", "unit", "tolerance": {"kind", "value",
"at_risk"}, "noise"}}}}}}`, where `reference`, `items`, `at_risk` and `noise` may be left out.
`items` names the task's part of the side file (`baseline_items`), `reference` what its ratios and
distances are relative to (`anchors`).
A file is reviewed by people and may be hand-edited or merged,
so everything that is not exactly this form is refused with the file's name and what to do.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
    model_validator,
)

from quantgate.errors import UsageFault
from quantgate.results import Comparability, Tolerance

SCHEMA_VERSION = 2
LARGEST_BYTES = 1 << 20
THREE_STATE = "three_state"
LARGEST_TOLERANCE = {
    "absolute": 1000.0,
    "relative": 10.0,
    "ratio_to_reference": 1.0,
    "significant_drop": 1000.0,
    THREE_STATE: 10.0,
}


def _from_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 kept no items and knew two kinds of tolerance; what it had means the same now."""
    return {**document, "schema_version": 2}


# From a version to the next one: add the step here whenever SCHEMA_VERSION rises.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_version_1}

_MERGE_MARK = re.compile(rb"^(<{7}|={7}|>{7}|\|{7})( |\r?$)", re.MULTILINE)
_RESTORE = "restore the file with git, or run again with --gate-update-baselines after deleting it"

Name = Annotated[str, Field(min_length=1, max_length=200)]
AnchorFact = Literal["package", "backend", "provider"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ToleranceEntry(_Entry):
    """The tolerance in force for one stored figure; bounded, so that none switches a gate off."""

    kind: Literal["absolute", "relative", "ratio_to_reference", "significant_drop", "three_state"]
    value: FiniteFloat = Field(ge=0)
    at_risk: FiniteFloat | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        largest = LARGEST_TOLERANCE[self.kind]
        if max(self.value, self.at_risk or 0.0) > largest:
            raise ValueError(f"a tolerance ({self.kind}) is at most {largest:g}")
        if self.kind == "ratio_to_reference" and self.value == 0:
            raise ValueError("a tolerance (ratio_to_reference) is above 0")
        if (self.kind == THREE_STATE) != (self.at_risk is not None):
            raise ValueError(f"`at_risk` belongs to {THREE_STATE}, and to no other tolerance")
        if self.at_risk is not None and self.at_risk <= self.value:
            raise ValueError("`at_risk` lies above `value`")
        return self

    def tolerance(self) -> Tolerance:
        """Return the entry as the noun that the gate reads."""
        return Tolerance(kind=self.kind, value=self.value, at_risk=self.at_risk)


class MetricEntry(_Entry):
    """One stored figure, unrounded."""

    value: FiniteFloat
    stderr: Annotated[FiniteFloat, Field(ge=0)] | None
    n: int = Field(ge=1)
    unit: Name
    tolerance: ToleranceEntry
    noise: Annotated[FiniteFloat, Field(ge=0)] | None = None


class ComparabilityEntry(_Entry):
    """`results.Comparability`, field by field."""

    protocol: Name
    items: int = Field(ge=1)
    ids_digest: Name
    corpus: Name
    tokenizer: Name
    plan: Name

    def comparability(self) -> Comparability:
        """Return the entry as the noun that the gate reads."""
        return Comparability(**self.model_dump())


class ItemsEntry(_Entry):
    """What the side file holds of a task: the digest of its content, and its number of items."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    n: int = Field(ge=1)


class TaskBaseline(_Entry):
    """All that is stored for one task of one case."""

    comparability: ComparabilityEntry
    identity: dict[str, JsonValue]
    reference: Annotated[dict[AnchorFact, Name], Field(min_length=1)] | None = None
    provenance: dict[str, JsonValue]
    reason: Name
    updated: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    items: ItemsEntry | None = None
    metrics: dict[Name, MetricEntry] = Field(min_length=1)


class CaseBaseline(_Entry):
    """One baseline file."""

    schema_version: Literal[2] = 2
    case: Name
    tasks: dict[Name, TaskBaseline]


def parse(data: bytes, origin: str) -> CaseBaseline:
    """Read a baseline file's bytes; `origin` names the file (and commit) in messages.

    Raises:
        UsageFault: `baseline-too-large`, `baseline-merge-conflict`, `baseline-not-json`,
            `baseline-version` or `baseline-schema`.
    """
    if len(data) > LARGEST_BYTES:
        _refuse("baseline-too-large", origin, f"at most {LARGEST_BYTES:,} bytes", f"{len(data):,}")
    mark = _MERGE_MARK.search(data)
    if mark:
        line = data[: mark.start()].count(b"\n") + 1
        found = f"a merge-conflict mark in line {line}"
        fix = "resolve the conflict by hand (measure again if in doubt), then commit the file"
        _refuse("baseline-merge-conflict", origin, "one resolved version", found, fix)
    document = _load(data, origin)
    try:
        return CaseBaseline.model_validate(_migrate(document, origin), strict=True)
    except ValidationError as error:
        need = f"the form of schema version {SCHEMA_VERSION}"
        _refuse("baseline-schema", origin, need, wrong_fields(error))


def wrong_fields(error: ValidationError) -> str:
    """Name the first fields that pydantic refused, and why."""
    told = [(".".join(map(str, one["loc"])) or "file", one["msg"]) for one in error.errors()]
    return "; ".join(f"{field}: {message}" for field, message in told[:5])


def _load(data: bytes, origin: str) -> dict[str, Any]:
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        _refuse("baseline-not-json", origin, "strict JSON in UTF-8", str(error))
    if not isinstance(document, dict):
        _refuse("baseline-schema", origin, "a JSON object", type(document).__name__)
    return document


def _migrate(document: dict[str, Any], origin: str) -> dict[str, Any]:
    """Bring a document to the version of today, one registered step at a time."""
    version = document.get("schema_version")
    while version != SCHEMA_VERSION or isinstance(version, bool):
        step = MIGRATIONS.get(version) if type(version) is int else None
        if step is None:
            newer = type(version) is int and version > SCHEMA_VERSION
            fix = "upgrade pytest-quantgate" if newer else _RESTORE
            need = f"schema_version {SCHEMA_VERSION}, or a version with a migration to it"
            _refuse("baseline-version", origin, need, f"schema_version {version!r}", fix)
        document = step(document)
        version = document.get("schema_version")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return document


def _no_constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not a number that JSON or a gate knows")


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal} is too large for a finite number")
    return number


def _refuse(code: str, origin: str, need: str, found: str, fix: str = _RESTORE) -> NoReturn:
    raise UsageFault(code, need=f"{need} in {origin}", found=found, fix=fix)
