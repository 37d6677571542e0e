"""Tables of decisions in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from quantgate.report import cells
from quantgate.report.digest import Judged
from quantgate.report.escape import markdown_cell, markdown_code
from quantgate.report.fitting import Rows, Section

COLUMNS: Final = (
    "case", "metric", "held against", "value", "change", "allowed", "is it noise?"
)  # fmt: skip
LEGEND: Final = (
    "A change is no noise where one as large would be seen in fewer than one of twenty runs if "
    "nothing had changed; the statistics stand below."
)
PASSES: Final = ("case", "metric", "held against", "value", "change", "allowed", "verdict")
FAULTS: Final = ("case", "metric", "why")
_STATISTICS: Final = (
    "case", "metric", "unit", "paired change", "95 % interval", "allowed", "smallest detectable",
    "p", "test",
)  # fmt: skip
_RIGHT: Final = frozenset({*COLUMNS[2:6], *_STATISTICS[3:8]})
_METHOD: Final = """\
Every question or window is held against itself in the baseline or the reference. The interval is \
that of the mean change; p is the probability of so large a change if nothing had changed. The \
smallest detectable change for the worse is what a run of this size finds four times in five. A \
perplexity is paired by its logarithm: a change of x nats a token is one of e^x times. How all of \
it is computed: `docs/statistics.md`.

"""
_FINE: Final = """\
Where the smallest detectable change is larger than what is allowed, a run of this size can't tell \
a change in between from noise. It calls one a REGRESSION only where the harm exceeds what is \
allowed even by its 95 % bound, and INCONCLUSIVE otherwise.

"""


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Judged],
    row: Callable[[Judged], str],
    *,
    folded: bool = False,
    lead: str = "",
) -> list[Section]:
    """A table under its title, or folded behind it; no section where it has no row.

    `lead` stands before it.
    """
    if not rows:
        return []
    rule = "|".join("---:" if column in _RIGHT else "---" for column in columns)
    opened = f"<details><summary>{title}: {len(rows):,}</summary>" if folded else f"### {title}"
    return [
        Section(
            head=f"{opened}\n\n{lead}|{'|'.join(columns)}|\n|{rule}|\n",
            rows=Rows(rows, row),
            tail="\n</details>\n" if folded else "",
        )
    ]


def folded(title: str, columns: str, rows: Sequence[str]) -> Section:
    """A table of ready rows, folded behind its title; `columns` are its first two lines."""
    head = f"<details><summary>{title}</summary>\n\n{columns}"
    return Section(head=head, rows=rows, tail="\n</details>\n")


def statistics(found: Sequence[Judged]) -> list[Section]:
    """The paired change of every figure that has one, folded, and how to read it."""
    known = [judged for judged in found if judged.decision.evidence is not None]
    fine = any(
        evidence.allowed is not None and evidence.detectable > evidence.allowed
        for judged in known
        if (evidence := judged.decision.evidence) is not None
    )
    lead = _METHOD + (_FINE if fine else "")
    title = "Statistics of these changes"
    return table(title, _STATISTICS, known, _statistics_row, folded=True, lead=lead)


def figures_row(judged: Judged, *more: Sequence[str]) -> str:
    """A change, by `COLUMNS`; `more` are further columns."""
    return _row(judged, *_figures(judged), (cells.noise(judged),), *more)


def unclear_row(judged: Judged) -> str:
    """`COLUMNS`, and why that isn't enough."""
    return figures_row(judged, (judged.decision.reason,))


def reason_row(judged: Judged) -> str:
    """By `FAULTS`."""
    return _row(judged, (judged.decision.reason,))


def passes_row(judged: Judged) -> str:
    """By `PASSES`."""
    *held, limit = _figures(judged)
    return _row(judged, *held, limit[:1], (cells.told(judged),))


def _figures(judged: Judged) -> tuple[Sequence[str], ...]:
    """What both `COLUMNS` and `PASSES` tell."""
    return (
        (cells.held_against(judged),),
        (cells.value(judged),),
        (cells.delta(judged),),
        cells.allowed(judged),
    )


def _statistics_row(judged: Judged) -> str:
    return _row(judged, *((cell,) for cell in cells.statistics(judged)))


def _row(judged: Judged, *columns: Sequence[str]) -> str:
    """Case, metric and further columns of one or more lines each."""
    listed = ((cells.measured(judged),), *columns)
    told = ("<br>".join(map(markdown_cell, lines)) for lines in listed)
    return f"|{markdown_code(judged.decision.case_id)}|{'|'.join(told)}|"
