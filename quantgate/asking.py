"""Asks one case on behalf of a task: plans, keeps a reference's answers, shrinks full batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from quantgate.answers import Answers
from quantgate.canary import EXPLAINED, EXPLAINED_ELSE, difference, narrowed
from quantgate.cases import Case
from quantgate.errors import InvalidMeasurement
from quantgate.groups import PlanLimits
from quantgate.plan import Plan, make_plan
from quantgate.requests import Request
from quantgate.rounds import Asker, NameOf, Round
from quantgate.tasks.base import Items, KeptRows
from quantgate.traces import HIDDEN

OUT_OF_MEMORY = "out-of-memory"
# Faults after which a session is of no more use; the next task opens another.
FATAL = frozenset({"child-died", "child-hung", "child-memory", "child-error"})


class _Narrower(Exception):
    """The plan can't be trusted; `limits` leave out what failed."""

    def __init__(self, limits: PlanLimits, why: str) -> None:
        super().__init__(why)
        self.limits = limits
        self.why = why


class Asking:
    """One case asked by one task, in one round of requests or several.

    Args:
        asker: what asking needs.
        case: who is asked.
        task: name of the task, for the progress line.
        items: what the task scores, to name a request by.
        compare: compare rows with a place.
        anchor: the reference's kept rows to compare with; None compares with the case's own.
    """

    def __init__(
        self,
        asker: Asker,
        case: Case,
        task: str,
        items: Items,
        *,
        compare: bool,
        anchor: KeptRows | None,
    ) -> None:
        self._asker, self._case, self._task, self._items = asker, case, task, items
        self._compare, self._anchor = compare, anchor
        self._plans: list[str] = []
        self.kept_rows: KeptRows | None = None
        self.warnings: list[str] = []
        self.cost: dict[str, float] = {}

    @property
    def plan_digest(self) -> str:
        """Digest of the first round's plan: what a later one asks depends on the answers."""
        return self._plans[0]

    def ask(self, requests: Sequence[Request], name: NameOf | None = None) -> Answers:
        """Answers to `requests`; a device out of memory gets smaller batches, and that is told.

        Args:
            requests: what to ask.
            name: what a request is about, for messages; the items' own name by default.

        Raises:
            InvalidMeasurement: whatever makes the answers meaningless.
        """
        while True:
            limits = self._asker.sessions.facts(self._case).limits
            plan = make_plan(requests, limits)
            try:
                return self._ask(requests, plan, limits, name or self._items.name)
            except _Narrower as found:
                limits = found.limits
                self.warnings.append(found.why)
            except InvalidMeasurement as fault:
                if fault.code in FATAL:
                    self._asker.sessions.close()
                widest = plan.widest_batch
                half = widest // 2
                # A sequence isn't cut: where less was asked for already, there is no smaller plan.
                if fault.code != OUT_OF_MEMORY or not 0 < half < limits.batch_tokens:
                    raise
                limits = replace(limits, batch_tokens=half)
                self.warnings.append(
                    f"out of device memory with {widest} tokens at once: batches of at most "
                    f"{limits.batch_tokens} from here on"
                )
            self._asker.sessions.limit(self._case, limits)

    def _ask(
        self, requests: Sequence[Request], plan: Plan, limits: PlanLimits, name: NameOf
    ) -> Answers:
        started = time.perf_counter()
        one = Round(
            self._asker,
            self._case,
            requests,
            plan,
            compare=self._compare,
            anchor=self._anchor,
        )
        trace = one.kept() if self._case.is_reference else None
        found = trace is not None
        if not found:
            self._require_agreement(plan, limits)
        if self._case.is_reference:
            trace = trace or one.keep(self._task, name)
            answers = Answers.from_arrays(trace.arrays)
            if HIDDEN in trace.arrays:
                self.kept_rows = KeptRows(trace.rows(HIDDEN), one.digest)
        else:
            answers = one.answers(self._task, name)
        self._plans.append(plan.digest)
        self._add_cost(plan, time.perf_counter() - started, found=found)
        return answers

    def _require_agreement(self, plan: Plan, limits: PlanLimits) -> None:
        """Prove sharing and packing on the first rows, or ask for a plan without."""
        sessions = self._asker.sessions
        explained = EXPLAINED.get(self._case.precision, EXPLAINED_ELSE)
        found = difference(sessions.session(self._case), plan)
        narrower = narrowed(limits)
        if found > explained and narrower is not None:
            what = "packed rows" if limits.packs else "rows behind a kept prefix"
            raise _Narrower(
                narrower,
                f"{what} differ from the same sequences alone by {found:.2g} nats, more than the "
                f"{explained:g} that batching explains at {self._case.precision}: run without",
            )

    def _add_cost(self, plan: Plan, seconds: float, *, found: bool) -> None:
        spent = {
            "tokens_requested": plan.requested,
            "tokens_computed": plan.computed,
            "rows": sum(len(group.rows) for group in plan.groups),
            "prefixes": sum(bool(group.prefix) for group in plan.groups),
            "seconds": seconds,
        }
        for name, count in spent.items():
            self.cost[name] = self.cost.get(name, 0) + count
        self.cost["kept"] = min(self.cost.get("kept", 1.0), float(found))
