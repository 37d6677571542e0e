"""The commands that measure a run's figures again or store them, for a reader to paste.

They are built from names that are known or plain, or not at all. Each is limited to one case: what
else has a baseline keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from quantgate.cases import SLUG
from quantgate.marks import SUITE_MARKERS
from quantgate.options import MANIFEST_NAME

if TYPE_CHECKING:
    from quantgate.results import Decision
    from quantgate.run_file import RunFile

UPDATE: Final = '--gate-update-baselines --gate-reason "..."'
_CONFIG: Final = "--gate-config"
_STAGED: Final = "--gate-sequential"  # of a run in stages nothing is stored
# Options that change a run's figures; those that name files are repeated where the name is plain.
_FILES: Final = (
    _CONFIG, "--gate-model", "--gate-reference", "--gate-data-dir", "--gate-text",
    "--gate-baselines",
)  # fmt: skip
_REPEATED: Final = ("--gate-limit", "--gate-threads", "--gate-accuracy-level", _STAGED, *_FILES)
_LONGEST: Final = 200


def command(markers: Sequence[str], case_id: str, words: Iterable[str] = ()) -> str:
    """Return the command that measures these suites of a case; the names must be harmless.

    In brackets the id is all of a test's parameters, so that `ort` doesn't select `ortgenai` too.
    """
    marks = markers[0] if len(markers) == 1 else f'"{" or ".join(markers)}"'
    return " ".join([f'quantgate run -m {marks} -k "[{case_id}]"', *words])


def reproduce_commands(run: RunFile, decisions: Iterable[Decision]) -> list[str]:
    """Return the commands that measure these decisions' suites again, one a case.

    There is none where names aren't those of a case and a suite.
    """
    found = _suites_by_case(decisions)
    return [command(suites, case_id, _given(run)) for case_id, suites in found.items()]


def accept_commands(run: RunFile, decisions: Iterable[Decision]) -> list[str]:
    """Return the commands that store these decisions' suites as baselines, one a case."""
    words = [*(word for word in _given(run) if word != _STAGED), UPDATE]
    found = _suites_by_case(decisions)
    return [command(suites, case_id, words) for case_id, suites in found.items()]


def reproduce_command(run: RunFile, decision: Decision) -> str | None:
    """Return the command that measures a decision's case and suite again; None without one."""
    return next(iter(reproduce_commands(run, [decision])), None)


def accept_command(run: RunFile, decision: Decision) -> str | None:
    """Return the command that stores a decision's case and suite; None without one."""
    return next(iter(accept_commands(run, [decision])), None)


def baseline_files(run: RunFile, decisions: Iterable[Decision]) -> list[str]:
    """Return the files that `accept_commands` rewrite, relative to the manifest."""
    folder = _options(run).get("--gate-baselines")
    folder = folder if isinstance(folder, str) and len(folder) <= _LONGEST else "baselines"
    parts = (case_id.split("-", 1) for case_id in _suites_by_case(decisions))
    return [str(PurePosixPath(folder, model, f"{rest}.json")) for model, rest in parts]


def left_to_add(run: RunFile) -> list[str]:
    """Name the options that changed the figures and that no command repeats: their paths."""
    given = _options(run)
    return [name for name in _FILES if given.get(name) and not _word(name, given[name])]


def is_case(case_id: str) -> bool:
    """Whether a text is the id of a case, `<model>-<variant>-<backend>-<provider>`."""
    parts = case_id.split("-")
    return len(parts) == 4 and len(case_id) <= _LONGEST and all(map(SLUG.fullmatch, parts))


def _suites_by_case(decisions: Iterable[Decision]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for decision in decisions:
        suite = decision.task.partition(".")[0]
        if suite in SUITE_MARKERS and is_case(decision.case_id):
            found.setdefault(decision.case_id, set()).add(suite)
    return {case_id: [s for s in SUITE_MARKERS if s in suites] for case_id, suites in found.items()}


def _given(run: RunFile) -> list[str]:
    given = _options(run)
    words = [_word(name, given.get(name)) for name in _REPEATED]
    return [word for word in words if word and word != f"{_CONFIG}={MANIFEST_NAME}"]


def _word(name: str, value: object) -> str:
    """An option as a word of a command; "" where its value isn't plain."""
    if value is True:
        return name
    plain = isinstance(value, int | str) and SLUG.fullmatch(str(value))
    return f"{name}={value}" if plain else ""


def _options(run: RunFile) -> dict[str, Any]:
    given = run.facts.get("options")
    return given if isinstance(given, dict) else {}
