"""Asks a session what a task asks a gate's, without journal, trace or child process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from quantgate.answers import Answers
from quantgate.execution.inline import InlineSession
from quantgate.execution.ordering import Ordering
from quantgate.groups import PlanLimits
from quantgate.plan import Plan, make_plan
from quantgate.requests import Loglikelihood, Request

OTHER_PAIRS: Final = 64  # long enough that a planner shares it

PlanMaker = Callable[[Sequence[Request], PlanLimits], Plan]


def ask(
    session: InlineSession,
    requests: Sequence[Request],
    tokens: int,
    planner: PlanMaker = make_plan,
) -> Answers:
    """Plan `requests`, run all batches and read their rows; `tokens` is the tokenizer's size."""
    plan = planner(requests, session.limits)
    ordering = Ordering(plan, requests, keep=False, compare=False, anchor=None, tokens=tokens)
    answers = Answers.blank(requests, compared=False)
    for _, ticket in ordering.tickets(range(ordering.count)):
        (readings,) = session.run([ticket.order])
        ticket.fill(answers, readings)
    answers.require_complete(requests)
    return answers


def warm_up(session: InlineSession, context: tuple[int, ...] = (1, 2, 3)) -> None:
    """Score one prompt, untimed: first runs load and allocate."""
    ask(session, [Loglikelihood(context, (4,))], 8)


def forget(session: InlineSession) -> None:
    """Score prompts behind another beginning, untimed.

    A session keeps the beginning that it computed last, so the same questions asked once more would
    be spared it.
    """
    other = (1, 2) * OTHER_PAIRS
    ask(session, [Loglikelihood((*other, *end), (4,)) for end in ((5, 6), (6, 5))], 8)
