"""What a model answered to requests: a log-probability and a most likely id a scored position.

Flat arrays over all scored positions, request by request, so that a million of them cost no more
than their numbers; and, for requests with a place, divergences by place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from quantgate.errors import InvalidMeasurement
from quantgate.requests import NO_TARGET, Request

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to R requests with T scored positions, of which P have a place.

    Attributes:
        offsets: request r has the entries `offsets[r]` to `offsets[r + 1]`, int64 `[R + 1]`.
        logprobs: log-probability of each target in nats, float64 `[T]`; NaN for `NO_TARGET`.
        top: most likely next id, of equal ones the lowest, int64 `[T]`.
        kl, abs_log_ratio, same_top: divergence from the reference by place (see
            `metrics.divergence`), float64 `[P]`; of a case without one, from itself;
            empty where nothing was compared.
    """

    offsets: NDArray[np.int64]
    logprobs: Vector
    top: NDArray[np.int64]
    kl: Vector
    abs_log_ratio: Vector
    same_top: Vector

    @classmethod
    def blank(cls, requests: Sequence[Request], *, compared: bool) -> Answers:
        """Answers to be filled in, NaN and -1 everywhere."""
        offsets = offsets_of(requests)
        count = int(offsets[-1])
        places = places_of(requests) if compared else 0
        return cls(
            offsets,
            np.full(count, np.nan),
            np.full(count, -1, dtype=np.int64),
            *(np.full(places, np.nan) for _ in range(3)),
        )

    @property
    def totals(self) -> Vector:
        """Sum of every request's log-probabilities, `[R]`."""
        return np.add.reduceat(self.logprobs, self.offsets[:-1])

    def of(self, request: int) -> slice:
        """Entries of a request."""
        return slice(int(self.offsets[request]), int(self.offsets[request + 1]))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name, to be kept; `from_arrays` takes them back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Answers:
        """Answers that were kept; KeyError where an array is missing."""
        return cls(**{field.name: np.array(arrays[field.name]) for field in fields(cls)})

    def require_complete(self, requests: Sequence[Request]) -> None:
        """Refuse answers with a gap: a partial figure is no figure.

        Raises:
            InvalidMeasurement: `rows-missing`; `divergence-negative` below -1e-9 nats.
        """
        targets = np.concatenate([np.asarray(request.targets) for request in requests])
        missing = int((np.isnan(self.logprobs) & (targets != NO_TARGET)).sum())
        missing += int((self.top < 0).sum()) + int(np.isnan(self.kl).sum())
        if missing:
            raise InvalidMeasurement(
                "rows-missing",
                need=f"answers for all {len(targets)} scored positions",
                found=f"{missing} missing",
                fix="run again; if it persists, report it with the package's layout",
            )
        if (lowest := float(self.kl.min(initial=0.0))) < -1e-9:
            raise InvalidMeasurement(
                "divergence-negative",
                need="KL divergences of at least -1e-9 nats",
                found=f"{lowest:g}",
                fix="report this: the two distributions can't both sum to one",
            )


def offsets_of(requests: Sequence[Request]) -> NDArray[np.int64]:
    """Where each request's entries begin, and the end of the last, int64 `[R + 1]`."""
    counts = [0, *(len(request.scored) for request in requests)]
    return np.cumsum(counts, dtype=np.int64)


def places_of(requests: Sequence[Request]) -> int:
    """Number of places that the requests' rows fill."""
    stops = (r.place + r.scored[-1] + 1 for r in requests if r.place is not None)
    return max(stops, default=0)
