"""The messages of a generation, as frames: `generate` asks, `generated` answers.

Ids alone cross, and the seconds of each; logits stay with the backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.execution.frames import Frame, decoder
from quantgate.execution.orders import Generated, GenerateOrder
from quantgate.requests import Ids


def order_frame(number: int, order: GenerateOrder) -> Frame:
    """Ask for a generation."""
    values = {"number": number, "limit": order.limit, "capacity": order.capacity}
    stops = np.array(order.stop_ids, dtype=np.int64)
    return Frame("generate", values, {**_joined(order.rounds), "stops": stops})


@decoder
def order_of(frame: Frame) -> GenerateOrder:
    """The order of a `generate` frame."""
    return GenerateOrder(
        rounds=_parted(frame),
        limit=int(frame.values["limit"]),
        stop_ids=tuple(frame.arrays["stops"].tolist()),
        capacity=int(frame.values["capacity"]),
    )


def generated_frame(number: int, generated: Generated) -> Frame:
    """Answer `generate`."""
    values = {
        "number": number,
        "ended": list(generated.ended),
        "loaded_mib": generated.loaded_mib,
    }
    times = {"first_s": generated.first_s, "step_s": generated.step_s}
    return Frame("generated", values, {**_joined(generated.ids), **times})


@decoder
def generated_of(frame: Frame) -> Generated:
    """What a `generated` frame says."""
    generated = Generated(
        ids=_parted(frame),
        first_s=frame.arrays["first_s"],
        step_s=frame.arrays["step_s"],
        ended=tuple(frame.values["ended"]),
        loaded_mib=int(frame.values["loaded_mib"]),
    )
    rounds, steps = len(generated.ids), sum(len(answer) - 1 for answer in generated.ids)
    shapes = generated.first_s.shape, generated.step_s.shape, len(generated.ended)
    if shapes != ((rounds,), (steps,), rounds):
        raise ValueError(f"times {shapes} of {rounds} rounds and {steps} steps")
    return generated


def _joined(rounds: Sequence[Ids]) -> dict[str, NDArray[Any]]:
    """The rounds' ids end to end, and how many there are of each."""
    return {
        "counts": np.array([len(ids) for ids in rounds], dtype=np.int64),
        "ids": np.array([id_ for ids in rounds for id_ in ids], dtype=np.int64),
    }


def _parted(frame: Frame) -> tuple[Ids, ...]:
    counts, ids = frame.arrays["counts"].tolist(), frame.arrays["ids"].tolist()
    if min(counts, default=0) < 1 or sum(counts) != len(ids):
        raise ValueError(f"{len(ids)} ids in rounds of {counts}")
    return tuple(tuple(ids[a:b]) for a, b in pairwise(accumulate(counts, initial=0)))
