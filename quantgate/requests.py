"""Typed requests: what a task asks of a model, before anyone knows how it will be batched.

All score token positions by teacher forcing; a request is token ids, never text, so every backend
sees the same ids. Each scored position has a *target*, the id whose log-probability is wanted
there.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_TARGET = -1


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


Request = Loglikelihood | LoglikelihoodRolling
