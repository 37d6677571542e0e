"""Who is held against whom: a run's measurements in the manifest's order, with their references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantgate.results import Measurement
from quantgate.run_file import RunFile


@dataclass(frozen=True, slots=True)
class Side:
    """A measurement with its reference's of the same task; None where the run has none.

    Attributes:
        number: which series its case is in every chart, from 0.
    """

    measurement: Measurement
    reference: Measurement | None
    number: int

    @property
    def case_id(self) -> str:
        """The case's name."""
        return self.measurement.case_id


class Sides:
    """Looks up cases, in the manifest's order, and their references."""

    def __init__(self, run: RunFile) -> None:
        self._run = run
        listed = mapping(run.facts.get("configuration")).get("cases")
        named = [mapping(case) for case in listed] if isinstance(listed, list) else []
        self._references = {
            _case_id(case): _case_id(mapping(case["reference"]))
            for case in named
            if case.get("reference")
        }
        ids = [*map(_case_id, named), *(each.case_id for each in run.measurements)]
        ids += [each.case_id for each in run.decisions]
        self.cases = tuple(dict.fromkeys(ids))
        measured = dict.fromkeys(self._references.values())
        candidates = [case for case in self.cases if case not in measured]
        self._numbers = {case: number for number, case in enumerate(candidates)}

    def of(self, suite: str) -> list[Side]:
        """The measurements of a suite, by task and then by case."""
        found = [m for m in self._run.measurements if m.task.partition(".")[0] == suite]
        tasks = list(dict.fromkeys(m.task for m in found))
        order = {case: place for place, case in enumerate(self.cases)}
        found.sort(key=lambda m: (tasks.index(m.task), order[m.case_id]))
        return [self._side(measurement) for measurement in found]

    def is_anchor(self, case_id: str) -> bool:
        """Whether other cases are held against this one."""
        return case_id in self._references.values()

    def reference_of(self, case_id: str) -> str | None:
        """The case that this one is held against; None for one without."""
        return self._references.get(case_id)

    def number_of(self, case_id: str) -> int | None:
        """Which series a case is in every chart, from 0; None for a reference."""
        return self._numbers.get(case_id)

    def _side(self, measurement: Measurement) -> Side:
        name = self._references.get(measurement.case_id)
        reference = None if name is None else self._run.measurement(name, measurement.task)
        return Side(measurement, reference, self._numbers.get(measurement.case_id, 0))


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def _case_id(case: Mapping[str, Any]) -> str:
    if "id" in case:
        return str(case["id"])
    parts = (str(case.get(part, "")) for part in ("model", "variant", "backend", "provider"))
    return "-".join(parts)
