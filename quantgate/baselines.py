"""Stored expectations: one JSON file a case, read strictly and written only when told to.

A gate on a pull request reads the file from the merge base with the target branch (`git_ref`), so
that the request can't loosen its own gate; what it changed is told by `changed_since_ref`.
Writing merges the given tasks into the file of the working tree and leaves every other task's
bytes of meaning alone; one process writes, because two updates of one file would race for the last
word (never for a broken file).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from quantgate.baseline_entry import LimitsOf, changes, make_entry, serialize
from quantgate.baseline_git import GitBase
from quantgate.baseline_schema import LARGEST_BYTES, CaseBaseline, parse
from quantgate.cases import Case
from quantgate.errors import UsageFault
from quantgate.provenance import in_ci
from quantgate.results import Comparability, Measurement
from quantgate.storage import write_atomically

_SHORT = 12


class BaselineStore:
    """The baseline files under `root`, of the working tree or of the merge base with `git_ref`."""

    def __init__(self, root: Path, *, git_ref: str | None = None) -> None:
        self.root = root
        self.git_ref = git_ref
        self._base = None if git_ref is None else GitBase(root, git_ref)

    def path(self, case: Case) -> Path:
        """Return the file of `case` in the working tree."""
        return self.root / case.baseline_path

    def read(self, case: Case) -> CaseBaseline | None:
        """Return what is stored for `case`; None where nothing is.

        Raises:
            UsageFault: the file is damaged, of another version or of another case, or git can't
                give the merge base.
        """
        if self._base is None:
            return self._read_tree(case)
        data = self._base.show(case.baseline_path)
        origin = f"{self.path(case)} at {self._base.commit[:_SHORT]}"
        return None if data is None else _of_case(parse(data, origin), case, origin)

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
    ) -> list[str]:
        """Store complete, valid measurements of `case`; return lines `task metric old -> new`.

        Of each task, the metrics whose limits hold a baseline tolerance are stored with it. The
        other tasks of the file stay as they are, and so does the file where nothing was given.

        Raises:
            UsageFault: in CI (`baseline-update-in-ci`), without a reason (`baseline-reason`), or
                when the present file is damaged.
            InvalidMeasurement: a figure is not finite (`baseline-not-finite`), or the disk refuses.
        """
        _require_update_allowed(reason)
        stored = self._read_tree(case)
        tasks = {} if stored is None else dict(stored.tasks)
        lines: list[str] = []
        for measurement in measurements:
            if measurement.case_id != case.id:
                raise ValueError(f"a measurement of {measurement.case_id} is none of {case.id}")
            new = make_entry(measurement, limits, reason=reason, provenance=provenance)
            lines += changes(measurement.task, tasks.pop(measurement.task, None), new)
            if new is not None:
                tasks[measurement.task] = new
        if lines:
            file = CaseBaseline(case=case.id, tasks=tasks)
            write_atomically(self.path(case), serialize(file))
        return lines

    def unused(self, cases: Iterable[Case], tasks: Iterable[str]) -> list[str]:
        """Name the files and task entries that no case or task of the manifest claims.

        Both lists must be the manifest's, not the selection of one run: what was deselected is not
        unused.
        """
        claimed = {self.path(case): case for case in cases}
        known = frozenset(tasks)
        lines = []
        for path in sorted(self.root.rglob("*.json")):
            name = path.relative_to(self.root).as_posix()
            if path.name.startswith("."):  # what a killed run left half-written
                continue
            if path not in claimed:
                lines.append(f"{name}: no case of the manifest has this baseline")
            elif (stored := self._read_tree(claimed[path])) is not None:
                extra = sorted(stored.tasks.keys() - known)
                lines += [f"{name}: no suite measures its entry {task!r}" for task in extra]
        return lines

    def _read_tree(self, case: Case) -> CaseBaseline | None:
        path = self.path(case)
        try:
            with path.open("rb") as stream:
                data = stream.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageFault(
                "baseline-unreadable",
                need=f"to read {path}",
                found=error.strerror or str(error),
                fix="make it a readable file",
            ) from error
        return _of_case(parse(data, str(path)), case, str(path))


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


def _of_case(stored: CaseBaseline, case: Case, origin: str) -> CaseBaseline:
    if stored.case != case.id:
        raise UsageFault(
            "baseline-case",
            need=f"the baseline of {case.id} in {origin}",
            found=f"one of {stored.case}",
            fix="restore the file with git; a copied file is no measurement",
        )
    return stored


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
