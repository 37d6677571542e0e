"""What a run over all of MMLU tells: times for all questions, where ours go, what is reached.

Ratios are between times for all questions: quantgate's measured, the others' multiplied by what
`Scale` says.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.output import PageTable, PageTarget
from benchmarks.peers.comparison import Compared, Record, Runs, told_failures
from benchmarks.peers.full_forward_side import NAME as FULL_FORWARD
from benchmarks.peers.in_common import OURS, InCommon, batch_size, in_common, is_whole
from benchmarks.peers.inputs import REFERENCE
from benchmarks.peers.mmlu import PEERS, accuracy
from benchmarks.peers.ratios import Target, page_targets, ratio_rows
from benchmarks.peers.shares import Scale
from benchmarks.peers.spent import Spent

SAME_BACKEND = {
    "torch": ("lm-eval-hf",),
    "ort": ("lm-eval-ort", "olive-ort"),
    "ortgenai": ("lm-eval-ortgenai", "olive-ortgenai"),
}
BUSY = 0.9  # of the threads asked for
NOT_FREE = "cores weren't free"
# The size whose share of the machine is aimed at; smaller ones leave the runtime more often.
LARGE, INSIDE, OF_BEST = "135m", 0.9, 0.6


def seconds_for_all(records: Sequence[Record]) -> float:
    """Median time for all questions, measured or scaled."""
    return statistics.median(float(record["all_seconds"]) for record in records)


TARGETS = tuple(
    Target(f"{OURS}{backend}", others, least, what, seconds_for_all)
    for backend, same in SAME_BACKEND.items()
    for others, least, what in (
        (same, 6.0, "the same backend's fastest"),
        (tuple(PEERS), 4.5, "the fastest of all"),
        ((FULL_FORWARD,), 7.0, "one full forward per question"),
    )
)


@dataclass(frozen=True)
class WholeRun:
    """All sides at one size and precision.

    Attributes:
        size: of the model, or its name.
        measured: the sides' records as they were written.
        share: all but quantgate's sides answered the fixed part of one in so many questions.
    """

    size: str
    measured: Compared
    share: int

    @property
    def name(self) -> str:
        """What was run, for titles."""
        return f"MMLU, {self.size} {self.measured.precision}"

    @cached_property
    def scale(self) -> Scale:
        """All questions beside the part, counted in a record that has all.

        Raises:
            SystemExit: no side of quantgate was measured.
        """
        for side, (record, *_) in self.measured.records.items():
            if is_whole(side):
                subjects = record["subjects"].values()
                return Scale.of([subject["prompt_tokens"] for subject in subjects], self.share)
        raise SystemExit(f"{self.name}: only the record of a side of quantgate tells how to scale")

    @cached_property
    def compared(self) -> Compared:
        """The records with `all_seconds`, and with what they have `in_common` with the first side.

        Raises:
            SystemExit: sides answered other questions.
        """
        first, (base, *_) = next(iter(self.measured.records.items()))
        found: Runs = {}
        for side, records in self.measured.records.items():
            factor = 1.0 if is_whole(side) else self.scale.by_tokens(batch_size(side))
            found[side] = [
                {
                    **record,
                    "all_seconds": factor * record["seconds"],
                    "in_common": in_common((first, base), (side, record), self.share),
                }
                for record in records
            ]
        return replace(self.measured, records=found)

    @property
    def max_delta(self) -> float:
        """Largest of all differences, in nats; NaN where there is one."""
        return float(np.max([found.difference for found in self._in_common]))

    @property
    def most_read_otherwise(self) -> float:
        """Largest share of a side's questions that its tokenizer reads as other ids."""
        return max(found.read_otherwise / found.asked for found in self._in_common)

    @property
    def _in_common(self) -> list[InCommon]:
        records = self.compared.records.values()
        return [record["in_common"] for each in records for record in each]

    @property
    def ratios(self) -> list[dict[str, Any]]:
        """A row for each ratio aimed at whose sides were measured."""
        return ratio_rows(TARGETS, self.compared.records, self.compared.failed)

    @property
    def spent(self) -> dict[str, Spent]:
        """Where the time of quantgate's sides went, by side."""
        records = self.compared.records.items()
        return {side: Spent(each[-1]) for side, each in records if is_whole(side)}

    def tables(self) -> list[PageTable]:
        """Times of all sides, and the parts of quantgate's."""
        note = (
            "Evaluation is planning, calls of the runtime, and what lies between them; overhead is "
            "the share of it outside the runtime. Of the best: useful operations a second over the "
            "best rate of fp32 matrix products, which is measured before and after each side. int4 "
            "computes in int8, so there it only orients."
        )
        parts = [spent.row(side) for side, spent in self.spent.items()]
        return [
            PageTable(
                f"{self.name}: all questions",
                self.compared.rows("question", _columns),
                self._scaling(),
            ),
            PageTable(f"{self.name}: where quantgate's time goes", parts, note),
        ]

    def _scaling(self) -> str:
        scale, first = self.scale, next(iter(self.measured.records))
        told = (
            f"quantgate answers all {len(scale.whole)} questions of {scale.subjects} subjects "
            f"({sum(scale.whole)} prompt tokens), every other side those numbered 0, {self.share}, "
            f"{2 * self.share}, … of each subject: {len(scale.part)} of them "
            f"({sum(scale.part)} prompt tokens). `all s` is their time times {self._factors()}, "
            "the ratio of the tokens that they compute, padding included; that of questions would "
            f"be {scale.by_questions:.4f}. Memory isn't scaled: quantgate's is that of all "
            f"questions. Differences in nats from {first}, of the questions in common; those that "
            "the side's own tokenizer reads as other ids are counted and left out. With less "
            f"than {BUSY:.0%} of the threads busy, other jobs may have held the cores; at a small "
            "model it may be the work between its runs."
        )
        return told_failures(told, self.measured.failed)

    def _factors(self) -> str:
        told = (
            f"{self.scale.by_tokens(n):.4f}" + (f" in batches of {n}" if n > 1 else "")
            for n in self._batch_sizes
        )
        return " and ".join(told)

    @property
    def _batch_sizes(self) -> list[int]:
        """Those of the sides that answer the part."""
        return sorted({batch_size(side) for side in self.measured.records if not is_whole(side)})

    def targets(self) -> list[PageTarget]:
        """Ratios, and for the large model how much of the time and of the machine is used."""
        found = page_targets(self.ratios, self.name)
        if self.size != LARGE:
            return found
        for side, spent in self.spent.items():
            what = f"{self.name}: {side}, share of the time inside the runtime"
            found.append(PageTarget(what, 1 - spent.overhead, INSIDE))
            if spent.body_share is not None and self.measured.precision == REFERENCE:
                what = f"{self.name}: {side}, the body's share of the best matrix products"
                found.append(PageTarget(what, spent.body_share, OF_BEST))
        return found

    def results(self) -> dict[str, Any]:
        """JSON-ready: all that was measured but the figures of single questions."""
        return {
            "max_delta": self.max_delta,
            "scale": {
                "by_questions": self.scale.by_questions,
                "by_tokens": {str(n): self.scale.by_tokens(n) for n in self._batch_sizes},
            },
            "ratios": self.ratios,
            "failed": {
                side: next(each["failed"] for each in records if "failed" in each)
                for side, records in self.measured.runs.items()
                if side in self.measured.failed
            },
            "records": {
                side: [_without_questions(each) for each in records]
                for side, records in self.compared.records.items()
            },
        }


def _columns(record: Record) -> dict[str, Any]:
    threads = record["threads"]
    return {
        "questions": record["count"],
        "all s": record["all_seconds"],
        "cores": NOT_FREE if threads["busy"] < BUSY * threads["asked"] else None,
        "largest difference": record["in_common"].difference,
        "other ids": record["in_common"].read_otherwise,
        "accuracy": accuracy(record),
        "measured": record["made"],
    }


def _without_questions(record: Record) -> dict[str, Any]:
    kept = {name: each for name, each in record.items() if name not in {"subjects", "in_common"}}
    return {**kept, **asdict(record["in_common"])}
