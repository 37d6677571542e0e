"""Baselines of a case, read strictly from the working tree or a commit, and what nobody claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from quantgate.baselines import items as baseline_items
from quantgate.baselines import schema as baseline_schema
from quantgate.baselines.files import Source, WorkingTree
from quantgate.baselines.schema import CaseBaseline, TaskBaseline
from quantgate.cases import Case
from quantgate.errors import UsageFault
from quantgate.items import ItemResults


def items_path(case: Case) -> PurePosixPath:
    """Return the side file of `case`, relative to the folder of baselines."""
    return case.baseline_path.with_suffix(baseline_items.SUFFIX)


def read_case(source: Source, case: Case) -> CaseBaseline | None:
    """Return what is stored for `case`; None where nothing is.

    Raises:
        UsageFault: the file can't be read, is damaged, of another version or of another case.
    """
    origin = source.origin(case.baseline_path)
    data = source.show(case.baseline_path, baseline_schema.LARGEST_BYTES)
    if data is None:
        return None
    stored = baseline_schema.parse(data, origin)
    if stored.case != case.id:
        raise UsageFault(
            "baseline-case",
            need=f"the baseline of {case.id} in {origin}",
            found=f"one of {stored.case}",
            fix="restore the file with git; a copied file is no measurement",
        )
    return stored


def read_items(
    source: Source, case: Case, tasks: Mapping[str, TaskBaseline]
) -> dict[str, ItemResults]:
    """Return the items that the entries `tasks` of `case` name, without those that are missing.

    Raises:
        UsageFault: `baseline-items`: the side file is damaged, or of other entries.
    """
    wanted = {task: entry.items for task, entry in tasks.items() if entry.items is not None}
    path = items_path(case)
    data = source.show(path, baseline_items.LARGEST_BYTES) if wanted else None
    if data is None:
        return {}
    origin = source.origin(path)
    found = baseline_items.unpack(data, origin)
    there = {task: found[task] for task in wanted if task in found}
    for task, items in there.items():
        baseline_items.require_same(items, wanted[task], task, origin)
    return there


def unused(root: Path, cases: Iterable[Case], tasks: Iterable[str]) -> list[str]:
    """Name the files under `root` and the entries that no case or task claims.

    Raises:
        UsageFault: a claimed file is damaged.
    """
    claimed = {case.baseline_path: case for case in cases}
    known = frozenset(tasks)
    lines = []
    for path in _names(root, ".json"):
        if path not in claimed:
            lines.append(f"{path}: no case of the manifest has this baseline")
        elif (stored := read_case(WorkingTree(root), claimed[path])) is not None:
            extra = sorted(stored.tasks.keys() - known)
            lines += [f"{path}: no suite measures its entry {task!r}" for task in extra]
    for path in _names(root, baseline_items.SUFFIX):
        owner = path.with_name(path.name.removesuffix(baseline_items.SUFFIX) + ".json")
        if owner not in claimed:
            lines.append(f"{path}: no case of the manifest has these items")
        elif not (root / owner).exists():
            lines.append(f"{path}: the baseline that it belongs to, {owner.name}, is missing")
    return lines


def _names(root: Path, suffix: str) -> Iterator[PurePosixPath]:
    """Yield the files that end so, without what a killed run left half-written."""
    for path in sorted(root.rglob(f"*{suffix}")):
        if not path.name.startswith("."):
            yield PurePosixPath(path.relative_to(root).as_posix())
