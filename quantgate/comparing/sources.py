"""Words that name something to compare: a file, a folder, a kept run or a git revision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from quantgate.baselines.sets import baseline_alone, baselines_at, baselines_in, resolve
from quantgate.comparing.saved_runs import RUNS_FOLDER, pick, saved_runs
from quantgate.comparing.sides import Side, side_of_baselines, side_of_run
from quantgate.errors import UsageFault
from quantgate.recorder import RESULTS_NAME
from quantgate.run_file import LARGEST_BYTES, parse_run, read_run

GIT = "git:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where names are looked up: the folder of kept runs, and the one of baselines."""

    runs: Path = RUNS_FOLDER
    baselines: Path = Path("baselines")


def find_side(word: str, places: Places) -> Side:
    """Return what `word` names.

    In this order: `git:REVISION`, the baselines at that revision; a path to a results file, a
    baseline file, a folder with a `results.json` or a folder of baselines; a kept run by `latest`,
    number or name; a git revision.

    Raises:
        UsageFault: nothing of that name (`compare-unknown`), or what it names is damaged.
    """
    if word.startswith(GIT):
        return side_of_baselines(baselines_at(places.baselines, word.removeprefix(GIT)))
    path = Path(word)
    if path.exists():
        return _read(path)
    if run := pick(places.runs, word):
        return side_of_run(read_run(run.path), str(run))
    if resolve(places.baselines, word):
        return side_of_baselines(baselines_at(places.baselines, word))
    raise UsageFault(
        "compare-unknown",
        need=f"a results.json, a folder of baselines, a git revision or one of {_known(places)}",
        found=repr(word),
        fix="keep runs with --gate-save, and name them by `latest`, number or name",
    )


def _read(path: Path) -> Side:
    """What a path holds: UsageFault where that is neither a run nor a baseline."""
    try:
        if path.is_dir():
            results = path / RESULTS_NAME
            return _read(results) if results.is_file() else _folder(path)
        with path.open("rb") as stream:
            data = stream.read(LARGEST_BYTES + 1)
        if _is_baseline(data):
            return side_of_baselines(baseline_alone(path))
    except OSError as error:
        raise UsageFault(
            "compare-unreadable",
            need=f"to read {path}",
            found=error.strerror or str(error),
            fix="make it a readable file",
        ) from error
    return side_of_run(parse_run(data, str(path)), str(path))


def _folder(path: Path) -> Side:
    baselines = baselines_in(path)
    if not baselines.contents:
        raise UsageFault(
            "compare-unknown",
            need=f"a {RESULTS_NAME} or baselines in the folder {path}",
            found="neither",
            fix=f"name another folder; a git revision of that name is {GIT}{path}",
        )
    return side_of_baselines(baselines)


def _is_baseline(data: bytes) -> bool:
    """Whether these bytes are meant as a baseline: what they lack is told when they are read."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "tasks" in document and "measurements" not in document


def _known(places: Places) -> str:
    runs = [str(run) for run in saved_runs(places.runs)]
    told = ", ".join(runs[-5:]) or "none yet"
    return f"the {len(runs)} runs in {places.runs} ({told})"
