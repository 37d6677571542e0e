"""Speed of generation and of prefill, beside the reference's: batch 1, greedy, after a warm-up.

Of each round, with prompt P and N new tokens:

- time to first token, seconds: reading the P tokens until the first new one is known;
- generation, tokens a second: (N - 1) / (seconds from the first new token to the last);
- prefill of L tokens, tokens a second: L / (seconds from the L tokens until the next is known).

That is the configuration of onnxruntime-genai's own benchmark, whose figures these equal; they
exclude tokenization, and the detokenization that its end-to-end figures hold.

A round of the candidate is paired with one of the reference right before it or, every other time,
right after it (`turns.take_turns`), so a machine that gets slower steadily changes nothing. A
*speedup* is the reference's time over the candidate's: above 1 where the candidate is faster. The
figure is the median over the pairs. A case without a reference, and a reference itself, takes turns
with itself, which shows how much the machine alone disturbs; a reference is held to that, a case
without one to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from quantgate.manifest.tables import SpeedTask
from quantgate.results import Direction, Score
from quantgate.stats import median_shift
from quantgate.tasks.prompt_ids import Prompts
from quantgate.tasks.turns import FIRST_TOKEN, GENERATION, PREFILL, Round

QUARTERS: Final = (0.25, 0.5, 0.75)


def describe(task: SpeedTask) -> str:
    """The protocol in words."""
    reads = "+".join(map(str, task.prefill))
    return f"{task.prompt}+{task.new_tokens} tokens, prefill {reads}, {task.rounds} rounds"


@dataclass(frozen=True, slots=True)
class SpeedSamples:
    """The rounds of both sides, in pairs."""

    candidate: tuple[Round, ...]
    reference: tuple[Round, ...]

    @property
    def speedups(self) -> dict[str, NDArray[np.float64]]:
        """Ratios round by round, `[rounds]`, by metric; ValueError where rounds lack a partner."""
        pairs = [
            (ours.seconds, theirs.seconds)
            for ours, theirs in zip(self.candidate, self.reference, strict=True)
        ]
        return {
            _speedup(what): np.array([theirs[what] / ours[what] for ours, theirs in pairs])
            for what in self.candidate[0].seconds
        }


def speed_scores(samples: SpeedSamples) -> tuple[Score, ...]:
    """The medians: speedups first, then what the candidate's come to by themselves."""
    ratios = [_ratio(metric, each) for metric, each in samples.speedups.items()]
    return (*ratios, *_rates(samples.candidate))


def speed_detail(samples: SpeedSamples, prompts: Prompts, reference: str) -> dict[str, Any]:
    """Every round, and the quartiles of both sides."""
    return {
        "reference": reference,
        "prompt": len(prompts.prompt),
        "prefill_left_out": list(prompts.left_out),
        "paired_rounds": {name: each.tolist() for name, each in samples.speedups.items()},
        "seconds": {
            "candidate": [each.seconds for each in samples.candidate],
            "reference": [each.seconds for each in samples.reference],
        },
        "quartiles": {
            "candidate": _quartiles(samples.candidate),
            "reference": _quartiles(samples.reference),
        },
    }


def _speedup(what: str) -> str:
    """`generation_speedup`, `prefill_speedup.128`."""
    family, dot, length = what.partition(".")
    return f"{family}_speedup{dot}{length}"


def _ratio(metric: str, ratios: NDArray[np.float64]) -> Score:
    return Score(
        metric=metric,
        value=float(np.median(ratios)),
        n=len(ratios),
        unit="ratio",
        direction=Direction.HIGHER,
        stderr=median_shift(ratios, np.ones_like(ratios)).stderr,
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """A figure of every round, as it is told: the first token in seconds, all else as a rate."""

    name: str
    unit: str
    direction: Direction
    values: list[float]


def _columns(rounds: Sequence[Round]) -> list[_Column]:
    rates = {f"{GENERATION}_tokens_per_s": [each.new_tokens / each.generation for each in rounds]}
    for length in rounds[0].prefill:
        name = f"{PREFILL}_tokens_per_s.{length}"
        rates[name] = [length / each.prefill[length] for each in rounds]
    first = [each.first_token for each in rounds]
    return [
        *(_Column(name, "tokens/s", Direction.HIGHER, values) for name, values in rates.items()),
        _Column(f"{FIRST_TOKEN}_s", "s", Direction.LOWER, first),
    ]


def _rates(rounds: Sequence[Round]) -> list[Score]:
    return [
        Score(
            metric=column.name,
            value=float(np.median(column.values)),
            n=len(column.values),
            unit=column.unit,
            direction=column.direction,
        )
        for column in _columns(rounds)
    ]


def _quartiles(rounds: Sequence[Round]) -> dict[str, list[float]]:
    return {
        column.name: [float(each) for each in np.quantile(column.values, QUARTERS)]
        for column in _columns(rounds)
    }
