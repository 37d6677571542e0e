"""The targets on the performance page: a sentence, tables and the overview's bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.output import NOTHING, Row
from benchmarks.performance.plots import Bar
from benchmarks.performance.steps import SIZES


@dataclass(frozen=True)
class Aim:
    """A target, and where it was measured.

    Attributes:
        title: of the benchmark.
        size: of the model, or "".
        precision: of the package, or "".
        what: is compared.
        ours: the side of quantgate, or "".
        peer: the other side, or "".
        ratio: measured.
        wanted: the least that is aimed at.
        reached: whether it is, as the benchmark says; never where its step failed.
        judged: whether its step ended well.
    """

    title: str
    size: str
    precision: str
    what: str
    ours: str
    peer: str
    ratio: float
    wanted: float
    reached: bool
    judged: bool

    @property
    def row(self) -> Row:
        """For a table beside the step's figures."""
        figures = {"ratio": self.ratio, "wanted": self.wanted}
        return {"target": self.what, **figures, "verdict": self._verdict}

    @property
    def full_row(self) -> Row:
        """For a table of several steps."""
        model = f"{self.size} {self.precision}".strip() or NOTHING
        return {"benchmark": self.title, "model": model, **self.row}

    @property
    def _verdict(self) -> str:
        if not self.judged:
            return "not judged: its step failed"
        if self.reached:
            return "reached"
        known = math.isfinite(self.ratio) and self.wanted > 0
        if not known:
            return "missed: no figure"
        # Rounded down: what is missed is never all of it.
        return f"missed: {math.floor(100 * self.ratio / self.wanted)}% of it"

    @property
    def bar(self) -> Bar:
        """For the overview, where a colour tells the backend of quantgate's side."""
        group = ", ".join(filter(None, (self.title, self.precision)))
        backend = self.ours.partition(" ")[0].rpartition("-")[2]
        return Bar(group, self.what, backend, self.ratio, self.wanted)


def aims(document: Mapping[str, Any], title: str) -> list[Aim]:
    """The targets of what a step kept; `title` is that of its benchmark."""
    step = document["step"]
    return [
        Aim(
            title=title,
            size=step["size"],
            precision=step["precision"],
            what=_without_model(str(target["what"]), step["precision"]),
            ours=str(target.get("ours", "")),
            peer=str(target.get("peer", "")),
            ratio=float(target["ratio"]),
            wanted=float(target["wanted"]),
            reached=bool(target["reached"]) and not step["exit_code"],
            judged=not step["exit_code"],
        )
        for target in document.get("page", {}).get("targets", ())
    ]


def _without_model(what: str, precision: str) -> str:
    """Without a beginning such as `135m fp32: `, which stands beside it on the page."""
    where, _, rest = what.partition(": ")
    return rest if rest and precision and precision in where else what


def largest_size(found: Sequence[Aim]) -> str:
    """Of the models that were measured, or "" where none has a size."""
    sizes = [size for size in SIZES if any(aim.size == size for aim in found)]
    return sizes[-1] if sizes else ""


def first_told(found: Sequence[Aim]) -> list[Aim]:
    """The largest model's, and those that belong to no size."""
    return [aim for aim in found if aim.size in ("", largest_size(found))]


def lead(found: Sequence[Aim], failed: int, missing: int) -> str:
    """What the page begins with."""
    first = first_told(found)
    told = [f"{_reached(first)} targets are reached"] if found else ["No target was measured"]
    if len(first) < len(found):
        told[0] += f" at {largest_size(found)}, {_reached(found)} at all sizes"
    if failed:
        told.append(f"{failed} {'step' if failed == 1 else 'steps'} failed")
    if missing:
        told.append(f"{missing} {'step was' if missing == 1 else 'steps were'} not run")
    return " ".join(f"{sentence}." for sentence in told)


def _reached(found: Sequence[Aim]) -> str:
    return f"{sum(aim.reached for aim in found)} of {len(found)}"


def bars(found: Sequence[Aim]) -> list[Bar]:
    """Ratios to peers, without those for which a logarithmic axis has no place."""
    drawn = [aim for aim in found if aim.judged and aim.peer and aim.wanted > 0]
    return [aim.bar for aim in drawn if 0 < aim.ratio < math.inf]
