"""Typed requests: what a task asks of a model, before anyone knows how it will be batched.

Both kinds score token positions by teacher forcing; a request is token ids, never text, so every
backend sees the same ids.
"""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class LoglikelihoodRolling:
    """A window of text: the distributions after the positions `scored` of `ids` are wanted."""

    ids: tuple[int, ...]
    scored: range

    def __post_init__(self) -> None:
        inside = bool(self.scored) and 0 <= self.scored[0] <= self.scored[-1] < len(self.ids)
        if not inside:
            raise ValueError(f"scored positions {self.scored} lie outside {len(self.ids)} ids")


Request = Loglikelihood | LoglikelihoodRolling
