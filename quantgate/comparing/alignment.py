"""Which entries of two sides belong together: the same case and task, or two cases by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quantgate.comparing.sides import Entry, Side
from quantgate.errors import UsageFault
from quantgate.suites import METRICS


@dataclass(frozen=True, slots=True)
class Pair:
    """The entries of one task on both sides; one of them may be missing."""

    case_before: str
    case_now: str
    task: str
    before: Entry | None
    now: Entry | None


def aligned(before: Side, now: Side, cases: tuple[str, str] | None) -> Iterator[Pair]:
    """Pair what both sides hold of a task of a case.

    Args:
        before: the earlier side.
        now: the later one.
        cases: a case of each to hold against each other; None to go by the cases' names.

    Raises:
        UsageFault: a side doesn't have the case (`compare-case`).
    """
    if cases is not None:
        for side, case in zip((before, now), cases, strict=True):
            _require_case(side, case)
        for task in _tasks(before, cases[0], now, cases[1]):
            entries = before.entries.get((cases[0], task)), now.entries.get((cases[1], task))
            yield Pair(*cases, task, *entries)
        return
    for key in _ordered((*now.entries, *before.entries)):
        case, task = key
        entry_before, entry_now = before.entries.get(key), now.entries.get(key)
        yield Pair(
            case if entry_before else "", case if entry_now else "", task, entry_before, entry_now
        )


def _tasks(before: Side, case_before: str, now: Side, case_now: str) -> Iterable[str]:
    """The tasks of either case, each once."""
    tasks = [task for case, task in now.entries if case == case_now]
    tasks += [task for case, task in before.entries if case == case_before]
    return [task for _, task in _ordered([("", task) for task in tasks])]


def _ordered(keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Cases as they come, each once; within a case the suites' order."""
    suites = {suite: place for place, suite in enumerate(METRICS)}
    each = list(dict.fromkeys(keys))
    cases = {case: place for place, case in enumerate(dict.fromkeys(case for case, _ in each))}

    def rank(key: tuple[str, str]) -> tuple[int, int, str]:
        case, task = key
        return cases[case], suites.get(task.partition(".")[0], len(suites)), task

    return sorted(each, key=rank)


def _require_case(side: Side, case: str) -> None:
    known = dict.fromkeys(name for name, _ in side.entries)
    if case not in known:
        raise UsageFault(
            "compare-case",
            need=f"a case of {side.label}: {', '.join(known) or 'it has none'}",
            found=case,
            fix="name one of these with --case-a and --case-b",
        )
