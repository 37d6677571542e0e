"""What each variant of a model keeps of its reference, against its size and its speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from quantgate.report.charts.tradeoff import Scale, Spot, tradeoff_chart
from quantgate.report.numbers import number
from quantgate.report.sections.costs import Costs, sizes, speeds
from quantgate.report.sections.kept import Kept, Measure, measures
from quantgate.report.sections.parts import MISSING, Numbering, Plot, Table, attempt, table
from quantgate.report.sections.sides import Sides
from quantgate.run_file import RunFile
from quantgate.stats import pareto_front

_PARTS: Final = 4  # of a case's name: model, variant, backend, provider


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """One model: a chart for size and one for speed, as far as they were measured."""

    model: str
    plots: tuple[Plot, ...]
    table: Table
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The cases of one model that are shown, by what they keep.

    Attributes:
        numbers: which series each is in every chart; None for a reference.
    """

    measure: Measure
    kept: Mapping[str, Kept]
    names: Mapping[str, str]
    numbers: Mapping[str, int | None]


def tradeoffs(run: RunFile, sides: Sides, numbering: Numbering) -> list[Tradeoff]:
    """Return a picture for each model whose size or speed was measured beside what it keeps."""
    every = measures(run, sides)
    models: dict[str, list[str]] = {}
    for case in sides.cases:
        models.setdefault(case.partition("-")[0], []).append(case)
    made = (_of_model(name, cases, every, sides, numbering) for name, cases in models.items())
    return [each for each in made if each is not None]


def _of_model(
    model: str, cases: Sequence[str], every: Sequence[Measure], sides: Sides, numbering: Numbering
) -> Tradeoff | None:
    costs = [sizes(cases, sides), speeds(cases, sides)]
    measured = {case for each in costs for case in each.cases}
    measure = next((each for each in every if measured.intersection(cases, each.cases)), None)
    if measure is None:
        return None
    costs = [each for each in costs if measure.cases.keys() & each.cases.keys()]
    kept = {
        case: own
        for case in cases
        if any(case in each.cases for each in costs)
        and (own := _kept(case, measure, sides)) is not None
    }
    numbers = {case: sides.number_of(case) for case in kept}
    chosen = _Chosen(measure, kept, _names(list(kept)), numbers)
    fronts = [_front(chosen, each) for each in costs]
    drawn = [
        _plot(model, chosen, each, front, numbering)
        for each, front in zip(costs, fronts, strict=True)
    ]
    known = measured.union(measure.cases)  # engines whose agreement was measured have neither
    rest = [c for c in cases if c in known and c not in kept and not sides.is_anchor(c)]
    remarks = [measure.remark, *(remark for _, remark in drawn)]
    if rest:
        remarks.append(f"Without a point, as something was not measured: {', '.join(rest)}.")
    listed = _table(model, chosen, costs, fronts)
    return Tradeoff(model, tuple(plot for plot, _ in drawn), listed, tuple(filter(None, remarks)))


def _kept(case: str, measure: Measure, sides: Sides) -> Kept | None:
    """What a case keeps; a reference keeps all of itself."""
    if sides.is_anchor(case):
        return Kept(measure.itself, measure.itself, measure.itself)
    return measure.cases.get(case)


def _names(cases: Sequence[str]) -> dict[str, str]:
    """`int4`, or `int4 · ort` where a variant ran on several backends, and so with providers."""
    parts = {case: case.split("-") for case in cases}
    if any(len(each) != _PARTS for each in parts.values()):
        return {case: case for case in cases}
    told = [1]
    for place in (2, 3):
        ways: dict[str, set[str]] = {}
        for each in parts.values():
            ways.setdefault(each[1], set()).add(each[place])
        if any(len(each) > 1 for each in ways.values()):
            told.append(place)
    return {case: " · ".join(each[place] for place in told) for case, each in parts.items()}


def _front(chosen: _Chosen, costs: Costs) -> dict[str, bool]:
    """Whether each case that has both figures is on the Pareto front of them."""
    cases = [case for case in chosen.kept if case in costs.cases]
    signs = (1 if costs.scale.rising else -1), (1 if chosen.measure.rising else -1)
    points = [(signs[0] * costs.cases[c], signs[1] * chosen.kept[c].value) for c in cases]
    return dict(zip(cases, pareto_front(points), strict=True))


def _plot(
    model: str, chosen: _Chosen, costs: Costs, front: Mapping[str, bool], numbering: Numbering
) -> tuple[Plot, str]:
    """The chart, and which names had no room in it."""
    measure, title = chosen.measure, f"{chosen.measure.title} against {costs.name}, {model}"
    spots = [
        Spot(
            name=chosen.names[case],
            number=chosen.numbers[case],
            x=costs.cases[case],
            y=chosen.kept[case].value,
            low=chosen.kept[case].low,
            high=chosen.kept[case].high,
            front=on_it,
        )
        for case, on_it in front.items()
    ]
    up = Scale(measure.title, measure.rising)
    drawn, fault = attempt(
        tradeoff_chart, spots, costs.scale, up, ident=numbering.next(), title=title
    )
    svg, unnamed = drawn or ("", ())
    remark = fault or (f"No room for the names of {', '.join(unnamed)}." if unnamed else "")
    return Plot(svg, title, (), None), remark


def _table(
    model: str, chosen: _Chosen, costs: Sequence[Costs], fronts: Sequence[Mapping[str, bool]]
) -> Table:
    """Every point with its figures, and the fronts that it is on."""
    rows = []
    for case, kept in chosen.kept.items():
        figures = [number(c.cases[case]) if case in c.cases else MISSING for c in costs]
        known = kept.low < kept.high
        interval = f"{number(kept.low)} to {number(kept.high)}" if known else MISSING
        on = [each.name for each, front in zip(costs, fronts, strict=True) if front.get(case)]
        told = " and ".join(on) or MISSING
        rows.append((chosen.names[case], *figures, number(kept.value), interval, told))
    axes = [each.scale.title for each in costs]
    headings = ("variant", *axes, chosen.measure.title, "95 % interval", "on the Pareto front of")
    return table(f"Variants of {model}", headings, rows, words={0, len(headings) - 1})
