"""What a job on GitHub is told: outputs, annotations and the step summary.

Values may come from a pull request (names, paths, messages), so outputs are written between random
marks and workflow commands are escaped: no value can end its own line and begin another command.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from quantgate.report.escape import plain
from quantgate.results import Decision, Verdict
from quantgate.run_file import RunFile

SUMMARY_BYTES = 1 << 20  # GitHub refuses a step's summary beyond it
LOG_LINES = 40
LONGEST_LINE = 400
ANNOTATIONS = 10  # GitHub shows no more of one kind for a step
# The worst verdict of a run is the run's.
WORST_FIRST = (
    Verdict.INVALID,
    Verdict.REGRESSION,
    Verdict.NO_BASELINE,
    Verdict.INCONCLUSIVE,
    Verdict.PASS,
)
UNCHANGED = "UNCHANGED"
ERROR = "ERROR"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def output_text(values: Mapping[str, str]) -> str:
    """Return `values` as a job's output file takes them, each between marks nobody can guess.

    Raises:
        ValueError: a name is none.
    """
    parts = []
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an output")
        mark = f"quantgate_{secrets.token_hex(16)}"
        parts.append(f"{name}<<{mark}\n{value}\n{mark}\n")
    return "".join(parts)


def workflow_command(name: str, message: str, **properties: str) -> str:
    """Return a line such as `::error title=…::…`, with everything in it escaped."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name}{' ' if given else ''}{given}::{_data(message)}"


def run_values(run: RunFile | None, status: int | None, reports: Path) -> dict[str, str]:
    """Return a job's outputs.

    Args:
        run: the results; None where there are none.
        status: the run's exit status; None where nothing had to be measured.
        reports: the folder of the reports.
    """
    decisions = () if run is None else run.decisions
    counts = Counter(decision.verdict for decision in decisions)
    return {
        "verdict": run_verdict(run, status),
        **{verdict.value.lower().replace("_", "-"): str(counts[verdict]) for verdict in Verdict},
        "status": "0" if status is None else str(status),
        "report": "" if status is None else str(reports),
        "results": "" if run is None else str(reports / "results.json"),
    }


def run_verdict(run: RunFile | None, status: int | None) -> str:
    """The worst verdict of a run.

    `UNCHANGED` where nothing had to be measured, `ERROR` where the run ended otherwise than its
    figures say: without any, or failed although each of them would have passed.
    """
    if status is None:
        return UNCHANGED
    found = set() if run is None else {decision.verdict for decision in run.decisions}
    worst = next((verdict for verdict in WORST_FIRST if verdict in found), None)
    failed = worst in (Verdict.INVALID, Verdict.REGRESSION)
    if worst is None or (status and worst is Verdict.PASS) or (failed and not status):
        return ERROR
    return worst.value


def error_lines(run: RunFile) -> list[str]:
    """Return one error line for each failed figure, as many as GitHub shows."""
    failed = [d for d in run.decisions if d.verdict in (Verdict.INVALID, Verdict.REGRESSION)]
    return [_annotation(decision) for decision in failed[:ANNOTATIONS]]


def summary(
    reports: Path,
    status: int | None,
    *,
    reasons: Sequence[str] = (),
    settings: Sequence[str] = (),
    log: Path | None = None,
) -> str:
    """Return the step summary: the run's own, or else what its log ends with.

    Args:
        reports: folder that may hold `summary.md`.
        status: the run's exit status; None where nothing had to be measured.
        reasons: why these models were measured.
        settings: what a pull request changes in the manifest.
        log: what the run printed.
    """
    changed = _listed("This request changes the gate's own settings", settings, "open")
    if status is None:
        nothing = "### quantgate: nothing to measure\n\nNo model's files differ from the base.\n"
        return nothing + changed
    rest = changed + _listed("What was measured, and why", reasons, "")
    written = _read(reports / "summary.md", SUMMARY_BYTES)
    if written is None:
        head = f"### quantgate: no results, exit status {status}\n\nThe log ends with:\n\n"
        return head + _fenced(log) + rest
    room = SUMMARY_BYTES - len(written.encode())
    return written + (rest if len(rest.encode()) <= room else "")


def _listed(title: str, lines: Sequence[str], state: str) -> str:
    """A foldable list of lines of code; empty without any."""
    told = "".join(f"- `{_code(line)}`\n" for line in lines if line.strip())
    opening = f"<details {state}>" if state else "<details>"
    return f"\n{opening}<summary>{title}</summary>\n\n{told}\n</details>\n" if told else ""


def _annotation(decision: Decision) -> str:
    title = f"{decision.verdict.value} {decision.case_id} {decision.task} {decision.metric}"
    return workflow_command("error", plain(decision.reason), title=plain(title))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _code(text: str) -> str:
    """Text for between two backticks."""
    return plain(text).replace("`", "'")[:LONGEST_LINE]


def _fenced(log: Path | None) -> str:
    """The log's last lines as a block that nothing in it can end."""
    text = None if log is None else _tail(log)
    lines = [plain(line)[:LONGEST_LINE] for line in (text or "").splitlines()[-LOG_LINES:]]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence, ""])


def _tail(path: Path, size: int = 1 << 16) -> str | None:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - size))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return None


def _read(path: Path, limit: int) -> str | None:
    """A text file's content; None where it isn't there or is larger than `limit` bytes."""
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError:
        return None
    return None if len(data) > limit else data.decode("utf-8", "replace")
