"""Which tests pytest-xdist gives to one worker together: those of one model and variant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_CASE = re.compile(r"\[([^\[\]]+)\]")


class CaseScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Spreads groups of tests over workers; any other test is a group of its own.

    Args:
        config: pytest's.
        log: pytest-xdist's.
        groups: group of each case by its id.
    """

    def __init__(self, config: Any, log: Any, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._groups = groups

    def _split_scope(self, nodeid: str) -> str:
        """The group of a test, by the case in its name."""
        found = [self._groups[name] for name in _CASE.findall(nodeid) if name in self._groups]
        return found[0] if found else nodeid
