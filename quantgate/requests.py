"""Typed requests: what a task asks of a model, before anyone knows how it will be batched.

A request is token ids, never text, so every backend sees the same ids. Those of type `Request`
score token positions by teacher forcing; each scored position has a *target*, the id whose
log-probability is wanted there. Those of type `Generation` want the ids that a model generates.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_TARGET = -1

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loglikelihood:
    """Log-likelihood of `continuation` after `context`; both are token ids, neither empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.context or not self.continuation:
            raise ValueError("a log-likelihood needs a context and a continuation")

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids a model must read: all but the last, which is only predicted."""
        return self.context + self.continuation[:-1]

    @property
    def scored(self) -> range:
        """Positions of `ids` whose next-token distribution is wanted."""
        return range(len(self.context) - 1, len(self.ids))

    @property
    def targets(self) -> tuple[int, ...]:
        """The id to score at each scored position."""
        return self.continuation

    @property
    def place(self) -> None:
        """Rows of a log-likelihood are kept nowhere."""
        return


@dataclass(frozen=True, slots=True)
class LoglikelihoodRolling:
    """A window of text: the distributions after the positions `scored` of `ids` are wanted.

    Attributes:
        ids: the window's token ids.
        scored: positions of `ids`.
        targets: the id to score at each of them, `NO_TARGET` where nothing follows.
        place: position of `ids[0]` in the kept rows of a reference; None for a window whose rows
            are neither kept nor compared.
    """

    ids: tuple[int, ...]
    scored: range
    targets: tuple[int, ...]
    place: int | None = None

    def __post_init__(self) -> None:
        inside = bool(self.scored) and 0 <= self.scored[0] <= self.scored[-1] < len(self.ids)
        if not inside:
            raise ValueError(f"scored positions {self.scored} lie outside {len(self.ids)} ids")
        if len(self.targets) != len(self.scored):
            raise ValueError(f"{len(self.targets)} targets for {len(self.scored)} positions")


@dataclass(frozen=True, slots=True)
class GenerateUntil:
    """The greedy continuation of `context`.

    Attributes:
        context: the prompt's token ids, at least one.
        limit: most ids to generate, at least one; a stop id counts.
        stop_ids: any of them ends the answer and is its last id.
        stop_strings: an answer's text ends before the first of them. A model has no tokenizer and
            generates on; the answer is cut afterwards.
    """

    context: Ids
    limit: int
    stop_ids: Ids = ()
    stop_strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_rounds(self.rounds, self.limit)

    @property
    def rounds(self) -> tuple[Ids, ...]:
        """The only round."""
        return (self.context,)


@dataclass(frozen=True, slots=True)
class GenerateUntilMultiRound:
    """A dialog: each round's ids follow the answer to the round before, whole as generated.

    Attributes:
        rounds: token ids to append, at least one in each.
        limit: most ids to generate in each round, at least one; a stop id counts.
        stop_ids: any of them ends an answer, is its last id and stays in the dialog.
        stop_strings: as for `GenerateUntil`; what is cut from an answer stays in the dialog, so
            answers to a later round compare only where it is equal as well.
    """

    rounds: tuple[Ids, ...]
    limit: int
    stop_ids: Ids = ()
    stop_strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_rounds(self.rounds, self.limit)


def _require_rounds(rounds: tuple[Ids, ...], limit: int) -> None:
    if not rounds or not all(rounds):
        raise ValueError("a generation needs at least one id in every round")
    if limit < 1:
        raise ValueError(f"a limit of {limit} ids generates nothing")


Request = Loglikelihood | LoglikelihoodRolling
Generation = GenerateUntil | GenerateUntilMultiRound
