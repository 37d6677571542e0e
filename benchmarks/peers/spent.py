"""What the record of one of quantgate's sides tells of its time, inside the runtime and outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GIGA = 1e9


@dataclass(frozen=True)
class Spent:
    """Where the time of a side went.

    Attributes:
        record: made with a package, so that it has `useful_flops` (see `record`).
    """

    record: dict[str, Any]

    @property
    def runtime_seconds(self) -> float:
        """Time inside the runtime's calls, of all parts of the model."""
        return float(sum(self.record["runtime_seconds"].values()))

    @property
    def overhead(self) -> float:
        """Share of the evaluation that is spent outside the runtime's calls, 0 to 1."""
        return 1 - self.runtime_seconds / float(self.record["seconds"])

    @property
    def best(self) -> float:
        """The machine's best rate of fp32 matrix products, in operations a second."""
        return GIGA * float(self.record["gflops_measured"]["peak"])

    @property
    def rate(self) -> float:
        """Useful operations a second of the whole evaluation."""
        return float(sum(self.record["useful_flops"].values())) / float(self.record["seconds"])

    @property
    def body_share(self) -> float | None:
        """Useful operations a second inside the body over the best; None where it isn't apart."""
        seconds = self.record["runtime_seconds"].get("body")
        return self.record["useful_flops"]["body"] / seconds / self.best if seconds else None

    def row(self, side: str) -> dict[str, Any]:
        """A row of the table; times in seconds, rates in 10^9 operations a second."""
        return {
            "side": side,
            "tokenisation s": self.record["encode_seconds"],
            "planning s": self.record["planning_seconds"],
            "runtime s": self.runtime_seconds,
            "evaluation s": self.record["seconds"],
            "overhead": self.overhead,
            "tokens computed": self.record["tokens_computed"],
            "useful GFLOP/s": self.rate / GIGA,
            "best GFLOP/s": self.best / GIGA,
            "of the best": self.rate / self.best,
            "body, of the best": self.body_share,
        }
