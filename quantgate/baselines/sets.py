"""All baselines of a folder, as they are or as they were at any commit.

The gate reads single files at a merge base (`baseline_git`); whoever compares, or draws a history,
reads them all, at whatever commit is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NoReturn

from quantgate.baselines.items import LARGEST_BYTES, SUFFIX, require_same, unpack
from quantgate.baselines.schema import CaseBaseline, parse
from quantgate.errors import UsageFault
from quantgate.git import run_git
from quantgate.items import ItemResults

MOST_FILES = 10_000
_SHORT = 12
_SYMLINK = "120000"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that changed the baselines: its digest, and the committer's time in UTC."""

    digest: str
    time: datetime


@dataclass(frozen=True, slots=True)
class BaselineSet:
    """Baseline files and their side files, as bytes.

    Attributes:
        label: where they come from, in words.
        contents: by path relative to the folder.
    """

    label: str
    contents: Mapping[PurePosixPath, bytes]

    def cases(self) -> list[CaseBaseline]:
        """Each case's baseline, in the order of the paths.

        Raises:
            UsageFault: a file is damaged (codes of `baseline_schema.parse`), or two hold the same
                case (`baseline-case`).
        """
        return [baseline for _, baseline in self._cases()]

    def cases_with_items(self) -> list[tuple[CaseBaseline, dict[str, ItemResults]]]:
        """The same with the items that are kept, by task.

        Raises:
            UsageFault: besides, a side file is damaged or another's (`baseline-items`).
        """
        return [(baseline, self._items(path, baseline)) for path, baseline in self._cases()]

    def _cases(self) -> list[tuple[PurePosixPath, CaseBaseline]]:
        paths = sorted(path for path in self.contents if path.suffix == ".json")
        found = [(path, parse(self.contents[path], f"{path} of {self.label}")) for path in paths]
        names = [baseline.case for _, baseline in found]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageFault(
                "baseline-case",
                need=f"one file with the baseline of {twice} among the {self.label}",
                found=", ".join(str(path) for path, baseline in found if baseline.case == twice),
                fix="name one file, or remove the one that is a copy",
            )
        return found

    def _items(self, path: PurePosixPath, baseline: CaseBaseline) -> dict[str, ItemResults]:
        side = path.with_name(f"{path.stem}{SUFFIX}")
        told = {name: task.items for name, task in baseline.tasks.items() if task.items}
        if side not in self.contents or not told:
            return {}
        origin = f"{side} of {self.label}"
        kept = unpack(self.contents[side], origin)
        found = {task: kept[task] for task in told if task in kept}
        for task, items in found.items():
            require_same(items, told[task], task, origin)
        return found


def baselines_in(root: Path) -> BaselineSet:
    """The files of the working tree under `root`; OSError where one can't be read."""
    paths = [path for path in sorted(root.rglob("*")) if _is_baseline(path.name)]
    contents = {
        PurePosixPath(path.relative_to(root).as_posix()): _read(path)
        for path in paths[:MOST_FILES]
        if path.is_file()
    }
    return BaselineSet(f"baselines in {root}", contents)


def baseline_alone(path: Path) -> BaselineSet:
    """One baseline file, and its side file where there is one; OSError as `baselines_in`."""
    paths = [path, path.with_name(f"{path.stem}{SUFFIX}")]
    contents = {PurePosixPath(each.name): _read(each) for each in paths if each.is_file()}
    return BaselineSet(f"baseline {path}", contents)


def baselines_at(root: Path, revision: str) -> BaselineSet:
    """The files under `root` at a git revision.

    Raises:
        UsageFault: `revision-unknown` or `revision-unreadable`.
    """
    commit = resolve(root, revision)
    if commit is None:
        _refuse("revision-unknown", f"the git revision {revision!r}", f"no such commit at {root}")
    top, prefix = _place(root)
    listed = _ask(top, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *_within(prefix))
    if listed is None:
        _refuse("revision-unreadable", f"the files of {root} at {commit}", "git can't list them")
    contents = {}
    for line in listed.split(b"\0")[:MOST_FILES]:
        facts, _, name = line.partition(b"\t")
        path = PurePosixPath(name.decode("utf-8", "surrogateescape"))
        if not _is_baseline(path.name):
            continue
        mode, kind, digest = facts.decode("ascii").split()
        data = _ask(top, "cat-file", "blob", digest) if kind == "blob" else None
        if data is None or mode == _SYMLINK:
            _refuse("revision-unreadable", f"the file {path} at {commit}", "git can't show it")
        contents[path.relative_to(prefix)] = data[: LARGEST_BYTES + 1]
    return BaselineSet(f"baselines at {revision} ({commit[:_SHORT]})", contents)


def resolve(root: Path, revision: str) -> str | None:
    """The commit that a revision names in the repository around `root`, or None."""
    # As a whole commit and behind the end of options, for the word is a user's.
    wanted = ("--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    done = run_git(_standing(root), "rev-parse", *wanted)
    return done.stdout.decode("ascii").strip() if done.returncode == 0 else None


def commits_of(root: Path, limit: int) -> list[Commit]:
    """The last `limit` commits of HEAD that changed files under `root`, the oldest first.

    Raises:
        UsageFault: `revision-unreadable`: no git, no repository, or no commit.
    """
    top, prefix = _place(root)
    count = f"--max-count={limit}"
    listed = _ask(top, "log", count, "--format=%H %ct", "HEAD", "--", *_within(prefix))
    if listed is None:
        _refuse("revision-unreadable", f"the history of {root}", "git can't show it")
    pairs = [line.split() for line in listed.decode("ascii").splitlines()]
    return [Commit(each, datetime.fromtimestamp(int(t), UTC)) for each, t in reversed(pairs)]


def _is_baseline(name: str) -> bool:
    # A leading dot marks what a killed run left half-written.
    return name.endswith((".json", SUFFIX)) and not name.startswith(".")


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(LARGEST_BYTES + 1)


def _place(root: Path) -> tuple[Path, PurePosixPath]:
    """The repository's top folder, and `root` relative to it."""
    done = run_git(_standing(root), "rev-parse", "--show-toplevel")
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip() or "git failed"
        _refuse("revision-unreadable", f"a git repository around {root}", reason)
    top = Path(done.stdout.decode("utf-8", "surrogateescape").rstrip("\r\n")).resolve()
    return top, PurePosixPath(root.resolve().relative_to(top).as_posix())


def _within(prefix: PurePosixPath) -> tuple[str, ...]:
    """The path to name to git; none for the repository's top folder."""
    return (str(prefix),) if prefix.parts else ()


def _standing(root: Path) -> Path:
    """The innermost folder on the way to `root` that is there."""
    place = root.resolve()
    while not place.is_dir():
        place = place.parent
    return place


def _ask(top: Path, *arguments: str) -> bytes | None:
    # Literal pathspecs: a folder named `*` or `:(top)` is only a folder.
    done = run_git(top, "--literal-pathspecs", *arguments)
    return done.stdout if done.returncode == 0 else None


def _refuse(code: str, need: str, found: str) -> NoReturn:
    raise UsageFault(
        code,
        need=need,
        found=found,
        fix="name a commit of this repository, and fetch it if need be",
    )
