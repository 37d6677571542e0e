"""What was found, and whether a run would fail because of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from quantgate.errors import GateError


class Level(StrEnum):
    """What a finding means for a run."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact.

    Attributes:
        section: what it is about.
        what: the fact, in words.
        level: what it means for a run.
        fix: the command or edit that mends it.
    """

    section: str
    what: str
    level: Level = Level.OK
    fix: str = ""


def failed(section: str, fault: GateError) -> Finding:
    """The finding that a fault is."""
    told = f"[{fault.code}] needs {fault.need}; found {fault.found}"
    return Finding(section, told, Level.FAIL, fault.fix)
