"""Which of a manifest's variants a change can touch.

A variant is left out only where git proves that nothing it rests on differs from the merge base:
its package (or the folder it is built from), its reference's, its baselines. The manifest, the
data, the workflows and whatever else is watched touch every variant. Where git can't tell, a
variant is measured; where the manifest names none, the run says whether it evaluated anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.corpus.hub import PREFIX as HUB
from quantgate.git import run_git
from quantgate.manifest.tables import EMBEDDED

if TYPE_CHECKING:
    from quantgate.cases import Case, Package
    from quantgate.manifest.manifest import Manifest

WORKFLOWS = ".github"
SUBMODULES = ".gitmodules"
BASELINES = "baselines"
OUTSIDE = "lies outside the repository: git can't tell"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a job measures.

    Attributes:
        groups: `<model>-<variant>` of each variant to measure.
        everything: nothing is left out, so nothing needs to be selected. A run must then follow
            even without groups: the models may come from its arguments, or be missing.
        reasons: one line for each variant or for the whole, in words.
    """

    groups: tuple[str, ...]
    everything: bool
    reasons: tuple[str, ...]

    @property
    def expression(self) -> str:
        """The `-k` expression that selects the groups' tests; empty where nothing is left out.

        A test's id begins with `[` and its group, so that no name can stand for another.
        """
        if self.everything:
            return ""
        return " or ".join(f"[{group}-" for group in self.groups)


def select(
    manifest: Manifest, base: str | None, watched: Iterable[Path] = (), unknown: str = ""
) -> Selection:
    """Select what the change since the merge base with `base` touches.

    Args:
        manifest: the manifest in force.
        base: a git ref; None where there is none, and then everything is selected.
        watched: further files and folders that touch every variant.
        unknown: why git can't tell what is touched, in words; then everything is selected.

    Raises:
        UsageFault: `baseline-git`, where the merge base can't be had.
    """
    from quantgate.baselines.merge_base import GitBase

    cases = manifest.cases()
    groups = tuple(dict.fromkeys(case.group for case in cases))
    if base is None or unknown:
        why = "no base to compare with" if base is None else unknown
        return Selection(groups, True, (f"all: {why}",))
    top = _top(manifest.base)
    manifest = replace(manifest, file=_placed(manifest.file))
    changed = [top / name for name in GitBase(top, base).changed()]
    if why := _why_all(manifest, [_placed(path) for path in watched], top, changed):
        return Selection(groups, True, (f"all: {why}",))
    reasons: dict[str, str] = {}
    for case in cases:
        if why := _why(case, manifest, top, changed):
            reasons.setdefault(case.group, f"{case.group}: {why}")
    return Selection(tuple(reasons), len(reasons) == len(groups), tuple(reasons.values()))


def _why_all(
    manifest: Manifest, watched: Sequence[Path], top: Path, changed: Sequence[Path]
) -> str:
    """Why nothing may be left out, in words; empty where each variant is looked at by itself."""
    cases = manifest.cases()
    shared = (manifest.file, top / WORKFLOWS, top / SUBMODULES, *_data(manifest), *watched)
    differing = [path for path in shared if _touched(path, changed)]
    if stray := _stray_baselines(manifest.base / BASELINES, cases, changed):
        differing.append(stray)
    if differing:
        return f"{_name(differing[0], top)} differs from the base"
    outside = [path for path in watched if _outside(path, top)]
    if outside:
        return f"{outside[0]} {OUTSIDE}"
    return "" if cases else f"{manifest.file.name} names no models"


def is_path(location: str) -> bool:
    """Whether a location of data is a path: neither carried by quantgate nor on the hub."""
    return location != EMBEDDED and not location.startswith(HUB)


def _why(case: Case, manifest: Manifest, top: Path, changed: Sequence[Path]) -> str:
    """Why a case is measured, in words; empty where nothing it rests on differs."""
    own = _baseline_files(manifest.base / BASELINES, case, changed)
    if own:
        return f"{_name(own[0], top)} differs"
    for each, what in ((case, "its package"), (case.reference, "its reference")):
        folder = None if each is None else _folder(each.package)
        if folder is None:
            continue
        if _outside(folder, top):
            return f"{what} {folder} {OUTSIDE}"
        if _touched(folder, changed):
            return f"{what} {_name(folder, top)} differs"
    return ""


def _folder(package: Package) -> Path | None:
    """The folder that a package comes from; None where a commit or this program pins it."""
    if package.recipe is not None:
        return package.recipe.source
    return package.path


def _data(manifest: Manifest) -> list[Path]:
    locations = (manifest.data.mmlu, manifest.data.text)
    return [manifest.base / place for place in locations if is_path(place)]


def _touched(path: Path, changed: Sequence[Path]) -> bool:
    """Whether a changed file is `path`, lies in it, or holds it.

    What holds it is the entry of a submodule, or a link. A link within the repository also counts
    for what it leads to.
    """
    places = {Path(os.path.normpath(path)), path.resolve()}
    return any(
        file == place or place in file.parents or file in place.parents
        for place in places
        for file in changed
    )


def _outside(path: Path, top: Path) -> bool:
    place = path.resolve()
    return top not in (place, *place.parents)


def _baseline_files(root: Path, case: Case, changed: Sequence[Path]) -> list[Path]:
    """Changed files that hold the case's baseline: `<variant>-<backend>-<provider>.*`."""
    file = root / case.baseline_path
    own = f"{file.stem}."
    return [path for path in changed if path.parent == file.parent and path.name.startswith(own)]


def _stray_baselines(root: Path, cases: Sequence[Case], changed: Sequence[Path]) -> Path | None:
    """A changed file under the baselines that belongs to no case of the manifest."""
    claimed = {path for case in cases for path in _baseline_files(root, case, changed)}
    inside = (path for path in changed if root in path.parents)
    return next((path for path in inside if path not in claimed), None)


def _top(folder: Path) -> Path:
    """The repository's root; outside one the folder, and `GitBase` says what is wrong."""
    done = run_git(folder, "rev-parse", "--show-toplevel")
    if done.returncode != 0:
        return folder.resolve()
    return Path(done.stdout.decode("utf-8", "surrogateescape").rstrip("\r\n")).resolve()


def _placed(path: Path) -> Path:
    """A path whose folder's links are followed: it can be held against the repository's root."""
    return path.parent.resolve() / path.name


def _name(path: Path, top: Path) -> str:
    place = Path(os.path.normpath(path))
    return place.relative_to(top).as_posix() if top in place.parents else str(place)
