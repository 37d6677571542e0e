"""What an update changes, in words: `mmlu accuracy 0.81 -> 0.80: 1.00 points worse`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantgate.baselines.schema import MetricEntry, TaskBaseline
from quantgate.report.numbers import change
from quantgate.results import Direction, Measurement, Tolerance

_PERPLEXITY = "perplexity"  # whose change is told in per cent of what it was


@dataclass(frozen=True, slots=True)
class Change:
    """One metric before and after; `unlike` says in words why the two can't be compared."""

    task: str
    metric: str
    old: MetricEntry | None
    new: MetricEntry | None
    direction: Direction | None = None
    unlike: Sequence[str] = ()

    def __str__(self) -> str:
        figures = f"{_figure(self.old)} -> {_figure(self.new)}"
        return f"{self.task} {self.metric} {figures}: {self._words()}"

    def _words(self) -> str:
        if self.new is None:
            return "removed, no policy asks for it"
        after = describe(self.new.tolerance.tolerance())
        if self.old is None:
            return f"new, tolerance {after}"
        before = describe(self.old.tolerance.tolerance())
        loosened = "" if before == after else f"; tolerance {before} -> {after}"
        if self.unlike or self.old.unit != self.new.unit:
            return f"not comparable ({'; '.join(self.unlike) or 'another unit'}){loosened}"
        return _compared(self.old, self.new, self.direction) + loosened


def changes(
    measurement: Measurement,
    old: TaskBaseline | None,
    new: TaskBaseline | None,
    unlike: Sequence[str] = (),
) -> list[Change]:
    """Return what becomes of each metric stored before or now, by name.

    Args:
        measurement: what `new` was made from.
        old: the entry before; None where there was none.
        new: the entry now; None where no policy asks for one.
        unlike: differences that make the two incomparable, in words.
    """
    before = {} if old is None else old.metrics
    after = {} if new is None else new.metrics
    directions = {score.metric: score.direction for score in measurement.scores}
    return [
        Change(
            measurement.task,
            metric,
            before.get(metric),
            after.get(metric),
            directions.get(metric),
            unlike,
        )
        for metric in sorted(before.keys() | after.keys())
    ]


def describe(tolerance: Tolerance) -> str:
    """Return a tolerance in words: `absolute 0.01`, `three_state 0.05 to 0.1`."""
    upper = "" if tolerance.at_risk is None else f" to {tolerance.at_risk!r}"
    return f"{tolerance.kind} {tolerance.value!r}{upper}"


def _figure(entry: MetricEntry | None) -> str:
    return "none" if entry is None else repr(entry.value)


def _compared(old: MetricEntry, new: MetricEntry, direction: Direction | None) -> str:
    delta = new.value - old.value
    if not delta:
        return "unchanged"
    if new.unit == _PERPLEXITY and old.value:
        amount = f"{change(abs(100 * delta / old.value), '')} %"
    else:
        amount = change(abs(delta), new.unit)
    better = (delta > 0) == (direction is Direction.HIGHER)
    return f"{amount} {'better' if better else 'worse'}"
