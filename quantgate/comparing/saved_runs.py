"""Runs that are kept to be compared with: numbered files, after pytest-benchmark's convention.

`<NNNN>_<commit>_<UTC time>[_uncommitted-changes][_<name>].json` in `.quantgate/runs` of the folder
the run was started in, beside pytest-benchmark's `.benchmarks`; not in it, because pytest-benchmark
takes every JSON file there for one of its own. A file holds the bytes of the run's `results.json`.
Nothing is ever deleted here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from quantgate.errors import UsageFault
from quantgate.storage import storage_fault, write_atomically

RUNS_FOLDER = Path(".quantgate", "runs")
LATEST = "latest"
UNVERSIONED = "unversioned"
_DIRTY = "-dirty"  # as `git.head_commit` marks a commit whose files were changed
_TIME = "%Y%m%d_%H%M%S"
_NAME = re.compile(r"(?=.*[^0-9])[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(
    r"(?P<number>\d{4,})_(?P<commit>[0-9a-f]{7,64}|unversioned)_(?P<time>\d{8}_\d{6})"
    r"(?P<dirty>_uncommitted-changes)?(?:_(?P<name>.+))?\.json"
)
_CLAIM = re.compile(r"\.(?P<number>\d{4,})\.claim")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRun:
    """One kept run.

    Attributes:
        number: 1 for the first one.
        commit: what was checked out; `unversioned` outside a repository.
        dirty: tracked files differed from the commit.
        time: when it was kept, UTC.
        name: as given, or empty.
    """

    path: Path
    number: int
    commit: str
    dirty: bool
    time: datetime
    name: str

    def __str__(self) -> str:
        return f"run {self.number:04}" + (f" ({self.name})" if self.name else "")


def saved_runs(folder: Path) -> list[SavedRun]:
    """The runs kept in `folder`, by number; empty where there is none."""
    found = [_saved_run(path) for path in _entries(folder)]
    return sorted((run for run in found if run), key=lambda run: (run.number, run.path.name))


def pick(folder: Path, which: str) -> SavedRun | None:
    """The run that `which` names, or None.

    `latest`, a number (`3`, `0003`), a name (the latest run of that name), or the beginning of a
    file's name.
    """
    runs = saved_runs(folder)
    if which == LATEST:
        return runs[-1] if runs else None
    if which.isdecimal() and len(which) < len("20261231"):
        return next((run for run in runs if run.number == int(which)), None)
    if not which:
        return None
    named = [run for run in runs if run.name == which]
    begun = [run for run in runs if run.path.name.startswith(which)]
    return next(reversed(named or begun), None)


def save_run(
    folder: Path, data: bytes, *, commit: str | None, name: str = "", now: datetime | None = None
) -> SavedRun:
    """Keep `data` under the next number, which no other run takes, however many save at once.

    Args:
        folder: made where it is missing.
        data: bytes of a `results.json`.
        commit: as `git.head_commit` tells it.
        name: see `require_name`.
        now: an aware time, by default this moment.

    Raises:
        InvalidMeasurement: the disk refuses (codes of `storage.storage_fault`).
    """
    known = commit or UNVERSIONED
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    stem = f"{known.removesuffix(_DIRTY)}_{moment:{_TIME}}"
    stem += "_uncommitted-changes" if known.endswith(_DIRTY) else ""
    number, claim = _claim_number(folder)
    try:
        path = folder / f"{number:04}_{stem}{f'_{name}' if name else ''}.json"
        write_atomically(path, data)
    finally:
        claim.unlink(missing_ok=True)
    return SavedRun(
        path=path,
        number=number,
        commit=known.removesuffix(_DIRTY),
        dirty=known.endswith(_DIRTY),
        time=moment,
        name=name,
    )


def require_name(name: str) -> str:
    """Return a run's name, refusing what a file's name or a number could be mistaken for.

    Raises:
        UsageFault: `run-name`.
    """
    if name == LATEST or not _NAME.fullmatch(name):
        raise UsageFault(
            "run-name",
            need="a run's name of letters, digits, `.`, `_` and `-`, which is no number",
            found=repr(name),
            fix="write it in one word with the option: --gate-save=NAME",
        )
    return name


def as_name(text: str) -> str:
    """Return the nearest name that `require_name` takes; empty where nothing is left."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:64]
    return name if name != LATEST and _NAME.fullmatch(name) else ""


def _claim_number(folder: Path) -> tuple[int, Path]:
    """Take the next number for this process: what is claimed here, nobody else publishes.

    A number is looked for again once it is claimed: another run may have published it, and dropped
    its own claim, between our look and our claim. A claim that a killed run left skips its number.
    """
    while True:
        number = 1 + max(map(_number, _entries(folder)), default=0)
        claim = folder / f".{number:04}.claim"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        except OSError as error:
            raise storage_fault(error, claim) from error
        if all(_number(path) != number for path in _entries(folder) if path != claim):
            return number, claim
        claim.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _number(path: Path) -> int:
    """The number that a file or a claim holds; 0 where it is neither."""
    found = _FILE.fullmatch(path.name) or _CLAIM.fullmatch(path.name)
    return int(found["number"]) if found else 0


def _saved_run(path: Path) -> SavedRun | None:
    found = _FILE.fullmatch(path.name)
    if found is None:
        return None
    try:
        time = datetime.strptime(found["time"], _TIME).replace(tzinfo=UTC)
    except ValueError:  # digits, but no time: not ours
        return None
    return SavedRun(
        path=path,
        number=int(found["number"]),
        commit=found["commit"],
        dirty=found["dirty"] is not None,
        time=time,
        name=found["name"] or "",
    )
