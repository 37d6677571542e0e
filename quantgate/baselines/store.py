"""Stored expectations: one JSON file a case, read strictly and written only when told to.

Beside it lies the side file with the items that later runs are paired with (`baseline_items`).

A gate on a pull request reads the files from the merge base with the target branch (`git_ref`), so
that the request can't loosen its own gate; what it changed is told by `changed_since_ref`.
Writing merges the given tasks into the files of the working tree and leaves every other task's
bytes of meaning alone; one process writes, because two updates of one file would race for the last
word (never for a broken file).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from quantgate.baselines.anchors import compare_anchors
from quantgate.baselines.change import Change, changes
from quantgate.baselines.entry import LimitsOf, make_entry, serialize
from quantgate.baselines.files import Source, WorkingTree
from quantgate.baselines.items import describe, items_to_store, pack
from quantgate.baselines.merge_base import GitBase
from quantgate.baselines.reading import items_path, read_case, read_items, unused
from quantgate.baselines.schema import CaseBaseline, TaskBaseline
from quantgate.cases import Case
from quantgate.errors import UsageFault
from quantgate.items import ItemResults
from quantgate.provenance import in_ci
from quantgate.results import Comparability, Measurement

_SHORT = 12


class BaselineStore:
    """The baseline files under `root`, of the working tree or of the merge base with `git_ref`."""

    def __init__(self, root: Path, *, git_ref: str | None = None) -> None:
        self.root = root
        self.git_ref = git_ref
        self._tree = WorkingTree(root)
        self._base = None if git_ref is None else GitBase(root, git_ref)
        self._source: Source = self._base or self._tree

    def path(self, case: Case) -> Path:
        """Return the file of `case` in the working tree."""
        return self.root / case.baseline_path

    def items_path(self, case: Case) -> Path:
        """Return the side file of `case` in the working tree."""
        return self.root / items_path(case)

    def read(self, case: Case) -> CaseBaseline | None:
        """Return what is stored for `case`; None where nothing is.

        Raises:
            UsageFault: the file is damaged, of another version or of another case, or git can't
                give the merge base.
        """
        return read_case(self._source, case)

    def items(self, case: Case, task: str) -> ItemResults | None:
        """Return the items stored for a task; None where none were, or where they are missing.

        Raises:
            UsageFault: as `read`, or `baseline-items`: they are not the ones the baseline names.
        """
        stored = self.read(case)
        entry = None if stored is None else stored.tasks.get(task)
        if entry is None or entry.items is None:
            return None
        return read_items(self._source, case, {task: entry}).get(task)

    def check(self, case: Case) -> list[str]:
        """Read all that is stored for `case`; return the tasks whose items are missing.

        Raises:
            UsageFault: as `items`.
        """
        stored = self.read(case)
        tasks = {} if stored is None else stored.tasks
        found = read_items(self._source, case, tasks)
        return sorted(t for t, entry in tasks.items() if entry.items and t not in found)

    def changed_since_ref(self) -> list[str]:
        """Name the baseline files, relative to the root, that differ from the merge base."""
        return [] if self._base is None else self._base.changed()

    def update(
        self,
        case: Case,
        measurements: Iterable[Measurement],
        limits: LimitsOf,
        *,
        reason: str,
        provenance: Mapping[str, Any],
        new_only: bool = False,
    ) -> list[Change]:
        """Store complete, valid measurements of `case` and their items; return what changed.

        Of each task, the metrics whose limits hold a baseline tolerance are stored with it. The
        other tasks of the files stay as they are, and so do the files where nothing was given.
        With `new_only`, a task that has an entry is left alone.

        Raises:
            UsageFault: in CI (`baseline-update-in-ci`), without a reason (`baseline-reason`), or
                when the present files are damaged.
            InvalidMeasurement: a figure is not finite (`baseline-not-finite`), the items are
                incomplete (`baseline-items`), or the disk refuses.
        """
        _require_update_allowed(reason)
        stored = read_case(self._tree, case)
        tasks = {} if stored is None else dict(stored.tasks)
        fresh: dict[str, ItemResults] = {}
        changed: list[Change] = []
        for measurement in measurements:
            task = measurement.task
            if measurement.case_id != case.id:
                raise ValueError(f"a measurement of {measurement.case_id} is none of {case.id}")
            if new_only and task in tasks:
                continue
            items = items_to_store(measurement)
            told = None if items is None else describe(items)
            old = tasks.pop(task, None)
            new = make_entry(
                measurement,
                limits,
                told,
                reason=reason,
                provenance=provenance,
                is_reference=case.is_reference,
            )
            unlike = [] if old is None else _unlike(old, measurement)
            changed += changes(measurement, old, new, unlike)
            if new is not None:
                tasks[task] = new
                fresh |= {} if items is None else {task: items}
        if changed:
            kept = {task: entry for task, entry in tasks.items() if task not in fresh}
            self._write(case, tasks, read_items(self._tree, case, kept) | fresh)
        return changed

    def unused(self, cases: Iterable[Case], tasks: Iterable[str]) -> list[str]:
        """Name the files and task entries that no case or task of the manifest claims.

        Both lists must be the manifest's, not the selection of one run: what was deselected is not
        unused.
        """
        return unused(self.root, cases, tasks)

    def _write(
        self, case: Case, tasks: dict[str, TaskBaseline], items: Mapping[str, ItemResults]
    ) -> None:
        side = items_path(case)
        files = {side: pack(items)} if items else {}
        files[case.baseline_path] = serialize(CaseBaseline(case=case.id, tasks=tasks))
        self._tree.write(files)
        if not items:
            (self.root / side).unlink(missing_ok=True)


def compare_comparability(
    baseline: Comparability, now: Comparability, *, against: str = "baseline"
) -> list[str]:
    """Return one line for each field that differs, in words; empty where the two are comparable."""
    lines = []
    for field in fields(Comparability):
        was, is_now = getattr(baseline, field.name), getattr(now, field.name)
        if was != is_now:
            short = str(was)[:_SHORT] != str(is_now)[:_SHORT] and field.name != "protocol"
            told = [str(v)[:_SHORT] if short else str(v) for v in (was, is_now)]
            lines.append(f"{field.name.replace('_', ' ')}: {against} {told[0]}, now {told[1]}")
    return lines


def _unlike(old: TaskBaseline, measurement: Measurement) -> list[str]:
    lines = compare_comparability(old.comparability.comparability(), measurement.comparability)
    return lines + compare_anchors(old, measurement)


def _require_update_allowed(reason: str) -> None:
    if in_ci():
        raise UsageFault(
            "baseline-update-in-ci",
            need="a person who looks at the new figures",
            found="a continuous integration job (CI is set)",
            fix="update on a workstation and commit the file; unset CI if this is none",
        )
    if not reason.strip():
        raise UsageFault(
            "baseline-reason",
            need="a reason for the new baseline",
            found="none",
            fix='add --gate-reason "..."',
        )
