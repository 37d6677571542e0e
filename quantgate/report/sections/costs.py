"""What the cases of a model take: size on disk and speed of generation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from quantgate.report.charts.tradeoff import Scale
from quantgate.report.sections.parts import attempt
from quantgate.report.sections.sides import Sides
from quantgate.results import Measurement

SIZE: Final = Scale("size on disk, MiB", rising=False)
SPEEDUP: Final = Scale("generation, times the reference's", rising=True)
SPEED: Final = Scale("generation, tokens/s", rising=True)


@dataclass(frozen=True, slots=True)
class Costs:
    """One thing that cases take.

    Attributes:
        name: `size` or `speed`.
        scale: the axis that it is drawn on.
        cases: figures by case, all above 0.
    """

    name: str
    scale: Scale
    cases: Mapping[str, float]


def sizes(cases: Sequence[str], sides: Sides) -> Costs:
    """Of packages; a reference's from what its candidates save, where it wasn't measured itself."""
    found = _scores(cases, sides, "memory", "disk_mib")
    savings = _scores(cases, sides, "memory", "disk_saving")
    for case in cases:
        reference = sides.reference_of(case)
        if reference is not None and case in found and case in savings:
            found.setdefault(reference, found[case] * savings[case])
    return Costs("size", SIZE, found)


def speeds(cases: Sequence[str], sides: Sides) -> Costs:
    """Speedups where all candidates have the same reference, else tokens a second."""
    candidates = [case for case in cases if not sides.is_anchor(case)]
    found = _scores(candidates, sides, "speed", "generation_speedup")
    references = {sides.reference_of(case) for case in found}
    reference = references.pop() if len(references) == 1 else None
    if reference is not None:
        return Costs("speed", SPEEDUP, {reference: 1.0, **found})
    return Costs("speed", SPEED, _scores(cases, sides, "speed", "generation_tokens_per_s"))


def _scores(cases: Sequence[str], sides: Sides, task: str, metric: str) -> dict[str, float]:
    """A figure of each case, where it has one that can be drawn."""
    found = {}
    for side in sides.of(task):
        value, _ = attempt(_value, side.measurement, metric)
        if side.case_id in cases and value is not None and math.isfinite(value) and value > 0:
            found[side.case_id] = value
    return found


def _value(measurement: Measurement, metric: str) -> float:
    return measurement.score(metric).value
