"""Which file a name inside a package may lead to.

A package is untrusted input: a name that leaves its folder is refused before anything is opened.
The one layout that may lead outside is the hub's own cache, where a snapshot's files are symbolic
links into the `blobs` folder of the same repository.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from quantgate.errors import InvalidMeasurement, UsageFault


def contained_file(folder: Path, name: str, *, what: str) -> Path:
    """Return the file that `name` means inside `folder`.

    Args:
        folder: the package's folder.
        name: a relative POSIX path found in a configuration or a graph.
        what: who named it, for messages (`external data of tensor x`).

    Raises:
        UsageFault: `path-escapes` where the name or the link behind it leaves the package,
            `path-is-directory` where it leads to a folder.
        InvalidMeasurement: `file-missing` where there is no such file.
    """
    path = folder / _relative(name, folder, what)
    if not path.exists():
        raise InvalidMeasurement(
            "file-missing",
            need=f"{what}: {name!r} inside {folder}",
            found=f"no file at {path}",
            fix="copy the package again with all its files, or build it again",
        )
    if not _stays_inside(folder, path):
        raise _escape(folder, name, what, f"a link to {path.resolve()}")
    if path.is_dir():
        raise UsageFault(
            "path-is-directory",
            need=f"{what}: a file",
            found=f"the folder {path}",
            fix="name the file itself",
        )
    return path


def _relative(name: str, folder: Path, what: str) -> PurePosixPath:
    windows = PureWindowsPath(name)
    leaves = (
        not name
        or "\0" in name
        or PurePosixPath(name).is_absolute()
        or bool(windows.drive or windows.root)
        or ".." in windows.parts
    )
    if leaves:
        raise _escape(folder, name, what, repr(name))
    return PurePosixPath(name)


def _stays_inside(folder: Path, path: Path) -> bool:
    target = path.resolve()
    root = folder.resolve()
    if target.is_relative_to(root):
        return True
    # A repository may hold its packages in folders of their own below the snapshot.
    return any(
        parent.name == "snapshots" and target.is_relative_to(parent.parent / "blobs")
        for parent in root.parents
    )


def _escape(folder: Path, name: str, what: str, found: str) -> UsageFault:
    return UsageFault(
        "path-escapes",
        need=f"{what}: a relative path that stays inside {folder}",
        found=found,
        fix=f"{name!r} escapes the model folder: put the file into the package and name it there",
    )
