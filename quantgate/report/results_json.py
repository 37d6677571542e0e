"""`results.json`: everything a run found, in full and unrounded, for other programs.

Schema version 1: `{"schema_version": 1, "run": {"started", "ended", "options", "configuration",
"provenance", "baselines"}, "measurements": [...], "decisions": [...]}`; times are UTC, the two
lists hold the fields of `results.Measurement` and `results.Decision`. A number that is not finite
is null, since JSON has no word for it; the decision's reason says what it was. Text is kept as it
was, but credentials in it are replaced: readers must escape it for the place they show it in.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from quantgate.report.escape import redact
from quantgate.results import Decision, Measurement
from quantgate.storage import write_atomically

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What holds for the whole run.

    Attributes:
        started: aware time of the start.
        ended: aware time of the end.
        options: the command-line options that were given.
        configuration: the configuration in force, defaults included.
        provenance: what `provenance.collect` returned.
        baselines: by case and task when, why and by what the baseline was stored that the figures
            were held against, as far as there is one.
    """

    started: datetime
    ended: datetime
    options: Mapping[str, Any]
    configuration: Mapping[str, Any]
    provenance: Mapping[str, Any]
    baselines: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_results(
    path: Path,
    run: RunFacts,
    measurements: Iterable[Measurement],
    decisions: Iterable[Decision],
) -> None:
    """Write the file; it is whole in memory before the old one is touched.

    Raises:
        TypeError: something in it has no JSON form (named by its place).
        ValueError: a time without a zone.
        InvalidMeasurement: the disk refuses (`storage.storage_fault`).
    """
    write_atomically(path, serialize(build(run, measurements, decisions)))


def build(
    run: RunFacts, measurements: Iterable[Measurement], decisions: Iterable[Decision]
) -> dict[str, Any]:
    """Return the document, JSON-ready; errors as `write_results`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": _strict(run, "run"),
        "measurements": [_strict(m, f"measurements[{i}]") for i, m in enumerate(measurements)],
        "decisions": [_strict(d, f"decisions[{i}]") for i, d in enumerate(decisions)],
    }


def serialize(document: Mapping[str, Any]) -> bytes:
    """Return strict JSON in UTF-8: sorted keys, two spaces, a last newline."""
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def _strict(value: object, place: str) -> Any:
    """Return the JSON form of `value`; `place` names it in errors."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _strict(getattr(value, name), f"{place}.{name}") for name in names}
    if isinstance(value, Mapping):
        return {_text(str(k)): _strict(v, f"{place}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [_strict(item, f"{place}[{i}]") for i, item in enumerate(items)]
    return _scalar(value, place)


def _scalar(value: object, place: str) -> str | int | float | bool | None:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str | PurePath):
        return _text(str(value))
    if isinstance(value, datetime):
        return _utc(value, place)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    raise TypeError(f"{place} is a {type(value).__name__}, which has no JSON form")


def _utc(moment: datetime, place: str) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"{place} needs a time zone: pass datetime.now(UTC)")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(text: str) -> str:
    """Return text that UTF-8 can hold (a path may not), without credentials."""
    return redact(text.encode("utf-8", "backslashreplace").decode("utf-8"))
