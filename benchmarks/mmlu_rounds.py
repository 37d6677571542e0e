"""The two sides of the MMLU speed benchmark, subject by subject."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.asking import ask, forget, warm_up
from benchmarks.full_forward import FullForward, letter_ids, one_by_one
from quantgate.answers import Answers
from quantgate.execution.inline import InlineSession
from quantgate.packages.tokenizer import Tokenizer
from quantgate.plan import Plan, make_plan
from quantgate.requests import Request
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluItems

FULL, OURS = "full forward", "quantgate"
SIDES = (FULL, OURS)


@dataclass
class Subject:
    """One subject, encoded, and what was measured of it.

    Attributes:
        seconds: evaluation loop by side, a figure a round.
        planning: the part of quantgate's that went into planning.
        values: log-likelihoods of the letters by side, `[questions, 4]`, of the latest round.
    """

    name: str
    task: MmluTask
    items: MmluItems
    plan: Plan
    seconds: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    planning: list[float] = field(default_factory=list)
    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts, what the full forwards compute."""
        return sum(map(len, self.items.contexts))


@dataclass(frozen=True)
class Sides:
    """Both engines, loaded."""

    full: FullForward
    ours: InlineSession
    tokenizer: Tokenizer

    def round(self, subject: Subject) -> None:
        """Measure `subject` on both sides, one after the other."""
        started = time.perf_counter()
        theirs = one_by_one(self.full, subject.items.contexts, letter_ids(subject.items))
        answered = time.perf_counter()
        forget(self.ours)  # where there is one subject, it is the last round's, too
        turned = time.perf_counter()
        make_plan(subject.items.requests, self.ours.limits)
        planned = time.perf_counter()
        samples = subject.task.score(subject.items, self._ask, self.tokenizer)
        ended = time.perf_counter()
        subject.seconds[FULL].append(answered - started)
        subject.seconds[OURS].append(ended - planned)  # planned a second time within
        subject.planning.append(planned - turned)
        subject.values = {FULL: theirs, OURS: samples.loglikelihoods}

    def warm_up(self, subject: Subject) -> None:
        """Run both sides on one prompt, untimed: first runs allocate."""
        context = subject.items.contexts[0]
        self.full.logits(context)
        warm_up(self.ours, context)

    def _ask(
        self, requests: Sequence[Request], name: Callable[[int], str] | None = None
    ) -> Answers:
        del name
        return ask(self.ours, requests, self.tokenizer.size)
