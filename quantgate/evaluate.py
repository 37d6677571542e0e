"""The one way from a case to its results: encode, ask, once per case and task.

A reference is scored before the candidates that need it, and its results are kept on disk by
content; where they are found there, only its head is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from quantgate.asking import Asking
from quantgate.cases import Case
from quantgate.errors import GateError, InvalidMeasurement
from quantgate.execution.turns import Turns
from quantgate.generations import PLAN, Generating
from quantgate.packages.ends import end_ids
from quantgate.packages.tokenizer import Tokenizer, require_same_ids
from quantgate.parity import require_parity
from quantgate.requests import Ids
from quantgate.rounds import Asker, Listener
from quantgate.tasks.base import BaseTask, GenerativeTask, Items, ItemsT, Run, SamplesT, Task
from quantgate.tasks.staged import StageTask

__all__ = ["Evaluator", "Listener"]


class Evaluator:
    """Scores cases; asking twice costs nothing.

    Args:
        asker: what asking needs.
        turns: lets one process at a time score a reference; None where there is only one.
    """

    def __init__(self, asker: Asker, turns: Turns | None = None) -> None:
        self._asker = asker
        self._sessions = asker.sessions
        self._turns = turns
        self._results: dict[tuple[str, str], Run[Any, Any] | GateError] = {}
        self._items: dict[tuple[str, str, int, Ids], Any] = {}
        self._selected: dict[str, list[tuple[Case, BaseTask[Any, Any]]]] = {}

    def select(self, pairs: Iterable[tuple[Case, BaseTask[Any, Any]]]) -> None:
        """Say what the run will ask for, so that a model loads once for all of it."""
        for case, task in pairs:
            chosen = self._selected.setdefault(case.id, [])
            if not any(case == other and task.name == each.name for other, each in chosen):
                chosen.append((case, task))

    def tokenizer(self, case: Case) -> Tokenizer:
        """The tokenizer of `case`."""
        return self._sessions.tokenizer(case)

    def require_parity(self, case: Case, texts: Sequence[str]) -> None:
        """Prove that the runtime of `case` would read `texts` as they are scored.

        Raises:
            InvalidMeasurement: `bos-differs`, `tokenizer-mismatch` or `tokenizer-failed`.
        """
        if case.backend != "ortgenai":  # the others have no tokenizer of their own
            return
        from quantgate.backends.ortgenai_tokenizer import runtime_ids

        tokenizer = self._sessions.tokenizer(case)
        theirs = runtime_ids(self._sessions.folder(case), texts)
        require_parity(tokenizer, tokenizer.encode(texts), theirs, runtime="ORT-GenAI")

    def run(self, case: Case, task: BaseTask[ItemsT, SamplesT]) -> Run[ItemsT, SamplesT]:
        """Results of `case` on `task`, its reference scored first.

        Raises:
            InvalidMeasurement: or UsageFault, whatever made them meaningless, on every call.
        """
        if (case.session_key, task.name) not in self._results:
            self._run_selected(case, task)
        return self._run(case, task)

    def _run_selected(self, case: Case, task: BaseTask[Any, Any]) -> None:
        """All that is selected of a case while its model is loaded, its references before.

        A fault is told by the test that asks for the result.
        """
        pairs = [*self._selected.get(case.id, []), (case, task)]
        turn: AbstractContextManager[None] = nullcontext()
        if case.is_reference and self._turns:  # other processes wait for what this one leaves
            self._sessions.close_others(case)  # who waits must hold nothing others wait for
            turn = self._turns.take(self._sessions.spec(case))
        with turn:
            for one, each in pairs:
                if one.reference:
                    with suppress(GateError):
                        self.run(one.reference, each)
            for one, each in pairs:
                with suppress(GateError):
                    self._run(one, each)

    def _run(self, case: Case, task: BaseTask[ItemsT, SamplesT]) -> Run[ItemsT, SamplesT]:
        key = (case.session_key, task.name)
        if key not in self._results:
            try:
                self._results[key] = self._evaluate(case, task)
            except GateError as fault:
                self._results[key] = fault
        result = self._results[key]
        if isinstance(result, GateError):
            raise result
        return result

    def _evaluate(self, case: Case, task: BaseTask[ItemsT, SamplesT]) -> Run[ItemsT, SamplesT]:
        anchor = self.run(case.reference, task) if case.reference else None
        items = self.items(case, task)
        if case.reference and anchor:
            self._require_same_ids(case, case.reference, items, anchor.items)
        if isinstance(task, GenerativeTask):
            return self._generated(case, task, items)
        if isinstance(task, Task):
            return self._scored(case, task, items, anchor)
        raise TypeError(f"{task.name} is neither scored nor generated")

    def _scored(
        self,
        case: Case,
        task: Task[ItemsT, SamplesT],
        items: ItemsT,
        anchor: Run[ItemsT, SamplesT] | None,
    ) -> Run[ItemsT, SamplesT]:
        rows = anchor.kept_rows if anchor and task.compares else None
        itself = case.is_reference or not task.compares
        asking = Asking(
            self._asker, case, task.name, items, compare=itself or rows is not None, anchor=rows
        )
        tokenizer = self._sessions.tokenizer(case)
        samples = task.score(items, asking.ask, tokenizer)
        return Run(
            items=items,
            samples=samples,
            identity=self._sessions.facts(case).identity,
            tokenizer=tokenizer.digest,
            plan=asking.plan_digest,
            cost=asking.cost,
            kept_rows=asking.kept_rows,
            warnings=tuple(asking.warnings),
        )

    def _generated(
        self, case: Case, task: GenerativeTask[ItemsT, SamplesT], items: ItemsT
    ) -> Run[ItemsT, SamplesT]:
        generating = Generating(self._asker, case, task.name, items)
        tokenizer = self._sessions.tokenizer(case)
        samples = task.answer(items, generating.generate, tokenizer)
        return Run(
            items=items,
            samples=samples,
            identity=self._sessions.facts(case).identity,
            tokenizer=tokenizer.digest,
            plan=PLAN,
            cost=generating.cost,
            kept_rows=None,
            warnings=(),
        )

    def items(self, case: Case, task: BaseTask[ItemsT, SamplesT]) -> ItemsT:
        """Items of `task`, encoded once per tokenizer and context.

        Raises:
            InvalidMeasurement: or UsageFault, from the package or the corpus.
        """
        self._sessions.start(case)  # its process starts up while the tokenizer loads in this one
        tokenizer = self._sessions.tokenizer(case)
        context = self._sessions.facts(case).limits.context
        ends = self._ends(case) if isinstance(task, GenerativeTask) else ()
        key = (task.name, tokenizer.digest, context, ends)
        if key not in self._items:
            if isinstance(task, StageTask):
                self._items[key] = task.cut(self.items(case, task.whole))
            elif isinstance(task, GenerativeTask):
                self._items[key] = task.encode(tokenizer, context, ends)
            else:
                self._items[key] = task.encode(tokenizer, context)
        items: ItemsT = self._items[key]
        return items

    def _ends(self, case: Case) -> Ids:
        """Ids that end a text: the reference's for all that are held against it.

        Each by its own would part where they name different ones, whatever they generate.
        """
        return end_ids(self._sessions.folder(case.reference or case))

    def require_same_items(self, case: Case, reference: Case, task: BaseTask[Any, Any]) -> None:
        """Prove that a case and its reference read and score the same.

        Raises:
            InvalidMeasurement: `tokenizer-mismatch` or `items-differ`.
        """
        items, anchor = self.items(case, task), self.items(reference, task)
        self._require_same_ids(case, reference, items, anchor)

    def _require_same_ids(self, case: Case, reference: Case, items: Items, anchor: Items) -> None:
        if items.digest == anchor.digest:
            return
        if len(items.contexts) == len(anchor.contexts):
            mine, other = (self._sessions.tokenizer(each) for each in (case, reference))
            require_same_ids(items.contexts, anchor.contexts, (mine, other))
        raise InvalidMeasurement(
            "items-differ",
            need="the same items scored for candidate and reference",
            found="equal ids, but other continuations or exclusions",
            fix="give both packages the same tokenizer and context length",
        )
