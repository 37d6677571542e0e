"""What a run file says of the stored baselines that its figures were held against.

`run.baselines` holds, by case and task, when and why a baseline was stored, the facts of the run
that it comes from and the identity of what computed it. Files of earlier versions have none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from quantgate.gate.findings import PACKAGE
from quantgate.report.sections.sides import mapping
from quantgate.results import Measurement
from quantgate.run_file import RunFile

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_SHORT: Final = 12


def stored(run: RunFile, measurement: Measurement) -> Mapping[str, Any]:
    """What is told of a measurement's baseline; empty where nothing is."""
    known = mapping(mapping(run.facts.get("baselines")).get(measurement.case_id))
    return mapping(known.get(measurement.task))


def short(text: str) -> str:
    """Return a digest's first characters; another text as it is."""
    return text[:_SHORT] if _DIGEST.fullmatch(text) else text


def package_is_same(run: RunFile, measurement: Measurement) -> bool | None:
    """Whether a measurement's package is its baseline's; None where that isn't known."""
    pair = _packages(run, measurement)
    return None if pair is None else pair[0] == pair[1]


def package_changed(run: RunFile, case_id: str) -> bool | None:
    """Whether a case's package differs from its baseline's; None where that isn't known."""
    own = (package_is_same(run, each) for each in run.measurements if each.case_id == case_id)
    known = [same for same in own if same is not None]
    return not all(known) if known else None


def changed_packages(run: RunFile) -> tuple[list[tuple[str, str, str]], int]:
    """Return the cases whose package differs from the baseline's, and how many are the baseline's.

    Each with the digest that the baseline names and the one of this run.
    """
    same: set[str] = set()
    differing: dict[str, tuple[str, str]] = {}
    for measurement in run.measurements:
        if pair := _packages(run, measurement):
            was, now = pair
            if was == now:
                same.add(measurement.case_id)
            else:
                differing.setdefault(measurement.case_id, pair)
    told = [(case_id, was, now) for case_id, (was, now) in differing.items()]
    return told, len(same - differing.keys())


def _packages(run: RunFile, measurement: Measurement) -> tuple[str, str] | None:
    """Digests of the package, the baseline's and this run's; None where one isn't known."""
    was = mapping(stored(run, measurement).get("identity")).get(PACKAGE)
    now = measurement.identity.get(PACKAGE)
    return (was, now) if isinstance(was, str) and isinstance(now, str) else None
