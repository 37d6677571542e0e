"""How far a model's greedy answers are its reference's.

Both answer the same prompts, each on its own. The ids of a generation are those of its answers in
all rounds. Where the first id differs the two have parted: what follows is generated behind
different texts, and that it is equal again counts for nothing. What a stop string cuts from an
answer isn't compared, but stays in the dialog: where it differs, the answer itself matches, and the
two have parted before the first id of the next round. With r_i ids of the reference, those of all
rounds wherever the two part, m_i of which come before that,

- `matched_share`: mean over generations of m_i / r_i;
- `identical`: the share of generations that never part, so whose ids are all equal, the end
  included;
- `match_length`: mean of m_i, in tokens. It depends on the limit, and where all is identical it is
  the length of the reference's answers, so it is told and never gated.

A greedy answer forks at the first near tie, so a share of 0.5 is no half of the quality lost. It
tells that the model behaves differently, not that it is worse; accuracy tells that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from quantgate import stats
from quantgate.results import Direction, Score
from quantgate.tasks.generation import GenerationSamples
from quantgate.tasks.generation_items import GenerationItems
from quantgate.tasks.stops import Answer

SHOWN = 48  # characters of either answer from where they part


@dataclass(frozen=True, slots=True)
class Match:
    """Two answers to one generation.

    Attributes:
        matched: ids before they part.
        tokens: ids of the reference.
        parted: the round in which they part; None where they are identical.
        cut: whether they part before its first id, by what was cut from the round before.
    """

    matched: int
    tokens: int
    parted: int | None
    cut: bool = False

    @property
    def share(self) -> float:
        """Share of the reference's ids that match."""
        return self.matched / self.tokens


def match(candidate: Sequence[Answer], reference: Sequence[Answer]) -> Match:
    """Compare the answers of all rounds."""
    tokens = sum(len(answer.ids) for answer in reference)
    matched = 0
    last = len(reference) - 1
    for number, (mine, other) in enumerate(zip(candidate, reference, strict=True)):
        matched += _common(mine, other)
        if mine.ids != other.ids:
            return Match(matched, tokens, number)
        if mine.cut != other.cut and number < last:
            return Match(matched, tokens, number + 1, cut=True)
    return Match(matched, tokens, None)


def generation_scores(
    samples: GenerationSamples, reference: GenerationSamples
) -> tuple[Score, ...]:
    """Figures over all generations, each of which counts the same."""
    found = _matches(samples, reference)
    return (
        _score("matched_share", [each.share for each in found], "fraction"),
        _score("identical", [float(each.parted is None) for each in found], "fraction"),
        _score("match_length", [float(each.matched) for each in found], "tokens"),
    )


def generation_detail(
    samples: GenerationSamples,
    reference: GenerationSamples,
    items: GenerationItems,
) -> dict[str, Any]:
    """Every generation, where and how it parts, and what ended the answers of either side."""
    rows = []
    for number, found in enumerate(_matches(samples, reference)):
        row: dict[str, Any] = {
            "name": items.name(number),
            "rounds": len(reference.answers[number]),
            "tokens": found.tokens,
            "matched": found.matched,
            "identical": found.parted is None,
        }
        if found.parted is not None:
            row["parted"], row["cut"] = found.parted, found.cut
            row["candidate"], row["reference"] = _behind(
                _parting_text(samples.answers[number], found.parted, cut=found.cut),
                _parting_text(reference.answers[number], found.parted, cut=found.cut),
            )
        rows.append(row)
    ended = {"candidate": _ends(samples), "reference": _ends(reference)}
    return {"generations": rows, "ended": ended}


def _matches(samples: GenerationSamples, reference: GenerationSamples) -> list[Match]:
    return [match(*pair) for pair in zip(samples.answers, reference.answers, strict=True)]


def _common(mine: Answer, other: Answer) -> int:
    pairs = zip(mine.ids, other.ids, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _parting_text(rounds: Sequence[Answer], parted: int, *, cut: bool) -> str:
    """The text that the two part in: an answer, or what was cut from the one before."""
    return rounds[parted - 1].cut_text if cut else rounds[parted].text


def _behind(mine: str, other: str) -> tuple[str, str]:
    """What either wrote from the first character that differs."""
    pairs = zip(mine, other, strict=False)
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return mine[at : at + SHOWN], other[at : at + SHOWN]


def _ends(samples: GenerationSamples) -> dict[str, int]:
    return dict(sorted(Counter(a.ended for rounds in samples.answers for a in rounds).items()))


def _score(metric: str, values: list[float], unit: str) -> Score:
    return Score(
        metric=metric,
        value=float(np.mean(values)),
        n=len(values),
        unit=unit,
        direction=Direction.HIGHER,
        stderr=stats.mean_stderr(values)[1] if len(values) > 1 else None,
    )
