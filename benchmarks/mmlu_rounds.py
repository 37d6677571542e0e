"""The two sides of the MMLU speed benchmark, subject by subject."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.full_forward import FullForward, last_row_logprobs
from quantgate.backends.ort import OrtBackend
from quantgate.packages.package import OnnxPackage
from quantgate.plan import Plan, make_plan
from quantgate.requests import Loglikelihood
from quantgate.tasks.base import Work
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

    @property
    def letters(self) -> NDArray[np.int64]:
        """The letters' ids, one each."""
        return np.array([ids[0] for ids in self.items.items[0].continuations])


@dataclass(frozen=True)
class Sides:
    """Both engines, loaded."""

    full: FullForward
    ours: OrtBackend

    def round(self, subject: Subject) -> None:
        """Measure `subject` on both sides, one after the other."""
        started = time.perf_counter()
        theirs = self._one_by_one(subject)
        turned = time.perf_counter()
        plan = make_plan(subject.items.requests, self.ours.limits)
        planned = time.perf_counter()
        samples = subject.task.score(Work(self.ours, subject.items, plan, _unheard))
        ended = time.perf_counter()
        subject.seconds[FULL].append(turned - started)
        subject.seconds[OURS].append(ended - turned)
        subject.planning.append(planned - turned)
        subject.values = {FULL: theirs, OURS: samples.loglikelihoods}

    def warm_up(self, subject: Subject) -> None:
        """Run both sides on one prompt, untimed: first runs allocate."""
        context = subject.items.contexts[0]
        self.full.logits(context)
        run_one(self.ours, context)

    def _one_by_one(self, subject: Subject) -> NDArray[np.float64]:
        letters = subject.letters
        return np.array(
            [last_row_logprobs(self.full.logits(ids), letters) for ids in subject.items.contexts]
        )


def load_ours(package: OnnxPackage, threads: int) -> OrtBackend:
    """A backend with its sessions loaded: scoring one token makes it load them."""
    backend = OrtBackend(package, threads=threads)
    run_one(backend, (1,))
    return backend


def run_one(backend: OrtBackend, context: tuple[int, ...]) -> None:
    """Score one prompt and drop the result."""
    plan = make_plan([Loglikelihood(context, (1,))], backend.limits)
    for _ in backend.score(plan, _unheard):
        pass


def _unheard(_: int) -> None:
    """Progress that nobody follows."""
