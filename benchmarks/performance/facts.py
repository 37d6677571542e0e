"""Where the figures of the performance page come from: machine, versions, commit, dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.output import NOTHING, Row
from quantgate import provenance

Document = Mapping[str, Any]

_DIRTY: Final = "-dirty"
_COMMIT_DIGITS: Final = 12
_DATE: Final = len("2026-07-11")


def newest(documents: Sequence[Document]) -> Document:
    """The step that was measured last."""
    return max(documents, key=lambda document: str(document["machine"]["time_utc"]))


def summary(document: Document) -> str:
    """The machine in a line, with commit and day."""
    facts = document["machine"]
    return (
        f"{_processor(facts)}, {_memory(facts)} of memory; commit {_commit(facts)}, {_day(facts)}."
    )


def fact_rows(documents: Sequence[Document]) -> list[Row]:
    """Everything known about the machine and the versions of the newest step, as a table."""
    latest = newest(documents)
    facts, step = latest["machine"], latest["step"]
    days = sorted({_day(document["machine"]) for document in documents})
    told = {
        "processor": _processor(facts),
        "instructions": ", ".join((facts.get("cpu") or {}).get("flags") or ()),
        "memory": _memory(facts),
        "system": f"{facts.get('os') or NOTHING}, {facts.get('machine') or NOTHING}",
        "quantgate": f"{facts.get('quantgate') or NOTHING}, commit {_commit(facts)}",
        "Python": facts.get("python"),
        "packages": _versions(facts.get("packages")),
        "packages of the peers": _versions(step.get("peers")),
        "measured": days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
    }
    return [{"fact": name, "value": value or None} for name, value in told.items()]


def unlike(document: Document, latest: Document) -> str:
    """What a reader must know of a step that wasn't measured as the newest was, or ""."""
    told = []
    if document["step"]["code"] != latest["step"]["code"]:
        told.append(f"other code, commit {_commit(document['machine'])}")
    if document["step"]["peers"] != latest["step"]["peers"]:
        told.append(f"peers {_versions(document['step']['peers'])}")
    told += provenance.drift(latest["machine"], document["machine"])
    return f"Unlike the newest step: {'; '.join(told)}." if told else ""


def _processor(facts: Mapping[str, Any]) -> str:
    cpu = facts.get("cpu") or {}
    cores = cpu.get("cores")
    counted = f", {cores} {'core' if cores == 1 else 'cores'}" if cores else ""
    return f"{cpu.get('model') or 'a processor without a name'}{counted}"


def _memory(facts: Mapping[str, Any]) -> str:
    memory = facts.get("memory_mib")
    return f"{memory / 1024:.0f} GiB" if memory else "an unknown amount"


def _commit(facts: Mapping[str, Any]) -> str:
    commit = str(facts.get("git_commit") or "unknown")
    told = commit.removesuffix(_DIRTY)[:_COMMIT_DIGITS]
    return f"{told} with changes that are in no commit" if commit.endswith(_DIRTY) else told


def _day(facts: Mapping[str, Any]) -> str:
    return str(facts["time_utc"])[:_DATE]


def _versions(found: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name} {version}" for name, version in (found or {}).items())
