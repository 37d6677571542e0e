"""The precision of every layer, by variant, as a run's measurements carry it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quantgate.packages.precision_map import KEY, PrecisionMap, read_map
from quantgate.results import Measurement


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of a run.

    Attributes:
        by_name: map of each variant `<model>-<variant>`, or of its cases where these differ.
        faults: what is wrong with those that can't be read.
    """

    by_name: dict[str, PrecisionMap]
    faults: tuple[str, ...]

    @property
    def warnings(self) -> list[str]:
        """A line for each whose Q, K and V differ somewhere."""
        return [f"{name}: {each.warning}" for name, each in self.by_name.items() if each.warning]


def maps_of(measurements: Iterable[Measurement]) -> Maps:
    """The maps that `measurements` carry; those of older runs carry none."""
    found: dict[str, dict[str, PrecisionMap]] = {}
    faults: dict[str, None] = {}
    for each in measurements:
        cases = found.setdefault(_variant(each.case_id), {})
        if KEY not in each.detail or each.case_id in cases:
            continue
        try:
            cases[each.case_id] = read_map(each.detail[KEY])
        except ValueError as error:
            faults[f"{each.case_id}: {error}"] = None
    by_name: dict[str, PrecisionMap] = {}
    for name, cases in found.items():
        maps = list(cases.values())
        if maps and all(each == maps[0] for each in maps):
            by_name[name] = maps[0]
        else:  # one engine was told another accuracy level
            by_name |= cases
    return Maps(by_name, tuple(faults))


def _variant(case_id: str) -> str:
    """`tiny-int4` of `tiny-int4-ort-cpu`."""
    return "-".join(case_id.split("-")[:2])
