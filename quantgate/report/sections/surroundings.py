"""Where the figures come from: the environment and its drift, what it cost, and the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quantgate.report.digest import drifts, notes
from quantgate.report.sections.parts import MISSING, Table, table
from quantgate.report.sections.sides import Sides, mapping
from quantgate.report.stored import package_is_same, stored
from quantgate.results import Measurement
from quantgate.run_file import RunFile

_COSTS: Final = (
    ("tokens_requested", "tokens requested"),
    ("tokens_computed", "tokens computed"),
    ("rows", "rows"),
    ("seconds", "seconds"),
)
_DEEPEST: Final = 8
_PACKAGES: Final = {True: "this run's", False: "another", None: MISSING}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything about a run but its figures.

    Attributes:
        drift: what differs from the environment of the baselines, with how many figures say so.
        drift_known: whether anything was held against a stored baseline.
        notes: what else was found, with how often.
        baselines: when and why each was stored, and whether its package is this run's.
    """

    drift: Table | None
    drift_known: bool
    notes: Table | None
    baselines: Table | None
    provenance: Table
    identities: Table | None
    cost: Table | None
    early: Table | None
    options: Table | None
    configuration: Table


def surroundings(run: RunFile, sides: Sides) -> Surroundings:
    """Return the section."""
    measured = sorted(run.measurements, key=lambda m: sides.cases.index(m.case_id))
    found = [(line, f"{count:,}") for line, count in drifts(run)]
    told = [(note, f"{count:,}") for note, count in notes(run)]
    configuration = {
        name: value
        for name, value in mapping(run.facts.get("configuration")).items()
        if name != "cases"  # the matrix names them, and their packages stand with the identities
    }
    options = list(leaves(mapping(run.facts.get("options"))))
    return Surroundings(
        drift=table("Differs from the baseline", ("what", "figures"), found) if found else None,
        drift_known=any(decision.against == "baseline" for decision in run.decisions),
        notes=table("Notes", ("note", "times"), told) if told else None,
        baselines=_baselines(run, measured),
        provenance=_facts("Provenance", _provenance(run)),
        identities=_identities(measured),
        cost=_cost(measured),
        early=_early(measured),
        options=_facts("Options given", options) if options else None,
        configuration=_facts("Configuration in force", leaves(configuration)),
    )


def leaves(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield every single fact of nested ones, named by its path: `tasks.mmlu.shots`, `5`."""
    if isinstance(value, Mapping) and value and depth < _DEEPEST:
        for key, inner in sorted(value.items(), key=lambda item: str(item[0])):
            yield from leaves(inner, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value)) or MISSING
    else:
        yield name, MISSING if value is None or value == {} else str(value)


def _provenance(run: RunFile) -> Iterator[tuple[str, str]]:
    for name in ("started", "ended"):
        yield from leaves(run.facts.get(name), name)
    yield from leaves(mapping(run.facts.get("provenance")))


def _baselines(run: RunFile, measured: Sequence[Measurement]) -> Table | None:
    rows = []
    for each in measured:
        if entry := stored(run, each):
            commit = mapping(entry.get("provenance")).get("git_commit")
            told = (str(fact or MISSING) for fact in (entry.get("updated"), commit))
            package = _PACKAGES[package_is_same(run, each)]
            rows.append((each.case_id, each.task, *told, package, str(entry.get("reason"))))
    if not rows:
        return None
    headings = ("case", "task", "stored", "at commit", "package", "reason")
    return table("Baselines held against", headings, rows, words=range(len(headings)))


def _facts(caption: str, facts: Any) -> Table:
    return table(caption, ("what", "is"), facts, words=(0, 1))


def _identities(measured: Sequence[Measurement]) -> Table | None:
    """What computed each case's figures, once where it is the same for all of its tasks."""
    rows: dict[tuple[str, str, str], None] = {}
    for each in measured:
        rows |= {(each.case_id, name, value): None for name, value in leaves(each.identity)}
    if not rows:
        return None
    return table("What computed the figures", ("case", "what", "is"), rows, words=(0, 1, 2))


def _cost(measured: Sequence[Measurement]) -> Table | None:
    """Tokens and time by case and task; last their sums."""
    if not any(each.cost for each in measured):
        return None
    rows = [
        (each.case_id, each.task, *(_amount(each.cost.get(name), name) for name, _ in _COSTS))
        for each in measured
    ]
    sums = [sum(each.cost.get(name, 0) for each in measured) for name, _ in _COSTS]
    whole = ("all", "", *(_amount(s, name) for s, (name, _) in zip(sums, _COSTS, strict=True)))
    headings = ("case", "task", *(name for _, name in _COSTS))
    return table("Cost", headings, [whole, *rows], words=(0, 1))


def _amount(value: float | None, name: str) -> str:
    if value is None:
        return MISSING
    return f"{value:,.1f}" if name == "seconds" else f"{value:,.0f}"


def _early(measured: Sequence[Measurement]) -> Table | None:
    """What a sequential run asked before its verdict could no longer change."""
    rows = []
    for each in measured:
        told = mapping(each.detail.get("sequential"))
        taken, whole = told.get("taken"), told.get("of")
        if isinstance(taken, int) and isinstance(whole, int):
            rows.append((each.case_id, each.task, f"{taken:,}", f"{whole:,}"))
    if not rows:
        return None
    headings = ("case", "task", "items asked", "of")
    return table("Decided before the end", headings, rows, words=(0, 1))
