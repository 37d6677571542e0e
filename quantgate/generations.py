"""Lets one case generate on behalf of a task: one sequence at a time, a reference's answers kept.

Generation isn't planned: a sequence by itself is what a user gets, and no other sequence changes
it. So it has no plan whose digest could differ, and no batches to keep between runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.asking import FATAL
from quantgate.cases import Case
from quantgate.errors import InvalidMeasurement
from quantgate.execution.orders import GenerateOrder, most_tokens
from quantgate.own_code import answering_digest
from quantgate.requests import Generation, Ids
from quantgate.rounds import Asker
from quantgate.storage import sha256_bytes
from quantgate.tasks.base import Items

PLAN = sha256_bytes(b"each generation by itself, greedily")
IDS, LENGTHS = "ids", "lengths"  # arrays of a trace: all answers behind each other, ids of each


class Generating:
    """One case asked by one task.

    Args:
        asker: what asking needs; its journal is not used.
        case: who is asked.
        task: name of the task, for the progress line.
        items: what is asked, to name a generation by and to keep it under.
    """

    def __init__(self, asker: Asker, case: Case, task: str, items: Items) -> None:
        self._asker, self._case, self._task, self._items = asker, case, task, items
        self.cost: dict[str, float] = {}

    def generate(self, requests: Sequence[Generation]) -> list[tuple[Ids, ...]]:
        """The answers to `requests`, round by round, stop ids included.

        Raises:
            InvalidMeasurement: whatever makes them meaningless, with the name of the generation.
        """
        began = time.perf_counter()
        key = self._key() if self._case.is_reference else None
        trace = None if key is None else self._asker.traces.load(key)
        if trace is not None:
            answers = _unflatten(requests, trace.arrays[IDS], trace.arrays[LENGTHS])
        else:
            answers = self._ask(requests)
            if key is not None:
                with self._asker.traces.write(key) as writer:
                    for name, array in _flatten(answers).items():
                        writer.save(name, array)
        self.cost = {
            "tokens_requested": sum(len(ids) for each in requests for ids in each.rounds),
            "tokens_generated": sum(len(ids) for answer in answers for ids in answer),
            "generations": len(answers),
            "seconds": time.perf_counter() - began,
            "kept": float(trace is not None),
        }
        return answers

    def _ask(self, requests: Sequence[Generation]) -> list[tuple[Ids, ...]]:
        listener = self._asker.listener
        most = [most_tokens(request.rounds, request.limit) for request in requests]
        listener.begin(self._case, self._task, sum(most))
        answers = []
        try:
            # Room for the longest in every order, so that an engine makes its buffers once.
            for number, request in enumerate(requests):
                order = GenerateOrder(request.rounds, request.limit, request.stop_ids, max(most))
                answers.append(self._carried_out(order, number))
                listener.advance(most[number])
        finally:
            listener.end()
        return answers

    def _carried_out(self, order: GenerateOrder, number: int) -> tuple[Ids, ...]:
        sessions = self._asker.sessions
        try:
            return sessions.session(self._case).generate(order).ids
        except InvalidMeasurement as fault:
            if fault.code in FATAL:
                sessions.close()
            found = f"{fault.found}, behind {self._items.name(number)}"
            told = InvalidMeasurement(fault.code, need=fault.need, found=found, fix=fault.fix)
            raise told from None

    def _key(self) -> dict[str, Any]:
        """What the answers depend on; never a name or a path."""
        return {
            "identity": dict(self._asker.sessions.facts(self._case).identity),
            "generations": self._items.digest,
            "code": answering_digest(),
            "numpy": np.__version__,
        }


def _flatten(answers: Sequence[tuple[Ids, ...]]) -> dict[str, NDArray[np.int64]]:
    rounds = [ids for answer in answers for ids in answer]
    return {
        IDS: np.array([id_ for ids in rounds for id_ in ids], dtype=np.int64),
        LENGTHS: np.array([len(ids) for ids in rounds], dtype=np.int64),
    }


def _unflatten(
    requests: Sequence[Generation], ids: NDArray[np.int64], lengths: NDArray[np.int64]
) -> list[tuple[Ids, ...]]:
    parts: Iterator[Ids] = (
        tuple(map(int, part)) for part in np.split(ids, np.cumsum(lengths)[:-1])
    )
    return [tuple(next(parts) for _ in request.rounds) for request in requests]
