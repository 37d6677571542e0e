"""Where a run's figures come from, beside where its baselines' do, in GitHub's Markdown.

All is read from loosely formed parts of a results file, which may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from quantgate.report.escape import markdown_cell
from quantgate.report.fitting import Section
from quantgate.report.markdown_tables import folded
from quantgate.report.sections.sides import Sides, mapping
from quantgate.report.stored import short, stored
from quantgate.run_file import RunFile

_FIRST: Final = ("started", "ended", "stored", "reason")
_FACTS: Final = ("quantgate", "python", "os", "machine", "git_commit")
_IDENTITY: Final = ("package", "provider", "threads")
_TOLD: Final = 3  # different values that one cell lists
_Fact = tuple[str, object]


def origin(run: RunFile) -> list[Section]:
    """When, where and with what the run was made, and the same of its baselines where known."""
    now, was = _gathered(_of_run(run)), _gathered(_of_baselines(run))
    if not was:
        lines = [f"|{markdown_cell(name)}|{markdown_cell(told)}|" for name, told in now.items()]
        return [folded("Where these figures come from", "|what|is|\n|---|---|\n", lines)]
    both = {**now, **was}
    names = dict.fromkeys([*(name for name in _FIRST if name in both), *both])
    rows = [(name, now.get(name, ""), was.get(name, "")) for name in names]
    columns = "|what|this run|the baselines|\n|---|---|---|\n"
    lines = [f"|{'|'.join(map(markdown_cell, row))}|" for row in rows]
    return [folded("Where these figures and their baselines come from", columns, lines)]


def _of_run(run: RunFile) -> Iterator[_Fact]:
    yield "started", run.facts.get("started")
    yield "ended", run.facts.get("ended")
    yield from _provenance(run.facts.get("provenance"))
    held = [each for each in run.measurements if stored(run, each)]
    for measurement in held or run.measurements:  # those that have the like on the other side
        yield from _identity(measurement.identity)
    data = mapping(mapping(run.facts.get("configuration")).get("data"))
    yield "questions", data.get("mmlu")
    yield "text", data.get("text")
    for measurement in run.measurements:
        yield f"protocol of {measurement.task}", measurement.comparability.protocol
    sides = Sides(run)
    for case_id in sides.cases:
        yield "reference", sides.reference_of(case_id)
    yield from ((str(name), str(told)) for name, told in mapping(run.facts.get("options")).items())


def _of_baselines(run: RunFile) -> Iterator[_Fact]:
    for measurement in run.measurements:
        if entry := stored(run, measurement):
            yield "stored", entry.get("updated")
            yield "reason", entry.get("reason")
            yield from _provenance(entry.get("provenance"))
            yield from _identity(mapping(entry.get("identity")))


def _provenance(facts: object) -> Iterator[_Fact]:
    known = mapping(facts)
    yield from ((name, known.get(name)) for name in _FACTS)
    if cpu := mapping(known.get("cpu")):
        yield "processor", f"{cpu.get('model')}, {cpu.get('cores')} cores"
    yield from ((str(name), told) for name, told in mapping(known.get("packages")).items())


def _identity(facts: Mapping[str, Any]) -> Iterator[_Fact]:
    for name in _IDENTITY:
        told = facts.get(name)
        yield name, short(told) if isinstance(told, str) else told


def _gathered(facts: Iterable[_Fact]) -> dict[str, str]:
    """Facts by name: the different values in one text, or how many they are."""
    found: dict[str, dict[str, None]] = {}
    for name, value in facts:
        if value is not None and str(value):
            found.setdefault(name, {})[str(value)] = None
    return {
        name: "; ".join(told) if len(told) <= _TOLD else f"{len(told):,} different"
        for name, told in found.items()
    }
