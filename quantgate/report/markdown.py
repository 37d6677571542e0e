"""A run as GitHub's Markdown: the step summary, and the comment on a pull request.

The verdict stands first, in one sentence; then what got worse, by how much and whether that is
noise, what changed in the environment, and the commands that accept or reproduce it. What is well
stands behind, folded. Both stay under GitHub's limits by leaving out rows (`report.fitting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quantgate.errors import UsageFault
from quantgate.report.digest import (
    Judged,
    accept_commands,
    drifts,
    judge,
    notes,
    reproduce_command,
    sentence,
)
from quantgate.report.escape import markdown_link, markdown_text
from quantgate.report.fitting import Rows, Section, fit
from quantgate.report.markdown_rest import flips, origin, stops
from quantgate.report.markdown_tables import (
    COLUMNS,
    FAULTS,
    LEGEND,
    PASSES,
    figures_row,
    passes_row,
    reason_row,
    table,
    unclear_row,
)
from quantgate.results import Verdict
from quantgate.run_file import RunFile

COMMENT_MARK: Final = "<!-- quantgate -->"  # by it the comment is found again, to be replaced
SUMMARY_BYTES: Final = 1_048_576 - 16_384  # other steps write into the same summary
COMMENT_BYTES: Final = 65_536 - 1_536


def render_summary(run: RunFile, limit_bytes: int = SUMMARY_BYTES) -> str:
    """Return the step summary of a run, of at most `limit_bytes` in UTF-8."""
    return fit(_sections(run, ""), limit_bytes, "all are in results.json")


def render_comment(run: RunFile, *, report_url: str = "", limit_bytes: int = COMMENT_BYTES) -> str:
    """Return the comment on a pull request, of at most `limit_bytes` in UTF-8.

    Args:
        run: the run; its texts may be a stranger's.
        report_url: where the whole report is.
        limit_bytes: the most it may take.

    Raises:
        UsageFault: `report-url` is no plain address of http or https.
    """
    link = markdown_link("The whole report", report_url)
    if report_url and not link.startswith("["):
        raise UsageFault(
            "report-url",
            need="an address that begins with https:// and has no blanks or brackets",
            found=repr(report_url),
            fix="give the address of the run or of its artifact with --report-url",
        )
    lead = f"{link} has every subject, flip and window.\n\n" if report_url else ""
    rest = "all are in the whole report" if report_url else "all are in results.json"
    mark = Section(head=f"{COMMENT_MARK}\n")
    return fit([mark, *_sections(run, lead)], limit_bytes, rest)


def _sections(run: RunFile, lead: str) -> list[Section]:
    """Everything a run has to say, the most important first."""
    found = judge(run)
    by_verdict = {each: [j for j in found if j.decision.verdict is each] for each in Verdict}
    worse, unclear = by_verdict[Verdict.REGRESSION], by_verdict[Verdict.INCONCLUSIVE]
    invalid, missing = by_verdict[Verdict.INVALID], by_verdict[Verdict.NO_BASELINE]
    head = f"## {markdown_text(sentence(run))}\n\n{_caveats(run)}{lead}"
    return [
        Section(head=head),
        *table("What got worse", COLUMNS, worse, figures_row),
        *table("What could not be measured", FAULTS, invalid, reason_row),
        *table("What this run can't tell", (*COLUMNS, "why"), unclear, unclear_row),
        *([Section(head=LEGEND)] if worse or unclear else []),
        _environment(run),
        *_ways_out(run, found),
        *table("Without a baseline", PASSES, missing, passes_row, folded=True),
        *flips(run),
        *stops(run),
        *table(
            "What is within tolerance",
            PASSES,
            by_verdict[Verdict.PASS],
            passes_row,
            folded=bool(worse or invalid or unclear) or len(found) > 8,
        ),
        *_notes(run),
        *origin(run),
    ]


def _caveats(run: RunFile) -> str:
    """What a reader must know before the figures."""
    configuration, options = run.facts.get("configuration"), run.facts.get("options")
    told = []
    if isinstance(configuration, dict) and configuration.get("complete") is False:
        told.append("**The run was interrupted: not everything was measured.**\n\n")
    if isinstance(options, dict) and options.get("--gate-update-baselines"):
        told.append("**This run stored baselines, so nothing was held against older ones.**\n\n")
    return "".join(told)


def _environment(run: RunFile) -> Section:
    found = drifts(run)
    title = "### What changed in the environment\n\n"
    if found:
        return Section(
            head=title,
            rows=Rows(found, lambda each: f"- {markdown_text(each[0])} ({_figures(each[1])})"),
        )
    if any(decision.against == "baseline" for decision in run.decisions):
        return Section(head=f"{title}Nothing that can move a figure: as in the baselines.\n")
    return Section(head=f"{title}Not known: no figure was held against a stored baseline.\n")


def _ways_out(run: RunFile, found: Sequence[Judged]) -> list[Section]:
    """The commands, in blocks to copy from."""
    loud = [j.decision for j in found if j.decision.verdict is not Verdict.PASS]
    meant = {Verdict.REGRESSION, Verdict.INVALID}
    stale = [d for d in loud if d.verdict in meant and d.against == "baseline"]
    limited = [d for d in loud if d.verdict is Verdict.REGRESSION and d.against == "reference"]
    missing = [d for d in loud if d.verdict is Verdict.NO_BASELINE]
    again = [d for d in loud if d.verdict is not Verdict.NO_BASELINE]
    told = ""
    if limited:
        told += (
            "Worse than the reference by more than is allowed: quantize with less loss, "
            "or raise the limit in the manifest's `[policy]`.\n\n"
        )
    if any(decision.verdict is Verdict.INCONCLUSIVE for decision in loud):
        told += (
            "Inconclusive means that this run is too small to tell: measure on more items, or "
            "raise the tolerance above what is detectable.\n\n"
        )
    told += _block("If the change is meant, accept it:", accept_commands(stale))
    told += _block("To store the missing baselines:", accept_commands(missing))
    commands = [reproduce_command(run, decision) for decision in again]
    repeat = list(dict.fromkeys(filter(None, commands)))
    sections = [Section(head=f"### What to do\n\n{told}")] if told or repeat else []
    if repeat:
        head = "To reproduce it, with the same manifest:\n\n```sh\n"
        sections.append(Section(head=head, rows=repeat, tail="```\n"))
    return sections


def _block(title: str, commands: Sequence[str]) -> str:
    listed = "\n".join(commands)
    return f"{title}\n\n```sh\n{listed}\n```\n\n" if commands else ""


def _notes(run: RunFile) -> list[Section]:
    found = notes(run)
    if not found:
        return []
    return [
        Section(
            head=f"<details><summary>Notes: {len(found):,}</summary>\n\n",
            rows=Rows(found, _note_row),
            tail="\n</details>\n",
        )
    ]


def _note_row(told: tuple[str, int]) -> str:
    note, count = told
    return f"- {markdown_text(note)}{f' ({count:,} times)' if count > 1 else ''}"


def _figures(count: int) -> str:
    return f"{count:,} figure{'s' if count > 1 else ''}"
