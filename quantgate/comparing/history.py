"""A metric over time: the same figure in run after run, or in the baselines commit after commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from quantgate.baselines.sets import baselines_at, commits_of
from quantgate.comparing.compare import selected, unlike
from quantgate.comparing.saved_runs import UNVERSIONED, saved_runs
from quantgate.comparing.sides import Entry, Side, side_of_baselines, side_of_run
from quantgate.errors import UsageFault
from quantgate.results import Score
from quantgate.run_file import read_run

_SHORT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A run or a commit, and the figures of then.

    Attributes:
        label: the run's number and name, or the commit.
        time: when it was kept or committed, UTC.
        commit: what a run was measured at, with a `+` where files differed from it.
    """

    label: str
    time: datetime
    side: Side
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A figure at one moment.

    Attributes:
        place: which moment, from 0.
        value: unrounded.
        stderr: its standard error by clusters, or the plain one; None where it has none.
        unlike: what makes it incomparable with the point before, in words.
    """

    place: int
    value: float
    stderr: float | None
    unlike: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one case over all moments that have it."""

    case_id: str
    task: str
    metric: str
    unit: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Moments, the oldest first, and the series over them; `notes` tells what was left out."""

    moments: tuple[Moment, ...]
    series: tuple[Series, ...]
    notes: tuple[str, ...] = ()


def moments_of_runs(folder: Path, limit: int) -> tuple[list[Moment], list[str]]:
    """The last `limit` kept runs, and a line for each that can't be read."""
    found, notes = [], []
    for run in saved_runs(folder)[-limit:]:
        try:
            side = side_of_run(read_run(run.path), str(run), with_items=False)
        except UsageFault as fault:
            notes.append(f"left out: {fault}")
            continue
        label = f"{run.number:04}" + (f" {run.name}" if run.name else "")
        known = "" if run.commit == UNVERSIONED else run.commit[:_SHORT]
        commit = known + ("+" if run.dirty else "")
        found.append(Moment(label=label, time=run.time, commit=commit, side=side))
    return found, notes


def moments_of_baselines(root: Path, limit: int) -> tuple[list[Moment], list[str]]:
    """The last `limit` commits that changed baselines, and a line for each that can't be read.

    Raises:
        UsageFault: `revision-unreadable`: no git, no repository, or no commit.
    """
    found, notes = [], []
    for commit in commits_of(root, limit):
        try:
            side = side_of_baselines(baselines_at(root, commit.digest), with_items=False)
        except UsageFault as fault:
            notes.append(f"left out: {fault}")
            continue
        found.append(Moment(label=commit.digest[:_SHORT], time=commit.time, side=side))
    return found, notes


def trace(
    moments: Sequence[Moment],
    *,
    cases: Sequence[str] = (),
    metrics: Sequence[str] = (),
    notes: Iterable[str] = (),
) -> History:
    """Follow each metric through the moments.

    Args:
        moments: the oldest first.
        cases: patterns of case ids; all where there are none.
        metrics: patterns as `comparing.compare` takes them.
        notes: what to tell beside.
    """
    keys = dict.fromkeys(key for moment in moments for key in moment.side.entries)
    wanted = [key for key in keys if not cases or any(fnmatchcase(key[0], p) for p in cases)]
    series = [one for key in wanted for one in _series(moments, key, metrics)]
    series.sort(key=lambda one: (one.task, one.metric))  # keeps the order of cases
    return History(moments=tuple(moments), series=tuple(series), notes=tuple(notes))


def _series(
    moments: Sequence[Moment], key: tuple[str, str], metrics: Sequence[str]
) -> Iterable[Series]:
    entries = [(place, moment.side.entries.get(key)) for place, moment in enumerate(moments)]
    known = [(place, entry) for place, entry in entries if entry is not None]
    for metric in selected(key[1], [entry for _, entry in known], metrics):
        having = [(place, entry) for place, entry in known if metric in entry.scores]
        points = tuple(_points(having, metric))
        unit = having[-1][1].scores[metric].unit
        yield Series(case_id=key[0], task=key[1], metric=metric, unit=unit, points=points)


def _points(having: Sequence[tuple[int, Entry]], metric: str) -> Iterable[Point]:
    before: Entry | None = None
    for place, entry in having:
        score = entry.scores[metric]
        why = "" if before is None else unlike(before, entry, before.scores[metric], score)
        yield Point(place=place, value=score.value, stderr=_stderr(score), unlike=why)
        before = entry


def _stderr(score: Score) -> float | None:
    return score.stderr if score.stderr_clustered is None else score.stderr_clustered
