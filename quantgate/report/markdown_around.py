"""What changed around a run's figures, in GitHub's Markdown, and what wasn't computed in it."""

from __future__ import annotations

from typing import Final

from quantgate.report.digest import drifts
from quantgate.report.escape import markdown_code, markdown_text
from quantgate.report.fitting import Rows, Section
from quantgate.report.stored import changed_packages, short
from quantgate.run_file import RunFile

_TITLE: Final = "### What changed around the figures\n\n"


def around(run: RunFile) -> list[Section]:
    """What differs from where the baselines come from, and what wasn't computed in this run."""
    return [*_packages(run), _environment(run), *_kept(run)]


def _packages(run: RunFile) -> list[Section]:
    changed, same = changed_packages(run)
    if changed:
        head = f"{_TITLE}These packages are not the baselines':\n\n"
        return [Section(head=head, rows=Rows(changed, _package_row))]
    if same:
        return [Section(head=f"{_TITLE}Every package is its baseline's, byte for byte.\n")]
    return [Section(head=_TITLE)]


def _package_row(told: tuple[str, str, str]) -> str:
    case_id, was, now = told
    digests = markdown_text(f"{short(was)} -> {short(now)}")
    return f"- {markdown_code(case_id)}: digest of its files {digests}"


def _environment(run: RunFile) -> Section:
    if found := drifts(run):
        head = "This differs from the baselines' environment:\n\n"
        return Section(head=head, rows=Rows(found, _drift_row))
    if any(decision.against == "baseline" for decision in run.decisions):
        return Section(
            head="The environment is the baselines': nothing of versions, processor, threads and "
            "execution provider differs.\n"
        )
    return Section(head="No figure was held against a stored baseline, so no change is known.\n")


def _drift_row(told: tuple[str, int]) -> str:
    line, count = told
    return f"- {markdown_text(line)} ({count:,} figure{'s' if count > 1 else ''})"


def _kept(run: RunFile) -> list[Section]:
    """Whose results an earlier run had left, so that they weren't computed again."""
    tasks: dict[str, set[bool]] = {}
    for measurement in run.measurements:
        if "kept" in measurement.cost:
            tasks.setdefault(measurement.case_id, set()).add(measurement.cost["kept"] == 1)
    found = [case_id for case_id, kept in tasks.items() if kept == {True}]
    if not found:
        return []
    head = "Kept from an earlier run of the same package on the same data, not computed again:\n\n"
    return [Section(head=head, rows=Rows(found, _kept_row))]


def _kept_row(case_id: str) -> str:
    return f"- {markdown_code(case_id)}"
