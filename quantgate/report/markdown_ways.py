"""What to do about a run, in GitHub's Markdown: its commands in blocks to copy from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quantgate.report.commands import (
    accept_commands,
    baseline_files,
    left_to_add,
    reproduce_commands,
)
from quantgate.report.digest import Judged, beyond_reference
from quantgate.report.escape import markdown_code
from quantgate.report.fitting import Section
from quantgate.report.names import listed, suite_words
from quantgate.results import Decision, Verdict
from quantgate.run_file import RunFile

_FILES: Final = 3  # that are named
_MENDS: Final = (
    "Worse than the reference by more than is allowed: quantize with less loss, or raise the limit "
    "in the manifest's `[policy]`.\n\n"
)
_LARGER: Final = (
    "Inconclusive means that this run is too small to tell: measure on more items, or raise the "
    "tolerance above what is detectable.\n\n"
)


def ways_out(run: RunFile, found: Sequence[Judged]) -> list[Section]:
    """Reproduce, accept and store, in this order; what no command mends stands before."""
    loud = [each for each in found if each.decision.verdict is not Verdict.PASS]
    missing = [j.decision for j in loud if j.decision.verdict is Verdict.NO_BASELINE]
    again = [j.decision for j in loud if j.decision.verdict is not Verdict.NO_BASELINE]
    meant = {Verdict.REGRESSION, Verdict.INVALID}
    stale = [j for j in loud if j.decision.verdict in meant and j.decision.against == "baseline"]
    told = _MENDS if any(map(_beyond_reference_alone, again)) else ""
    told += _LARGER if any(each.verdict is Verdict.INCONCLUSIVE for each in again) else ""
    sections = [
        *_block(_reproduce_words(run), reproduce_commands(run, again)),
        *_block(_accept_words(run, stale), accept_commands(run, [j.decision for j in stale])),
        *_block("To store the missing baselines:", accept_commands(run, missing)),
    ]
    if not (told or sections):
        return []
    return [Section(head=f"### What to do\n\n{told}"), *sections]


def _beyond_reference_alone(decision: Decision) -> bool:
    return decision.verdict is Verdict.REGRESSION and decision.against == "reference"


def _reproduce_words(run: RunFile) -> str:
    missing = [f"`{name}`" for name in left_to_add(run)]
    more = f", and with this run's own {listed(missing)}" if missing else ""
    return f"To reproduce it, with the same manifest{more}:"


def _accept_words(run: RunFile, stale: Sequence[Judged]) -> str:
    """What accepting does, and where it isn't enough."""
    files = [markdown_code(name) for name in baseline_files(run, [j.decision for j in stale])]
    named = listed(files) if len(files) <= _FILES else f"the baseline files of {len(files):,} cases"
    told = (
        "Only if the change is meant, accept it. "
        f"This rewrites {named} and the items beside, so that later runs are held against the "
        "figures of now; commit both. It needs a reason, which is stored with the figures, and a "
        "workstation: CI refuses it."
    )
    beyond = (j.decision.task for j in stale if beyond_reference(j.decision))
    if names := list(dict.fromkeys(filter(None, map(suite_words, beyond)))):
        told += (
            f" It won't be enough: {listed(names)} would still be worse than the reference by more "
            "than the manifest's `[policy]` allows."
        )
    return told


def _block(title: str, commands: Sequence[str]) -> list[Section]:
    """Commands under what they do; none without any."""
    if not commands:
        return []
    return [Section(head=f"{title}\n\n```sh\n", rows=commands, tail="```\n")]
