"""Candidate and reference taking turns at the same work, each timed by the process that does it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from quantgate.errors import InvalidMeasurement
from quantgate.execution.orders import Generated, GenerateOrder, Session
from quantgate.tasks.prompt_ids import Prompts

GENERATION: Final = "generation"
FIRST_TOKEN: Final = "first_token"
PREFILL: Final = "prefill"
# Idle threads of ONNX Runtime turn for some 70 ms behind a run, on cores that the other side needs.
REST_SECONDS: Final = 0.1
# Runs `before` and then the work that is timed, so many times.
Pace = Callable[[Callable[[], None], Callable[[], None], int], None]


def plain_pace(work: Callable[[], None], before: Callable[[], None], rounds: int) -> None:
    """No clock beside the one of `quantgate.execution.generating`."""
    for _ in range(rounds):
        before()
        work()


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds that one side took in one round.

    Attributes:
        first_token: to read the prompt.
        generation: for all new tokens after the first.
        new_tokens: how many those are.
        prefill: by length in tokens, to read as many.
    """

    first_token: float
    generation: float
    new_tokens: int
    prefill: Mapping[int, float]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by what took them: `generation`, `first_token`, `prefill.128`."""
        reads = {f"{PREFILL}.{length}": taken for length, taken in self.prefill.items()}
        return {GENERATION: self.generation, FIRST_TOKEN: self.first_token, **reads}


class Side:
    """One model that takes its turns.

    Args:
        session: the model.
        prompts: what it is given.
        new_tokens: to generate in each round.
    """

    def __init__(self, session: Session, prompts: Prompts, new_tokens: int) -> None:
        prompt = prompts.prompt
        self._session = session
        self._order = GenerateOrder((prompt,), new_tokens, (), len(prompt) + new_tokens)
        self._reads = [GenerateOrder((ids,), 1, (), len(ids) + 1) for ids in prompts.reads]
        self._pending: Generated | None = None
        self.rounds: list[Round] = []

    def warm_up(self) -> None:
        """Do all of a round once, untimed: memory is allocated and caches are filled."""
        for order in (self._order, *self._reads):
            self._session.generate(order)

    @property
    def busy(self) -> bool:
        """Whether a round was begun and not ended."""
        return self._pending is not None

    def whole(self) -> None:
        """Do a round."""
        self.generate()
        self.finish()

    def generate(self) -> None:
        """Begin a round with its generation."""
        self._pending = self._session.generate(self._order)

    def finish(self) -> None:
        """End the round that was begun, if any, with its prefills.

        Raises:
            InvalidMeasurement: `clock-stopped` where something took no time at all.
        """
        if self._pending is None:
            return
        done, self._pending = self._pending, None
        reads = [(len(o.rounds[0]), self._session.generate(o).first_s[0]) for o in self._reads]
        found = Round(
            first_token=float(done.first_s[0]),
            generation=math.fsum(done.step_s),
            new_tokens=len(done.step_s),
            prefill={length: float(seconds) for length, seconds in reads},
        )
        _require_times(found.seconds)
        self.rounds.append(found)


def _require_times(seconds: Mapping[str, float]) -> None:
    for what, taken in seconds.items():
        if not (math.isfinite(taken) and taken > 0):
            raise InvalidMeasurement(
                "clock-stopped",
                need=f"a time above 0 for {what}",
                found=f"{taken} s",
                fix="set more tokens under [tasks.speed]",
            )


def take_turns(ours: Side, theirs: Side, pace: Pace, rounds: int) -> None:
    """Warm both up, then let them do `rounds` pairs in turns: R C, C R, R C, C R, ...

    With R the reference's (`theirs`) and C the candidate's. Each begins as many pairs as the other,
    or one more, so what a place in the order or a steady drift of the machine does to one side, it
    does to both. Where one follows the other, the machine comes to rest before.
    """

    def between() -> None:
        begun = len(ours.rounds) + ours.busy
        ours.finish()
        if begun % 2 == 0:  # the end of the pair that the candidate began, and the next one's start
            time.sleep(REST_SECONDS)
            for _ in range(2 if begun else 1):
                theirs.whole()
            time.sleep(REST_SECONDS)

    for side in (theirs, ours):
        side.warm_up()
    pace(ours.generate, between, rounds)
    ours.finish()
    while len(theirs.rounds) < len(ours.rounds):
        time.sleep(REST_SECONDS)
        theirs.whole()
    # A profiling pace may have done more than it was asked for.
    del ours.rounds[rounds:], theirs.rounds[rounds:]
