"""The tables of speed, memory and size: what each case comes to, and its ratio to the reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quantgate.report.numbers import number
from quantgate.report.text_table import Column, TextTable
from quantgate.results import Measurement

if TYPE_CHECKING:
    from rich.console import Console

SPEED: Final = "speed"
MEMORY: Final = "memory"
MISSING: Final = "-"
_TITLES: Final = {
    SPEED: "speed in tokens/s, and how many times the reference's",
    MEMORY: "memory of a model's process and size on disk in MiB, and how much less than the "
    "reference's",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its ratio to the reference's.

    Attributes:
        heading: of its column.
        metric: the figure's.
        ratio: the ratio's metric.
        factor: what the figure is multiplied by.
    """

    heading: str
    metric: str
    ratio: str
    factor: float = 1.0

    def known(self, measurement: Measurement) -> bool:
        """Whether it was measured."""
        return any(score.metric == self.metric for score in measurement.scores)

    def told(self, measurement: Measurement) -> str:
        """`182 (1.85 x)`; the ratio is left out where a case is held against itself."""
        scores = {score.metric: score.value for score in measurement.scores}
        if self.metric not in scores:
            return MISSING
        shown = _short(scores[self.metric] * self.factor)
        if measurement.detail.get("reference") == measurement.case_id or self.ratio not in scores:
            return shown
        return f"{shown} ({number(scores[self.ratio])} x)"


GENERATION: Final = Figure("generation", "generation_tokens_per_s", "generation_speedup")
FIRST_TOKEN: Final = Figure("first token, ms", "first_token_s", "first_token_speedup", 1000.0)
PEAK: Final = Figure("peak", "peak_mib", "peak_saving")
DEVICE_PEAK: Final = Figure("peak on the device", "peak_device_mib", "device_saving")
ON_DISK: Final = Figure("on disk", "disk_mib", "disk_saving")
_LOADING: Final = Figure("loading", "loading_mib", "loading_saving")
_LOADED: Final = Figure("loaded", "resident_mib", "resident_saving")
_READS: Final = "prefill_tokens_per_s."


def print_performance(measurements: Iterable[Measurement], console: Console) -> None:
    """Print a table of each that was measured, a row a case."""
    found = list(measurements)
    for task, figures in ((SPEED, _speeds), (MEMORY, _sizes)):
        own = [each for each in found if each.task == task]
        if not own:
            continue
        shown = figures(own)
        columns = [Column(figure.heading, right=True) for figure in shown]
        table = TextTable([Column("case", whole=True), *columns], console, _TITLES[task])
        for measurement in own:
            table.add(measurement.case_id, *(figure.told(measurement) for figure in shown))
        table.print()


def known_anywhere(figure: Figure, measurements: Sequence[Measurement]) -> tuple[Figure, ...]:
    """Return the figure where any case has it, and nothing else."""
    return (figure,) if any(map(figure.known, measurements)) else ()


def _speeds(measurements: Sequence[Measurement]) -> tuple[Figure, ...]:
    lengths = {
        int(score.metric.removeprefix(_READS))
        for measurement in measurements
        for score in measurement.scores
        if score.metric.startswith(_READS)
    }
    return (GENERATION, FIRST_TOKEN, *map(_prefill, sorted(lengths)))


def _prefill(length: int) -> Figure:
    return Figure(f"prefill {length}", f"{_READS}{length}", f"prefill_speedup.{length}")


def _sizes(measurements: Sequence[Measurement]) -> tuple[Figure, ...]:
    device = known_anywhere(DEVICE_PEAK, measurements)
    return (PEAK, *device, _LOADING, _LOADED, ON_DISK)


def _short(value: float) -> str:
    """Three significant digits, as they are worth of a time or a size."""
    return number(value, 0 if value >= 100 else 1) if value >= 10 else number(value)
