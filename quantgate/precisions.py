"""Adds to measurements in which precision every layer of their package is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from quantgate.cases import Case, Package
from quantgate.errors import GateError
from quantgate.packages.package import open_package
from quantgate.packages.precision_map import KEY, package_map
from quantgate.results import Measurement
from quantgate.sessions import TORCH, Sessions


class Precisions:
    """Maps of packages, each made once; what PyTorch runs is no package and has none.

    Args:
        sessions: knows the folders.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._maps: dict[tuple[Package, int | None], list[dict[str, Any]] | None] = {}

    def described(self, case: Case, measurement: Measurement) -> Measurement:
        """The measurement of `case` with the map of its package in `detail`."""
        if case.backend == TORCH:
            return measurement
        key = case.package, case.options.get("accuracy_level")
        if key not in self._maps:
            self._maps[key] = _map(self._sessions.folder(case), key[1])
        found = self._maps[key]
        if found is None:
            return measurement
        return replace(measurement, detail={**measurement.detail, KEY: found})


def _map(folder: Path, accuracy_level: int | None) -> list[dict[str, Any]] | None:
    """The map as JSON values; None where the package can't be read, which its backend tells."""
    try:
        return package_map(open_package(folder), accuracy_level).as_json()
    except GateError:
        return None
