"""A run as GitHub's Markdown: the step summary, and the comment on a pull request.

The verdict stands first, then a few plain sentences on each failing case; then what got worse, by
how much and whether that is noise, what changed around it, and the commands that reproduce or
accept it. Statistics and what is well stand behind, folded. Both stay under GitHub's limits by
leaving out rows (`report.fitting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quantgate.errors import UsageFault
from quantgate.report.digest import Judged, judge, notes
from quantgate.report.escape import markdown_code, markdown_link, markdown_text
from quantgate.report.fitting import Rows, Section, fit
from quantgate.report.markdown_around import around
from quantgate.report.markdown_costs import costs, greedy_answers
from quantgate.report.markdown_origin import origin
from quantgate.report.markdown_rest import answers, stops
from quantgate.report.markdown_tables import (
    COLUMNS,
    FAULTS,
    LEGEND,
    PASSES,
    figures_row,
    passes_row,
    reason_row,
    statistics,
    table,
    unclear_row,
)
from quantgate.report.markdown_ways import ways_out
from quantgate.report.markdown_words import words
from quantgate.report.story import Story, counts, headline, stories
from quantgate.results import Verdict
from quantgate.run_file import RunFile

COMMENT_MARK: Final = "<!-- quantgate -->"  # by it the comment is found again, to be replaced
SUMMARY_BYTES: Final = 1_048_576 - 16_384  # other steps write into the same summary
COMMENT_BYTES: Final = 65_536 - 1_536
_HELD: Final = (  # by the whole report
    "has the subjects, the questions whose answers changed (at most 200 of a case, lost ones "
    "first) and the perplexity along the text."
)


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
    lead = f"{link} {_HELD}\n\n" if report_url else ""
    rest = "all are in the whole report" if report_url else "all are in results.json"
    mark = Section(head=f"{COMMENT_MARK}\n")
    return fit([mark, *_sections(run, lead)], limit_bytes, rest)


def _sections(run: RunFile, lead: str) -> list[Section]:
    """Everything a run has to say, the most important first."""
    found = judge(run)
    by_verdict = {each: [j for j in found if j.decision.verdict is each] for each in Verdict}
    worse, unclear = by_verdict[Verdict.REGRESSION], by_verdict[Verdict.INCONCLUSIVE]
    invalid, missing = by_verdict[Verdict.INVALID], by_verdict[Verdict.NO_BASELINE]
    return [
        *_opening(run, found, lead),
        *table("What got worse", COLUMNS, worse, figures_row),
        *table("What could not be measured", FAULTS, invalid, reason_row),
        *table("What this run can't tell", (*COLUMNS, "why"), unclear, unclear_row),
        *([Section(head=LEGEND)] if worse or unclear else []),
        *around(run),
        *ways_out(run, found),
        *statistics([*worse, *unclear]),
        *table("Without a baseline", PASSES, missing, passes_row, folded=True),
        *answers(run, found),
        *stops(run),
        *table(
            "What is within tolerance",
            PASSES,
            by_verdict[Verdict.PASS],
            passes_row,
            folded=bool(worse or invalid or unclear) or len(found) > 8,
        ),
        *costs(run),
        *greedy_answers(run),
        *_notes(run),
        *origin(run),
        *words(run),
    ]


def _opening(run: RunFile, found: Sequence[Judged], lead: str) -> list[Section]:
    """The verdict, what is known of each failing case, and how many figures have which verdict."""
    told, more = stories(run, found)
    head = f"## {markdown_text(headline(run, found))}\n\n{_caveats(run)}{lead}"
    if not told:
        return [Section(head=head)]
    rest = f"\n{more:,} more cases are in the table.\n" if more else ""
    return [
        Section(head=head, rows=Rows(told, _story if len(told) == 1 else _story_item), tail=rest),
        Section(head=f"{counts(run)}\n"),
    ]


def _story(story: Story) -> str:
    return f"{markdown_code(story.case_id)} {markdown_text(story.told)}"


def _story_item(story: Story) -> str:
    return f"- {_story(story)}"


def _caveats(run: RunFile) -> str:
    """What a reader must know before the figures."""
    configuration, options = run.facts.get("configuration"), run.facts.get("options")
    told = []
    if isinstance(configuration, dict) and configuration.get("complete") is False:
        told.append("**The run was interrupted: not everything was measured.**\n\n")
    if isinstance(options, dict) and options.get("--gate-update-baselines"):
        told.append("**This run stored baselines, so nothing was held against older ones.**\n\n")
    return "".join(told)


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
