"""The one way from a case to its results: encode, plan, score, once per case and task.

A reference is scored before the candidates that need it, and its results are kept on disk by
content; where they are found there, only its head is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantgate import __version__
from quantgate.backends.base import Backend, FloatArray, Head
from quantgate.cases import Case
from quantgate.errors import InvalidMeasurement
from quantgate.models import Models
from quantgate.packages.tokenizer import require_same_ids
from quantgate.plan import Plan, make_plan
from quantgate.tasks.base import HIDDEN, Items, ItemsT, Run, SamplesT, Task, Work
from quantgate.traces import Trace, TraceStore


class Listener(Protocol):
    """Told what is being scored, for a progress line."""

    def begin(self, case: Case, task: str, tokens: int) -> None:
        """A run over `tokens` tokens begins."""
        ...

    def advance(self, tokens: int) -> None:
        """So many more tokens are done."""
        ...

    def end(self) -> None:
        """The run has ended."""
        ...


class Evaluator:
    """Scores cases; asking twice costs nothing.

    Args:
        models: where backends come from.
        traces: where references are kept.
        listener: told the progress.
    """

    def __init__(self, models: Models, traces: TraceStore, listener: Listener) -> None:
        self._models = models
        self._traces = traces
        self._listener = listener
        self._results: dict[tuple[str, str], Run[Any, Any] | InvalidMeasurement] = {}
        self._items: dict[tuple[str, str, int], Any] = {}
        self._selected: tuple[Task[Any, Any], ...] = ()

    def select(self, tasks: Sequence[Task[Any, Any]]) -> None:
        """Say which tasks the run will ask for, so that a reference loads once for all of them."""
        self._selected = tuple(tasks)

    def run(self, case: Case, task: Task[ItemsT, SamplesT]) -> Run[ItemsT, SamplesT]:
        """Results of `case` on `task`, its reference scored first.

        Raises:
            InvalidMeasurement: whatever made them meaningless, the same on every call.
        """
        key = (case.session_key, task.name)
        if key not in self._results:
            try:
                self._results[key] = self._evaluate(case, task)
            except InvalidMeasurement as fault:
                self._results[key] = fault
        result = self._results[key]
        if isinstance(result, InvalidMeasurement):
            raise result
        return result

    def _evaluate(self, case: Case, task: Task[ItemsT, SamplesT]) -> Run[ItemsT, SamplesT]:
        anchor = self._anchor(case.reference, task) if case.reference else None
        backend = self._models.backend(case)
        items = self._encode(backend, task)
        if case.reference and anchor:
            self._require_same_ids(case, case.reference, items, anchor.items)
        plan = make_plan(items.requests, backend.limits)
        work = Work(backend, items, plan, self._listener.advance)
        if case.reference and anchor and anchor.trace and HIDDEN in anchor.trace.arrays:
            rows = KeptRows(self._models.backend_of(case.reference).head, anchor.trace)
            work = replace(work, reference=rows)
        started = time.perf_counter()
        key = trace_key(backend, task, items.digest, plan)
        trace = self._traces.load(key) if case.is_reference else None
        kept = trace is not None
        if case.is_reference and trace is None:
            trace = self._keep(case, task, work, key)
        samples = task.restore(trace) if trace else self._score(case, task, work)
        return Run(
            items=items,
            samples=samples,
            identity=backend.identity,
            tokenizer=backend.tokenizer.digest,
            plan=plan.digest,
            cost=_cost(plan, time.perf_counter() - started),
            trace=trace,
            kept=kept,
        )

    def _anchor(self, reference: Case, task: Task[ItemsT, SamplesT]) -> Run[ItemsT, SamplesT]:
        """The reference's run, all that is selected scored while its body is loaded."""
        for each in self._selected:
            with suppress(InvalidMeasurement):  # told by the test that asks for it
                self.run(reference, each)
        return self.run(reference, task)

    def _encode(self, backend: Backend, task: Task[ItemsT, SamplesT]) -> ItemsT:
        """Items of `task`, encoded once per tokenizer and context."""
        key = (task.name, backend.tokenizer.digest, backend.limits.context)
        if key not in self._items:
            self._items[key] = task.encode(backend.tokenizer, backend.limits.context)
        items: ItemsT = self._items[key]
        return items

    def _require_same_ids(self, case: Case, reference: Case, items: Items, anchor: Items) -> None:
        if items.digest == anchor.digest:
            return
        if len(items.contexts) == len(anchor.contexts):
            tokenizers = [self._models.backend_of(each).tokenizer for each in (case, reference)]
            require_same_ids(items.contexts, anchor.contexts, (tokenizers[0], tokenizers[1]))
        raise InvalidMeasurement(
            "items-differ",
            need="the same items scored for candidate and reference",
            found="equal ids, but other continuations or exclusions",
            fix="give both packages the same tokenizer and context length",
        )

    def _score(self, case: Case, task: Task[ItemsT, SamplesT], work: Work[ItemsT]) -> SamplesT:
        self._listener.begin(case, task.name, work.plan.computed)
        try:
            return task.score(work)
        finally:
            self._listener.end()

    def _keep(
        self,
        case: Case,
        task: Task[ItemsT, SamplesT],
        work: Work[ItemsT],
        key: Mapping[str, Any],
    ) -> Trace:
        """Score a reference into the store and read it back, as every later run will."""
        with self._traces.write(key) as writer:
            self._score(case, task, replace(work, keep=writer))
        trace = self._traces.load(key)
        if trace is None:
            raise InvalidMeasurement(
                "trace-unreadable",
                need=f"the reference's results just written to {self._traces.folder(key)}",
                found="; ".join(self._traces.warnings) or "nothing there",
                fix="check that disk, or choose another with --gate-cache-dir",
            )
        return trace


class KeptRows:
    """A reference's hidden rows from its trace, and its head."""

    def __init__(self, head: Head, trace: Trace) -> None:
        self.head = head
        self._hidden = trace.arrays[HIDDEN]

    def hidden(self, positions: NDArray[np.int64]) -> FloatArray:
        """Rows `[k, H]` of corpus positions `[k]`."""
        return np.ascontiguousarray(self._hidden[positions])


def trace_key(
    backend: Backend, task: Task[Any, Any], ids_digest: str, plan: Plan
) -> dict[str, Any]:
    """What a kept result depends on; never a name or a path."""
    return {
        "identity": dict(backend.identity),
        "task": task.name,
        "parameters": dict(task.parameters),
        "ids": ids_digest,
        "plan": plan.digest,
        "quantgate": __version__,
        "numpy": np.__version__,
    }


def _cost(plan: Plan, seconds: float) -> dict[str, float]:
    return {
        "tokens_requested": plan.requested,
        "tokens_computed": plan.computed,
        "rows": sum(len(group.rows) for group in plan.groups),
        "prefixes": sum(bool(group.prefix) for group in plan.groups),
        "seconds": seconds,
    }
