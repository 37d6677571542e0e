"""What is told of the baselines that a run was held against: when, why, by what, of what."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case

_TOLD: Final = {"updated", "reason", "identity", "provenance"}


def held_against(
    store: BaselineStore, cases: Iterable[Case], measured: Collection[tuple[str, str]]
) -> dict[str, dict[str, Any]]:
    """Return the facts of every stored entry that belongs to a measurement, by case and task.

    Args:
        store: where the baselines are read from.
        cases: the manifest's.
        measured: cases' ids with tasks.

    Raises:
        UsageFault: a file is damaged, or git can't give the merge base.
    """
    found: dict[str, dict[str, Any]] = {}
    for case in cases:
        tasks = {task for case_id, task in measured if case_id == case.id}
        stored = store.read(case) if tasks else None
        entries = {} if stored is None else stored.tasks
        told = {
            task: entries[task].model_dump(include=_TOLD) for task in sorted(tasks & entries.keys())
        }
        if told:
            found[case.id] = told
    return found
