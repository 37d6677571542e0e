"""Carries out a generation on a backend. Every time that quantgate tells of an id is taken here.

Time to first token is that of appending a round's ids; a step is that of every id after it. Both
end when the id is known to this process, so they hold what a caller waits for: feeding the model,
running it and fetching the id. Opening the sequence, for the first one with loading the model, is
in neither, and neither is looking at logits that only we want to see.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from quantgate.backends.base import Backend, Decoding, LateDecoding
from quantgate.errors import InvalidMeasurement
from quantgate.execution.orders import Generated, GenerateOrder
from quantgate.requests import Ids

MIB = 2**20
STOP, LIMIT = "stop", "limit"


def carry_out(backend: Backend, order: GenerateOrder) -> Generated:
    """Generate the answers to all rounds, one KV cache kept throughout.

    Raises:
        InvalidMeasurement: `context-overflow`, or what the backend raises.
    """
    _require_context(order, backend.limits.context)
    with closing(backend.decoding(order.capacity)) as decoding:
        loaded_mib = _resident_mib()
        clock = _Clock()
        answers: list[Ids] = []
        left: Ids = ()  # generated, but not yet part of the sequence
        for ids in order.rounds:
            answer = _answer(decoding, (*left, *ids), order, clock)
            answers.append(answer)
            left = answer[-1:]
    return Generated(
        ids=tuple(answers),
        first_s=np.array(clock.first_s),
        step_s=np.array(clock.step_s, dtype=np.float64),
        ended=tuple(STOP if answer[-1] in order.stop_ids else LIMIT for answer in answers),
        loaded_mib=loaded_mib,
    )


@dataclass(slots=True)
class _Clock:
    """Seconds of each call, by what was called."""

    first_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)


def _answer(decoding: Decoding, ids: Ids, order: GenerateOrder, clock: _Clock) -> Ids:
    """The ids that follow `ids`, up to the first stop id or the limit."""
    stops = frozenset(order.stop_ids)
    late = decoding if isinstance(decoding, LateDecoding) else None
    began = perf_counter()
    id_ = decoding.append(ids)
    clock.first_s.append(perf_counter() - began)
    answer = [id_]
    while id_ not in stops and len(answer) < order.limit:
        began = perf_counter()
        id_ = decoding.step(id_)
        clock.step_s.append(perf_counter() - began)
        if late is not None:
            late.verify()
        answer.append(id_)
    return tuple(answer)


def _resident_mib() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss) // MIB


def _require_context(order: GenerateOrder, context: int) -> None:
    if order.capacity > context:
        raise InvalidMeasurement(
            "context-overflow",
            need=f"a generation within the context of {context} tokens",
            found=f"{order.capacity} tokens, appended and generated",
            fix="generate fewer tokens, or from shorter prompts",
        )
