"""Baselines as of the merge base of HEAD and a ref: what the target branch agreed to."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NoReturn

from quantgate.errors import UsageFault
from quantgate.git import run_git

_SHORT = 12


class GitBase:
    """The files under `root` at the merge base of HEAD and `ref`.

    Attributes:
        commit: the merge base, 40 or 64 hexadecimal digits.

    Raises:
        UsageFault: `baseline-git`: no git, no repository around `root`, no such ref, or no common
            history (a shallow clone).
    """

    def __init__(self, root: Path, ref: str) -> None:
        self._root = root
        self._top = _repository(root)
        self._prefix = PurePosixPath(root.resolve().relative_to(self._top).as_posix())
        # Resolve first: the ref may come from a pull request, and must never read as an option.
        wanted = f"{ref}^{{commit}}"
        tip = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
        if tip is None:
            _refuse(f"the git ref {ref!r}", "no such commit here", self._fetch(ref))
        base = self._ask("merge-base", "HEAD", tip.decode("ascii").strip())
        if base is None:
            _refuse(
                f"a merge base of HEAD and {ref!r}",
                "no common history (a shallow clone has none)",
                self._fetch(ref),
            )
        self.commit = base.decode("ascii").strip()
        self._shown: dict[PurePosixPath, bytes | None] = {}

    def origin(self, relative: PurePosixPath) -> str:
        """Name a file and the commit, for messages."""
        return f"{self._root / relative} at {self.commit[:_SHORT]}"

    def show(self, relative: PurePosixPath, largest_bytes: int) -> bytes | None:
        """Return a file's bytes at the merge base; None where it was not there.

        A file over the size limit comes back cut one byte past it, for the parser to refuse.
        """
        if relative not in self._shown:  # a commit doesn't change
            self._shown[relative] = self._show(relative, largest_bytes)
        return self._shown[relative]

    def _show(self, relative: PurePosixPath, largest_bytes: int) -> bytes | None:
        path = str(self._prefix / relative)
        listed = self._ask("ls-tree", "-z", "--full-tree", self.commit, "--", path)
        if listed is None:
            _refuse(f"to list {path} at {self.commit}", "git failed", "check the repository")
        if not listed:
            return None
        kind, digest = listed.split(b"\t", 1)[0].split()[1:3]
        data = self._ask("cat-file", "blob", digest.decode("ascii")) if kind == b"blob" else None
        if data is None:
            found = f"a {kind.decode('ascii', 'replace')} that git can't show"
            _refuse(f"the file {path} at {self.commit}", found, "fetch the commit's objects")
        return data[: largest_bytes + 1]

    def changed(self) -> list[str]:
        """Name the files under the root, relative to it, that differ from the merge base.

        Committed, staged, unstaged and untracked changes all count; deleted files too.
        """
        where = ("--", str(self._prefix))
        # .gitmodules comes with the branch: its `ignore = all` must hide no submodule.
        options = ("--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "-z")
        tracked = self._ask("diff", *options, self.commit, *where)
        untracked = self._ask("ls-files", "--others", "-z", *where)
        if tracked is None or untracked is None:
            _refuse("to compare the baselines with git", "git failed", "check the repository")
        names = {name.decode("utf-8", "surrogateescape") for name in tracked.split(b"\0")}
        names |= {name.decode("utf-8", "surrogateescape") for name in untracked.split(b"\0")}
        return sorted(str(PurePosixPath(n).relative_to(self._prefix)) for n in names if n)

    def _fetch(self, ref: str) -> str:
        """Word the command that brings the ref and the history it shares with HEAD here."""
        shallow = self._ask("rev-parse", "--is-shallow-repository") == b"true\n"
        remote, slash, branch = ref.partition("/")
        if not slash:
            remote, branch = "origin", ref
        depth = "--unshallow " if shallow else ""
        tracked = f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"
        return f"`git fetch {depth}{remote} {tracked}`, or `fetch-depth: 0` of actions/checkout"

    def _ask(self, *arguments: str) -> bytes | None:
        # Literal pathspecs: a folder named `*` or `:(top)` is only a folder.
        done = run_git(self._top, "--literal-pathspecs", *arguments)
        return done.stdout if done.returncode == 0 else None


def _repository(root: Path) -> Path:
    place = root.resolve()
    while not place.is_dir():  # a pull request may have deleted the whole folder
        place = place.parent
    done = run_git(place, "rev-parse", "--show-toplevel")
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip() or "git failed"
        fix = "run in a git checkout with git installed, or without a baseline ref"
        _refuse(f"a git repository around {root}", reason, fix)
    return Path(done.stdout.decode("utf-8", "surrogateescape").rstrip("\r\n")).resolve()


def _refuse(need: str, found: str, fix: str) -> NoReturn:
    raise UsageFault("baseline-git", need=need, found=found, fix=fix)
