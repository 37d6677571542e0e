"""Disk and caches: where they are, how large, and what killed runs left in them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from quantgate.doctor.findings import Finding, Level

SECTION = "caches"
GIB = 2**30
MIB = 2**20
LOW_BYTES = GIB
SECONDS = 2.0  # for all sizes together: a doctor is asked in a hurry
_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-[^.]+\.tmp")


def check_caches(cache: Path) -> Iterator[Finding]:
    """Tell where the cache is, what it holds, and whether it can be written."""
    place = _nearest(cache)
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        fix = "set QUANTGATE_CACHE_DIR to a folder that this user may write"
        yield Finding(SECTION, f"{cache} can't be written", Level.FAIL, fix)
    low = free < LOW_BYTES
    yield Finding(
        SECTION,
        f"{free / GIB:,.1f} GiB free for {cache}",
        Level.FAIL if low else Level.OK,
        "free space there, or set QUANTGATE_CACHE_DIR" if low else "",
    )
    deadline = time.monotonic() + SECONDS
    if cache.is_dir():
        for path in sorted(cache.iterdir()):
            yield Finding(SECTION, f"{path.name}: {_size(path, deadline)}")
        yield from _leftovers(cache)
        yield from _locks(cache / "turns")
    hub = hub_cache()
    told = _size(hub, deadline) if hub.is_dir() else "none yet"
    yield Finding(SECTION, f"Hugging Face cache {hub}: {told}")


def hub_cache() -> Path:
    """Where `huggingface_hub` keeps its files, without importing it."""
    if given := os.environ.get("HF_HUB_CACHE"):
        return Path(given)
    home = os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    return Path(home, "hub")


def _leftovers(cache: Path) -> Iterator[Finding]:
    """What runs that are dead left half-written: it is in no run's way, but takes room."""
    found = [path for folder in (cache, *_folders(cache)) for path in folder.iterdir()]
    for path in sorted(found):
        match = _LEFT.fullmatch(path.name)
        if match and not _alive(int(match["pid"])):
            yield Finding(
                SECTION,
                f"{path} was left by process {match['pid']}, which is no more",
                Level.NOTE,
                f"rm -r {path}",
            )


def _locks(folder: Path) -> Iterator[Finding]:
    """Locks that somebody holds; one whose owner is dead keeps every run waiting."""
    from filelock import FileLock, Timeout

    for path in sorted(folder.glob("*.lock")):
        try:
            FileLock(path, timeout=0).acquire().lock.release()
        except Timeout:
            yield _held(path)
        except OSError as error:
            yield Finding(SECTION, f"{path}: {error}", Level.NOTE)


def _held(path: Path) -> Finding:
    owner = path.with_suffix(".owner")
    try:
        told = owner.read_text("utf-8", "replace")[:200]
    except OSError:
        told = "held by nobody knows whom"
    match = re.search(r"process (\d+) on (\S+)", told)
    if match and match[2] == socket.gethostname() and not _alive(int(match[1])):
        fix = f"make sure that no run is using the cache, then rm {path} {owner}"
        return Finding(SECTION, f"stale lock: {told}, which is no more", Level.FAIL, fix)
    return Finding(SECTION, f"a run is at work: {told}", Level.NOTE)


def _alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)


def _folders(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.is_dir())


def _size(path: Path, deadline: float) -> str:
    """The size in MiB; where time is up, what was counted so far."""
    if path.is_file():
        return f"{path.stat().st_size / MIB:,.1f} MiB"
    total = 0
    for place, _, files in os.walk(path):
        total += sum(_bytes(Path(place, name)) for name in files)
        if time.monotonic() > deadline:
            return f"more than {total / MIB:,.1f} MiB"
    return f"{total / MIB:,.1f} MiB"


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
